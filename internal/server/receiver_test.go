package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/signal"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// upstream is another server, which signs events for a House.
type upstream struct {
	*httptest.Server
	t      *testing.T
	h      *servertest.House
	key    *jwk.Key
	set    []byte
	id     model.TransmitterID
	secret model.Secret
}

const ourNameThere = "ostiary-at-upstream"

func newUpstream(t *testing.T, h *servertest.House, change func(*model.Transmitter)) *upstream {
	t.Helper()
	key, err := jwk.Generate(jwa.RS256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwk.NewSet(public)
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{t: t, h: h, key: key}
	if u.set, err = set.MarshalJSON(); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/ssf-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys","critical_subject_members":["tenant"]}`, u.URL, u.URL)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { w.Write(u.set) })
	u.Server = httptest.NewServer(mux)
	t.Cleanup(u.Close)
	tr := model.Transmitter{ID: model.TransmitterID("up" + strings.ToLower(model.NewID()[:4])), Issuer: u.URL}
	tr.Audience = ourNameThere
	if change != nil {
		change(&tr)
	}
	u.id = tr.ID
	if _, u.secret, err = h.Receiver.Change(t.Context(), servertest.Operator, signal.TransmitterChange{ID: tr.ID, After: &tr}); err != nil {
		t.Fatal(err)
	}
	return u
}

// claims are those of a good event token; more replace or add, nil removes.
func (u *upstream) claims(kind string, subject map[string]any, more map[string]any) map[string]any {
	c := map[string]any{
		"iss": u.URL, "aud": ourNameThere, "jti": model.NewID(), "iat": u.h.Clock.Now().Unix(), "txn": model.NewID(),
		"sub_id": subject, "events": map[string]any{kind: map[string]any{}},
	}
	maps.Copy(c, more)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (u *upstream) sign(claims map[string]any) string {
	u.t.Helper()
	token, err := jwt.Sign(claims, u.key, jwt.SignOptions{Algorithm: jwa.RS256, Type: "secevent+jwt"})
	if err != nil {
		u.t.Fatal(err)
	}
	return token
}

// push sends a token as RFC 8935 §2.1 says, and returns the answer.
func (u *upstream) push(token, authorization string) servertest.Answer {
	u.t.Helper()
	req, err := http.NewRequest("POST", u.h.Issuer+"/ssf/events/"+string(u.id), strings.NewReader(token))
	if err != nil {
		u.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/secevent+jwt")
	req.Header.Set("Accept", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return servertest.Do(u.t, req)
}

// tell pushes an event, which must be taken.
func (u *upstream) tell(kind string, subject map[string]any, more map[string]any) {
	u.t.Helper()
	u.deliver(u.sign(u.claims(kind, subject, more)))
}

func (u *upstream) deliver(token string) {
	u.t.Helper()
	if a := u.push(token, "Bearer "+u.secret.Reveal()); a.Status != 202 || a.Text != "" {
		u.t.Errorf("%d %s", a.Status, a.Text)
	}
}

func issSub(issuer, sub string) map[string]any {
	return map[string]any{"format": "iss_sub", "iss": issuer, "sub": sub}
}

// TestReceiverRefusals: RFC 8935 §2.3 and §2.4, RFC 8417 §4, OpenID Shared Signals
// Framework §4.1: what is not a security event token of that very transmitter for
// us is refused with its code, and nothing follows from it.
func TestReceiverRefusals(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		u := newUpstream(t, h, nil)
		other := newUpstream(t, h, nil)
		c, secret := h.Client("shop", listening())
		olena := h.User("olena", password)
		b := h.Browser()
		tokens := h.Redeem(c, secret, b.SignIn(servertest.AuthorizePath(c), "olena", password))
		subject := issSub(h.Issuer, string(olena.ID))
		now := h.Clock.Now().Unix()
		good := func(more map[string]any) map[string]any { return u.claims(model.EventAccountDisabled, subject, more) }
		signed := func(key *jwk.Key, alg jwa.Algorithm, typ string, claims map[string]any) string {
			token, err := jwt.Sign(claims, key, jwt.SignOptions{Algorithm: alg, Type: typ})
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		// The published key as the secret of an HMAC, under its own kid.
		confused, err := jwk.New(u.set, jwk.Params{ID: u.key.ID(), Algorithm: jwa.HS256})
		if err != nil {
			t.Fatal(err)
		}
		valid := u.sign(good(nil))
		bearer := "Bearer " + u.secret.Reveal()
		for _, row := range []struct{ name, token, header, code string }{
			{"no header", valid, "", "authentication_failed"},
			{"another secret", valid, "Bearer " + other.secret.Reveal(), "authentication_failed"},
			{"the secret in another scheme", valid, "Basic " + u.secret.Reveal(), "authentication_failed"},
			{"no token", "", bearer, "invalid_request"},
			{"not a token", "hello", bearer, "invalid_request"},
			{"an ID token of ours", tokens.String("id_token"), bearer, "invalid_key"},
			{"RFC 8417 §2.3: another typ", signed(u.key, jwa.RS256, "JWT", good(nil)), bearer, "invalid_request"},
			{"a logout token", signed(u.key, jwa.RS256, "logout+jwt", good(nil)), bearer, "invalid_request"},
			{"alg none", unsignedSet(t, good(nil)), bearer, "invalid_key"},
			{"RFC 8725 §3.1: the public key as a secret", signed(confused, jwa.HS256, "secevent+jwt", good(nil)), bearer, "invalid_key"},
			{"the key of another transmitter", other.sign(good(nil)), bearer, "invalid_key"},
			{"a signature that was changed", valid[:len(valid)-8] + "AAAAAAAA", bearer, "invalid_key"},
			{"another issuer", u.sign(good(map[string]any{"iss": other.URL})), bearer, "invalid_issuer"},
			{"our own issuer", u.sign(good(map[string]any{"iss": h.Issuer})), bearer, "invalid_issuer"},
			{"no issuer", u.sign(good(map[string]any{"iss": nil})), bearer, "invalid_issuer"},
			{"another audience", u.sign(good(map[string]any{"aud": "somebody"})), bearer, "invalid_audience"},
			{"no audience", u.sign(good(map[string]any{"aud": nil})), bearer, "invalid_audience"},
			{"no jti", u.sign(good(map[string]any{"jti": nil})), bearer, "invalid_request"},
			{"an empty jti", u.sign(good(map[string]any{"jti": ""})), bearer, "invalid_request"},
			{"a jti that is too long", u.sign(good(map[string]any{"jti": strings.Repeat("x", 256)})), bearer, "invalid_request"},
			{"no iat", timeless(t, u, good(map[string]any{"iat": nil})), bearer, "invalid_request"},
			{"from the future", u.sign(good(map[string]any{"iat": now + 300})), bearer, "invalid_request"},
			{"too old", u.sign(good(map[string]any{"iat": now - 8*24*3600})), bearer, "invalid_request"},
			{"OpenID SSF §4.1.7: with exp", u.sign(good(map[string]any{"exp": now + 60})), bearer, "invalid_request"},
			{"OpenID SSF §4.1.2: with sub", u.sign(good(map[string]any{"sub": string(olena.ID)})), bearer, "invalid_request"},
			{"no sub_id", u.sign(good(map[string]any{"sub_id": nil})), bearer, "invalid_request"},
			{"a sub_id that is none", u.sign(good(map[string]any{"sub_id": "olena"})), bearer, "invalid_request"},
			{"a sub_id without what its format requires", u.sign(good(map[string]any{"sub_id": map[string]any{"format": "iss_sub", "iss": h.Issuer}})), bearer, "invalid_request"},
			{"a complex subject in another", u.sign(good(map[string]any{"sub_id": map[string]any{"format": "complex", "user": map[string]any{"format": "complex", "user": subject}}})), bearer, "invalid_request"},
			{"no events", u.sign(good(map[string]any{"events": map[string]any{}})), bearer, "invalid_request"},
			{"OpenID SSF §4.2.1: two events", u.sign(good(map[string]any{"events": map[string]any{model.EventAccountDisabled: map[string]any{}, model.EventSessionRevoked: map[string]any{}}})), bearer, "invalid_request"},
			{"an event that is no object", u.sign(good(map[string]any{"events": map[string]any{model.EventAccountDisabled: "now"}})), bearer, "invalid_request"},
			{"a verification of no stream", u.sign(u.claims(model.EventVerification, subject, nil)), bearer, "invalid_request"},
		} {
			a := u.push(row.token, row.header)
			if a.Status != 400 || a.String("err") != row.code || a.String("description") == "" || a.Header.Get("Content-Language") != "en" {
				t.Errorf("%s: %d %s, want %s", row.name, a.Status, a.Text, row.code)
			}
		}
		unknown := *u
		unknown.id = "unknown" // as a wrong secret: nobody learns which there are
		if a, b := unknown.push(valid, bearer), u.push(valid, ""); a.Text != b.Text || a.Status != b.Status {
			t.Errorf("an unknown transmitter: %d %s", a.Status, a.Text)
		}
		if !active(h, c, secret, tokens.String("access_token")) || locked(t, h, olena.ID) {
			t.Error("something followed from what was refused")
		}
		// And the good one is taken, but for a disabled transmitter.
		tr, err := h.Receiver.Transmitter(t.Context(), u.id)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(tr.Problem, "invalid_request") {
			t.Errorf("the operator is told %q", tr.Problem)
		}
		off := tr
		off.Disabled = true
		if _, _, err := h.Receiver.Change(t.Context(), servertest.Operator, signal.TransmitterChange{ID: u.id, Before: &tr, After: &off}); err != nil {
			t.Fatal(err)
		}
		if a := u.push(valid, bearer); a.Status != 400 || a.String("err") != "authentication_failed" {
			t.Errorf("disabled: %d %s", a.Status, a.Text)
		}
		if log := h.Log.String(); strings.Contains(log, u.secret.Reveal()) || strings.Contains(log, valid) {
			t.Error("a secret or a token is in the log")
		}
	})
}

// timeless signs claims without "iat".
func timeless(t *testing.T, u *upstream, claims map[string]any) string {
	t.Helper()
	token, err := jwt.Sign(claims, u.key, jwt.SignOptions{Algorithm: jwa.RS256, Type: "secevent+jwt", NoTimestamp: true})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// unsignedSet makes an event token with alg none by hand, because the library does not in
// ordinary ways.
func unsignedSet(t *testing.T, claims map[string]any) string {
	t.Helper()
	token, err := jwt.InsecureSignNone(claims, jwt.SignOptions{Type: "secevent+jwt"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func locked(t *testing.T, h *servertest.House, id model.UserID) bool {
	t.Helper()
	u, err := h.Accounts.User(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return u.Status == model.UserLocked
}

// guest is somebody who is signed in at a House.
type guest struct {
	u      model.User
	b      *servertest.Browser
	access string
	sid    string
}

func newGuest(t *testing.T, h *servertest.House, c model.Client, secret model.Secret, login string) guest {
	t.Helper()
	u, err := h.Accounts.ByLogin(t.Context(), login)
	if err != nil {
		u = h.User(login, password)
	}
	g := guest{u: u, b: h.Browser()}
	tokens := h.Redeem(c, secret, g.b.SignIn(servertest.AuthorizePath(c), login, password))
	g.access = tokens.String("access_token")
	g.sid, _ = unverified(t, tokens.String("id_token"))["sid"].(string)
	return g
}

// TestReceiverActs: what follows from the events of CAEP 1.0 and RISC 1.0, for whom,
// and for nobody else.
func TestReceiverActs(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := h.Client("shop", listening())
		u := newUpstream(t, h, nil)
		wide := newUpstream(t, h, func(tr *model.Transmitter) {
			tr.Match = []string{model.MatchEmail, model.MatchLogin}
			tr.Events = map[string]string{"account-enabled": "unlock", "session-revoked": "ignore", "credential-compromise": "lock"}
		})
		link := func(sub string, id model.UserID) {
			t.Helper()
			if err := h.Receiver.Link(t.Context(), servertest.Operator, u.id, store.SubjectLink{Subject: sub, UserID: id}); err != nil {
				t.Fatal(err)
			}
		}
		complexly := func(user, session map[string]any) map[string]any {
			m := map[string]any{"format": "complex"}
			if user != nil {
				m["user"] = user
			}
			if session != nil {
				m["session"] = session
			}
			return m
		}
		opaque := func(id string) map[string]any { return map[string]any{"format": "opaque", "id": id} }
		for i, row := range []struct {
			name   string
			tell   func(g guest, second guest)
			first  bool // the first session goes on
			second bool // and the other one of the same person
			locked bool
		}{
			{"CAEP 1.0 §3.1: one session of ours", func(g, _ guest) {
				u.tell(model.EventSessionRevoked, complexly(issSub(h.Issuer, string(g.u.ID)), opaque(g.sid)), nil)
			}, false, true, false},
			{"the session alone", func(g, _ guest) { u.tell(model.EventSessionRevoked, opaque(g.sid), nil) }, false, true, false},
			{"a session in a complex subject alone", func(g, _ guest) {
				u.tell(model.EventSessionRevoked, complexly(nil, opaque(g.sid)), nil)
			}, false, true, false},
			{"all sessions of a person", func(g, _ guest) { u.tell(model.EventSessionRevoked, issSub(h.Issuer, string(g.u.ID)), nil) }, false, false, false},
			{"a session of the transmitter's: all", func(g, _ guest) {
				link("theirs-1", g.u.ID)
				u.tell(model.EventSessionRevoked, complexly(issSub(u.URL, "theirs-1"), opaque("their-session")), nil)
			}, false, false, false},
			{"a session of somebody else's", func(g, s guest) {
				other := newGuest(t, h, c, secret, "bystander")
				u.tell(model.EventSessionRevoked, complexly(issSub(h.Issuer, string(g.u.ID)), opaque(other.sid)), nil)
				if !active(h, c, secret, other.access) {
					t.Error("a bystander was put out")
				}
			}, true, true, false},
			{"CAEP 1.0 §3.3", func(g, _ guest) {
				link("theirs-2", g.u.ID)
				u.tell(model.EventCredentialChange, issSub(u.URL, "theirs-2"), map[string]any{"events": map[string]any{model.EventCredentialChange: map[string]any{"credential_type": "password", "change_type": "update"}}})
			}, false, false, false},
			{"RFC 7519 §2: a time with a fraction", func(g, _ guest) {
				now := float64(h.Clock.Now().Unix()) - 0.5
				u.tell(model.EventAccountDisabled, issSub(h.Issuer, string(g.u.ID)), map[string]any{"iat": now, "toe": now,
					"events": map[string]any{model.EventAccountDisabled: map[string]any{"event_timestamp": now}}})
			}, false, false, true},
			{"RISC 1.0 §2.3", func(g, _ guest) { u.tell(model.EventAccountDisabled, issSub(h.Issuer, string(g.u.ID)), nil) }, false, false, true},
			{"RISC 1.0 §2.2", func(g, _ guest) { u.tell(model.EventAccountPurged, issSub(h.Issuer, string(g.u.ID)), nil) }, false, false, true},
			{"RISC 1.0 §2.4, where nobody said so: ignored", func(g, _ guest) {
				u.tell(model.EventAccountDisabled, issSub(h.Issuer, string(g.u.ID)), nil)
				u.tell(model.EventAccountEnabled, issSub(h.Issuer, string(g.u.ID)), nil)
			}, false, false, true},
			{"a verified address", func(g, _ guest) {
				wide.tell(model.EventAccountDisabled, map[string]any{"format": "email", "email": strings.ToUpper(g.u.Profile.Email)}, nil)
			}, false, false, true},
			{"an address, where that does not count", func(g, _ guest) {
				u.tell(model.EventAccountDisabled, map[string]any{"format": "email", "email": g.u.Profile.Email}, nil)
			}, true, true, false},
			{"an address that nobody has proven", func(g, _ guest) {
				g.u.Profile.EmailVerified = false
				update(t, h, g.u)
				wide.tell(model.EventAccountDisabled, map[string]any{"format": "email", "email": g.u.Profile.Email}, nil)
			}, true, true, false},
			{"a login, as its sub", func(g, _ guest) { wide.tell(model.EventAccountDisabled, issSub(wide.URL, g.u.Login), nil) }, false, false, true},
			{"a login, as an account there", func(g, _ guest) {
				wide.tell(model.EventAccountDisabled, map[string]any{"format": "account", "uri": "acct:" + g.u.Login + "@127.0.0.1"}, nil)
			}, false, false, true},
			{"a login of another host", func(g, _ guest) {
				wide.tell(model.EventAccountDisabled, map[string]any{"format": "account", "uri": "acct:" + g.u.Login + "@elsewhere.example"}, nil)
			}, true, true, false},
			{"our own names, where those do not count", func(g, _ guest) {
				wide.tell(model.EventAccountDisabled, issSub(h.Issuer, string(g.u.ID)), nil)
				wide.tell(model.EventSessionRevoked, opaque(g.sid), nil)
			}, true, true, false},
			{"what the operator ignores", func(g, _ guest) {
				wide.tell(model.EventSessionRevoked, map[string]any{"format": "email", "email": g.u.Profile.Email}, nil)
			}, true, true, false},
			{"and what locks by his word", func(g, _ guest) {
				wide.tell(model.EventCredentialCompromise, map[string]any{"format": "email", "email": g.u.Profile.Email}, nil)
			}, false, false, true},
			{"locked and let in again by the same word", func(g, _ guest) {
				id := map[string]any{"format": "email", "email": g.u.Profile.Email}
				wide.tell(model.EventAccountDisabled, id, nil)
				wide.tell(model.EventAccountEnabled, id, nil)
			}, false, false, false},
			{"locked by us: no word from outside lets in", func(g, _ guest) {
				id := map[string]any{"format": "email", "email": g.u.Profile.Email}
				wide.tell(model.EventAccountDisabled, id, nil)
				if err := h.Accounts.Lock(t.Context(), servertest.Operator, g.u.ID); err != nil {
					t.Error(err)
				}
				wide.tell(model.EventAccountEnabled, id, nil)
			}, false, false, true},
			{"an older word that comes later", func(g, _ guest) {
				id := map[string]any{"format": "email", "email": g.u.Profile.Email}
				now := h.Clock.Now().Unix()
				wide.tell(model.EventAccountEnabled, id, map[string]any{"toe": now})
				wide.tell(model.EventAccountDisabled, id, map[string]any{"toe": now - 60})
			}, true, true, false},
			{"an event from before the sign-in", func(g, _ guest) {
				u.tell(model.EventSessionRevoked, issSub(h.Issuer, string(g.u.ID)), map[string]any{
					"events": map[string]any{model.EventSessionRevoked: map[string]any{"event_timestamp": h.Clock.Now().Unix() - 3600}}})
			}, true, true, false},
			{"somebody unknown, and a format that names nobody", func(guest, guest) {
				u.tell(model.EventAccountDisabled, issSub(h.Issuer, "nobody"), nil)
				u.tell(model.EventAccountDisabled, issSub("https://third.example", "olena"), nil)
				u.tell(model.EventAccountDisabled, map[string]any{"format": "phone_number", "phone_number": "+380441234567"}, nil)
			}, true, true, false},
			{"OpenID SSF §3.6: a critical member that means nothing here", func(g, _ guest) {
				u.tell(model.EventAccountDisabled, map[string]any{"format": "complex", "user": issSub(h.Issuer, string(g.u.ID)), "tenant": opaque("x")}, nil)
			}, true, true, false},
			{"and one that is not critical", func(g, _ guest) {
				u.tell(model.EventAccountDisabled, map[string]any{"format": "complex", "user": issSub(h.Issuer, string(g.u.ID)), "device": opaque("x")}, nil)
			}, false, false, true},
			{"an event that nobody knows", func(g, _ guest) { u.tell("https://example.com/event", issSub(h.Issuer, string(g.u.ID)), nil) }, true, true, false},
			{"about the stream", func(guest, guest) {
				u.tell(model.EventVerification, opaque("stream"), nil)
				u.tell(model.EventStreamUpdated, opaque("stream"), map[string]any{"events": map[string]any{model.EventStreamUpdated: map[string]any{"status": "paused"}}})
			}, true, true, false},
		} {
			login := fmt.Sprintf("guest%d", i)
			first, second := newGuest(t, h, c, secret, login), newGuest(t, h, c, secret, login)
			row.tell(first, second)
			for which, live := range map[string]bool{first.access: row.first, second.access: row.second} {
				if active(h, c, secret, which) != live {
					t.Errorf("%s: a session is live: %v, want %v", row.name, !live, live)
				}
			}
			if locked(t, h, first.u.ID) != row.locked {
				t.Errorf("%s: locked: %v", row.name, !row.locked)
			}
		}
		for _, e := range view(t, h, func(tx *store.Tx) ([]model.Event, error) { return tx.Events(0, 0) }) {
			if e.Action == "signal.heed" && (e.Actor.Kind != model.ActorTransmitter || e.UserID == "" || !strings.Contains(e.Detail, "act=")) {
				t.Errorf("%+v", e)
			}
		}
	})
}

// TestReceiverReplay: RFC 8935 §2: an event that comes again is answered as the
// first time, and nothing follows from it any more; of many at the same time one
// counts.
func TestReceiverReplay(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		c, secret := h.Client("shop", listening())
		u := newUpstream(t, h, nil)
		g := newGuest(t, h, c, secret, "olena")
		token := u.sign(u.claims(model.EventAccountDisabled, issSub(h.Issuer, string(g.u.ID)), nil))
		done := make(chan struct{})
		for range 8 {
			go func() { defer func() { done <- struct{}{} }(); u.deliver(token) }()
		}
		for range 8 {
			<-done
		}
		if n := count(eventsAbout(t, h), "signal.heed"); n != 1 {
			t.Errorf("it was heeded %d times", n)
		}
		if err := h.Accounts.Unlock(t.Context(), servertest.Operator, g.u.ID); err != nil {
			t.Fatal(err)
		}
		u.deliver(token)
		if locked(t, h, g.u.ID) {
			t.Error("a replay locked the account")
		}
		h.Clock.Move(7*24*time.Hour + 10*time.Minute) // when its jti is forgotten, it is too old
		if _, err := h.Store.Sweep(t.Context(), h.Clock.Now().Unix()+2*3600, 1000); err != nil {
			t.Fatal(err)
		}
		if a := u.push(token, "Bearer "+u.secret.Reveal()); a.Status != 400 || locked(t, h, g.u.ID) {
			t.Errorf("an old one: %d %s", a.Status, a.Text)
		}
	})
}

// TestReceiverAway: keys that cannot be had now are no fault of an event: it may
// come again.
func TestReceiverAway(t *testing.T) {
	h := servertest.Start(t)
	u := newUpstream(t, h, nil)
	token := u.sign(u.claims(model.EventAccountDisabled, issSub(h.Issuer, "nobody"), nil))
	u.Server.Close()
	if a := u.push(token, "Bearer "+u.secret.Reveal()); a.Status != 500 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if err := h.Receiver.Test(t.Context(), u.id); err == nil {
		t.Error("a transmitter that is away passes the test")
	}
}
