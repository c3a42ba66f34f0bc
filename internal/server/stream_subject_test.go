package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// TestStreamVerification: OpenID Shared Signals Framework §8.1.4.
func TestStreamVerification(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		e := newEndpoint(t)
		for _, stream := range []map[string]any{r.create(map[string]any{"events_requested": []string{}}), r.create(e.delivery(""))} {
			verify := func(state any) servertest.Answer {
				body := map[string]any{"stream_id": stream["stream_id"]}
				if state != nil {
					body["state"] = state
				}
				return r.ask("POST", "verification_endpoint", body)
			}
			if a := verify("VGhpcyBpcw=="); a.Status != 204 || a.Text != "" {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
			if a := verify("again"); a.Status != 429 || a.Header.Get("Retry-After") == "" { // §8.1.1: min_verification_interval
				t.Errorf("%d %s", a.Status, a.Text)
			}
			var set map[string]any
			if stream["delivery"].(map[string]any)["method"] == "urn:ietf:rfc:8936" {
				sets, _ := r.poll(stream, map[string]any{})
				for _, set = range sets {
				}
			} else {
				set = r.setOf(e.waitFor(t, 1)[0])
			}
			kind, event := eventOf(set)
			subject, _ := set["sub_id"].(map[string]any)
			if kind != model.EventVerification || event["state"] != "VGhpcyBpcw==" || subject["format"] != "opaque" || subject["id"] != stream["stream_id"] {
				t.Errorf("%v", set)
			}
			h.Clock.Move(31 * time.Second)
			if a := verify(nil); a.Status != 204 {
				t.Errorf("after the interval: %d %s", a.Status, a.Text)
			}
			if a := verify(strings.Repeat("x", 2000)); a.Status != 400 {
				t.Errorf("a long state: %d", a.Status)
			}
		}
		last := e.waitFor(t, 2)
		if _, event := eventOf(r.setOf(last[1])); event["state"] != nil {
			t.Errorf("no state was sent: %v", event)
		}
	})
}

// TestStreamSubjects: OpenID Shared Signals Framework §8.1.3, and §9.1: the answer
// does not tell whether there is such a person.
func TestStreamSubjects(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		pair := listening()
		pair.SubjectType = model.SubjectPairwise
		r, club := newReceiver(t, h, "shop", listening()), newReceiver(t, h, "club", pair)
		stream, clubs := r.create(map[string]any{}), club.create(map[string]any{})
		u, other := h.User("olena", password), h.User("taras", password)
		b := h.Browser()
		b.SignIn(servertest.AuthorizePath(r.client), "olena", password)
		b.SignIn(servertest.AuthorizePath(club.client), "olena", password)
		pairwise := view(t, h, func(tx *store.Tx) (model.Subject, error) { return tx.SubjectOf(u.ID, "127.0.0.1") }).Value
		drain := func(r *receiver, s map[string]any) int {
			t.Helper()
			sets, _ := r.poll(s, nil)
			var ack []string
			for jti := range sets {
				ack = append(ack, jti)
			}
			r.poll(s, map[string]any{"ack": ack, "maxEvents": 0})
			return len(sets)
		}
		told := func(r *receiver, s map[string]any) int {
			t.Helper()
			drain(r, s)
			if err := h.Accounts.Lock(t.Context(), servertest.Operator, u.ID); err != nil {
				t.Fatal(err)
			}
			if err := h.Accounts.Unlock(t.Context(), servertest.Operator, u.ID); err != nil {
				t.Fatal(err)
			}
			return drain(r, s)
		}
		choose := func(r *receiver, s map[string]any, do string, subject map[string]any) {
			t.Helper()
			want := map[string]int{"add": 200, "remove": 204}[do]
			a := r.ask("POST", do+"_subject_endpoint", map[string]any{"stream_id": s["stream_id"], "subject": subject, "verified": true})
			if a.Status != want || a.Text != "" {
				t.Errorf("%s %v: %d %s", do, subject, a.Status, a.Text)
			}
		}
		sub := func(value any) map[string]any {
			return map[string]any{"format": "iss_sub", "iss": h.Issuer, "sub": value}
		}
		if told(r, stream) == 0 || told(club, clubs) == 0 { // default_subjects: ALL
			t.Error("nobody is told")
		}
		// Names that are not the receiver's own change nothing, and tell nothing.
		for _, subject := range []map[string]any{
			sub("nobody"), sub(other.ID), sub(pairwise), {"format": "email", "email": "taras@example.com"}, {"format": "opaque", "id": u.ID},
			{"format": "phone_number", "phone_number": "+380441234567"}, {"format": "iss_sub", "iss": "https://other.example", "sub": u.ID},
			{"format": "complex", "user": sub(u.ID), "device": map[string]any{"format": "opaque", "id": "x"}},
		} {
			choose(r, stream, "remove", subject)
		}
		choose(club, clubs, "remove", sub(u.ID))
		if told(r, stream) == 0 || told(club, clubs) == 0 {
			t.Error("a name of somebody else's counted")
		}
		for _, row := range []struct {
			r       *receiver
			s       map[string]any
			subject map[string]any
		}{
			{r, stream, sub(u.ID)}, {r, stream, map[string]any{"format": "email", "email": "OLENA@example.com"}},
			{r, stream, map[string]any{"format": "complex", "user": sub(u.ID)}}, {club, clubs, sub(pairwise)},
		} {
			choose(row.r, row.s, "remove", row.subject)
			if n := told(row.r, row.s); n != 0 {
				t.Errorf("%v was removed, and %d events came", row.subject, n)
			}
			choose(row.r, row.s, "add", row.subject)
			if n := told(row.r, row.s); n == 0 {
				t.Errorf("%v was added, and no events came", row.subject)
			}
		}
	})
}
