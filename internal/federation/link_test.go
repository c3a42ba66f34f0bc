package federation

import (
	"net/url"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// The whole way, from the button to the session and back.
func TestSignIn(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true})
		h.user("first", "")
		h.there.people["c1"] = person("s1", "ada@example.org")

		out, err := h.visit("corp", "r1", "c1")
		h.ok(err)
		if out.Result != Newcomer || out.Holder != "r1" || out.Connecting {
			t.Fatalf("the outcome is %+v", out)
		}
		s, err := h.Stranger(h.ctx(), "r1")
		h.ok(err)
		if s.Known || s.Mail != "ada@example.org" || s.Login != "ada@example.org" || s.Profile.Name != "Ada Lovelace" {
			t.Fatalf("the stranger is %+v", s)
		}
		h.ok(h.Join(h.ctx(), Joining{Holder: "r1", Login: "ada", Address: "192.0.2.7"}))
		in := h.begin("r1")
		if in.User.Login != "ada" || !in.User.Profile.EmailVerified || in.Session.ACR != account.ACRPassword || in.Session.Factors[0].Upstream != "corp" {
			t.Fatalf("the session is %+v", in)
		}

		// The next time they are known.
		h.clock.advance(time.Minute)
		out, err = h.visit("corp", "r2", "c1")
		h.ok(err)
		if out.Result != SignedIn || out.Linked {
			t.Fatalf("the outcome is %+v", out)
		}
		if again := h.begin("r2"); again.User.ID != in.User.ID {
			t.Fatalf("%s came in, not %s", again.User.ID, in.User.ID)
		}
	})
}

// An answer counts once, in the browser that went, at the provider that was asked.
func TestVisit(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true})
		h.add("other", model.UpstreamSettings{SignUp: true})
		h.user("first", "")
		h.there.people["c1"] = person("s1", "ada@example.org")

		l := h.leave("corp", "r1")
		stolen := l
		stolen.Cookie.Value = model.NewSecret("")
		_, err := h.come(stolen, "corp", "c1")
		h.refuses(err, Stale) // P10: another browser
		_, err = h.come(l, "other", "c1")
		h.refuses(err, Stale) // O27: another provider
		if len(h.there.answers) != 0 {
			t.Fatal("an answer was read that is not the browser's")
		}
		out, err := h.come(l, "corp", "c1")
		h.ok(err)
		if out.Result != Newcomer {
			t.Fatalf("the outcome is %+v", out)
		}
		_, err = h.come(l, "corp", "c1")
		h.refuses(err, Stale) // replayed

		l = h.leave("corp", "r2")
		h.clock.advance(VisitTime + time.Second)
		_, err = h.come(l, "corp", "c1")
		h.refuses(err, Stale) // too late
	})
}

// A POST of another site brings no cookie: its answer waits for the browser.
func TestKeep(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true})
		h.user("first", "")
		h.there.people["c1"] = person("s1", "ada@example.org")
		l := h.leave("corp", "r1")
		posted := Answer{Method: "POST", Values: url.Values{"state": {stateIn(l)}, "code": {"c1"}}, At: "https://id.example/upstream/corp/callback"}
		_, err := h.Keep(h.ctx(), "other", posted)
		h.refuses(err, Stale)
		state, err := h.Keep(h.ctx(), "corp", posted)
		h.ok(err)
		if state != stateIn(l) {
			t.Fatalf("the state is %q", state)
		}
		_, err = h.Keep(h.ctx(), "corp", posted)
		h.refuses(err, Stale)
		out, err := h.come(l, "corp", "something else")
		h.ok(err)
		if got := h.there.answers[0]; out.Result != Newcomer || got.Method != "POST" || got.At != posted.At || got.Values.Get("code") != "c1" {
			t.Fatalf("%+v came of %+v", out, got)
		}
	})
}
