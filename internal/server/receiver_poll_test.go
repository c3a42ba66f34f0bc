package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/signal"
	"github.com/ostiary/ostiary/internal/store"
)

// TestTwoServers: what one Ostiary tells another hears. A person is locked at the
// one, and their sessions end at the other: by push (RFC 8935) and by poll (RFC
// 8936).
func TestTwoServers(t *testing.T) {
	servertest.Each(t, func(t *testing.T, here *servertest.House) {
		there := servertest.Start(t)
		for _, way := range []string{"push", "poll"} {
			t.Run(way, func(t *testing.T) {
				r := newReceiver(t, there, "other-"+way, listening()) // we, at the other server
				id := model.TransmitterID("there-" + way)
				tr := model.Transmitter{ID: id, Issuer: there.Issuer}
				tr.Audience = string(r.client.ID)
				c := signal.TransmitterChange{ID: id, After: &tr}
				body := map[string]any{}
				if way == "poll" {
					stream := r.create(body)
					tr.PollURL = stream["delivery"].(map[string]any)["endpoint_url"].(string)
					tr.ClientID, c.Secret = string(r.client.ID), r.secret
				}
				added, secret, err := here.Receiver.Change(t.Context(), servertest.Operator, c)
				if err != nil {
					t.Fatal(err)
				}
				if way == "push" {
					r.create(map[string]any{"delivery": map[string]any{
						"method": "urn:ietf:rfc:8935", "endpoint_url": here.Issuer + "/ssf/events/" + string(id), "authorization_header": "Bearer " + secret.Reveal()}})
				} else if secret.Reveal() != r.secret.Reveal() || added.Sealed == "" || strings.Contains(added.Sealed, r.secret.Reveal()) {
					t.Errorf("sealed as %q", added.Sealed)
				}
				if err := here.Receiver.Test(t.Context(), id); err != nil {
					t.Errorf("the test says: %v", err)
				}
				shop, shopSecret := here.Client("shop-"+way, listening())
				for _, row := range []struct {
					name   string
					do     func(model.User) error
					locked bool
				}{
					{"locked there", func(u model.User) error { return there.Accounts.Lock(t.Context(), servertest.Operator, u.ID) }, true},
					{"a new password there", func(u model.User) error {
						return there.Accounts.SetPassword(t.Context(), servertest.Operator, u.ID, account.NewPassword{Password: "another horse battery"})
					}, false},
					{"deleted there", func(u model.User) error { return there.Accounts.Delete(t.Context(), servertest.Operator, u.ID) }, true},
				} {
					login := strings.ReplaceAll(way+" "+row.name, " ", "-")
					u := there.User(login, password)
					there.Browser().SignIn(servertest.AuthorizePath(r.client), login, password)
					g := newGuest(t, here, shop, shopSecret, login)
					bystander := newGuest(t, here, shop, shopSecret, login+"-bystander")
					if err := here.Receiver.Link(t.Context(), servertest.Operator, id, store.SubjectLink{Subject: string(u.ID), UserID: g.u.ID}); err != nil {
						t.Fatal(err)
					}
					begun := time.Now()
					if err := row.do(u); err != nil {
						t.Fatal(err)
					}
					eventually(t, row.name, func() bool { return !active(here, shop, shopSecret, g.access) && locked(t, here, g.u.ID) == row.locked })
					t.Logf("%s, %s: after %v", way, row.name, time.Since(begun))
					if left := g.b.Get(servertest.AuthorizePath(shop, "prompt", "none")).Left; left == nil || left.Query().Get("error") != "login_required" {
						t.Errorf("%s: the session goes on: %v", row.name, left)
					}
					if !active(here, shop, shopSecret, bystander.access) {
						t.Errorf("%s: a bystander was put out", row.name)
					}
				}
				eventually(t, "everything to be acknowledged", func() bool {
					n := view(t, there, func(tx *store.Tx) (int64, error) {
						streams, err := tx.StreamsOf(r.client.ID)
						if err != nil {
							return 0, err
						}
						return tx.CountSignals(streams[0].ID)
					})
					return n == 0
				})
				seen, err := here.Receiver.Transmitter(t.Context(), id)
				if err != nil || seen.SeenAt == 0 || seen.Problem != "" {
					t.Errorf("%+v, %v", seen, err)
				}
			})
		}
		for _, secret := range []string{"ost_tr_", "ost_cs_"} {
			if strings.Contains(here.Log.String()+there.Log.String(), secret) {
				t.Errorf("a secret %s is in a log", secret)
			}
		}
	})
}

// TestReceiverPoll: a transmitter that is polled and is not as it should be: bad
// events are reported (RFC 8936 §2.6), good ones beside them are taken, and a
// failure is tried again.
func TestReceiverPoll(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		var u *upstream
		polls := make(chan map[string]any, 100)
		answers := make(chan func(w http.ResponseWriter), 100)
		poll := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			var body map[string]any
			json.Unmarshal(text, &body)
			if r.Header.Get("Authorization") != "Bearer fixed-token" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%v", r.Header)
			}
			polls <- body
			select {
			case answer := <-answers:
				answer(w)
			case <-time.After(3 * time.Second):
				io.WriteString(w, `{"sets":{}}`)
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(poll.Close)
		g := h.User("olena", password)
		u = newUpstreamPolled(t, h, poll.URL, "fixed-token")
		<-polls
		sets := func(tokens map[string]string) func(http.ResponseWriter) {
			return func(w http.ResponseWriter) { json.NewEncoder(w).Encode(map[string]any{"sets": tokens}) }
		}
		good := u.claims(model.EventAccountDisabled, issSub(h.Issuer, string(g.ID)), nil)
		bad := u.claims(model.EventAccountDisabled, issSub(h.Issuer, string(g.ID)), map[string]any{"aud": "somebody"})
		renamed := u.claims(model.EventAccountDisabled, issSub(h.Issuer, string(g.ID)), nil)
		answers <- func(w http.ResponseWriter) { w.WriteHeader(500) }
		answers <- func(w http.ResponseWriter) { io.WriteString(w, "no JSON") }
		answers <- sets(map[string]string{good["jti"].(string): u.sign(good), bad["jti"].(string): u.sign(bad), "another": u.sign(renamed)})
		eventually(t, "the account to be locked", func() bool { return locked(t, h, g.ID) })
		var acked map[string]any
		for acked == nil {
			if p := <-polls; p["ack"] != nil {
				acked = p
			}
		}
		errs, _ := acked["setErrs"].(map[string]any)
		if !slices.Equal(textsOf(acked["ack"]), []string{good["jti"].(string)}) || len(errs) != 2 ||
			!strings.Contains(fmt.Sprint(errs[bad["jti"].(string)]), "invalid_audience") || !strings.Contains(fmt.Sprint(errs["another"]), "invalid_request") {
			t.Errorf("%v", acked)
		}
		if tr, err := h.Receiver.Transmitter(t.Context(), u.id); err != nil || tr.SeenAt == 0 {
			t.Errorf("%+v %v", tr, err)
		}
	})
}

func newUpstreamPolled(t *testing.T, h *servertest.House, pollURL, token string) *upstream {
	t.Helper()
	u := newUpstream(t, h, nil) // pushes; changed into one that is polled
	before, err := h.Receiver.Transmitter(context.Background(), u.id)
	if err != nil {
		t.Fatal(err)
	}
	after := before
	after.PollURL = pollURL
	if _, _, err := h.Receiver.Change(t.Context(), servertest.Operator, signal.TransmitterChange{ID: u.id, Before: &before, After: &after, Secret: model.Secret(token)}); err != nil {
		t.Fatal(err)
	}
	return u
}
