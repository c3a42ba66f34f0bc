package federation

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/upstream"
)

// staying signs somebody in who has a session over there.
func (h house) staying(user model.User, holder, session string) account.Entry {
	h.t.Helper()
	p := person(user.Login, "")
	p.Stay = upstream.Stay{Issuer: p.Issuer, Subject: p.Subject, Session: session, Hint: "id-token-of-" + session}
	h.there.people[holder] = p
	if len(h.identities(user)) == 0 {
		_, err := h.connectAs(user, "corp", holder)
		h.ok(err)
	}
	_, err := h.visit("corp", holder, holder)
	h.ok(err)
	return h.begin(holder)
}

func (h house) lives(s model.Session) bool {
	_, _, err := h.Accounts.Session(h.ctx(), s.ID)
	return err == nil
}

func (h house) ended(token string) error {
	_, err := h.Ended(h.ctx(), "corp", Answer{Method: "POST", Values: url.Values{"logout_token": {token}}}, "192.0.2.9")
	return err
}

func TestEnded(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{})
		h.add("other", model.UpstreamSettings{})
		ada, eve := h.user("ada", ""), h.user("eve", "")
		one, two, others := h.staying(ada, "r1", "sid-1"), h.staying(ada, "r2", "sid-2"), h.staying(eve, "r3", "sid-3")
		own := h.session(ada)
		until := h.clock.now().Unix() + 600
		ending := func(sub, sid, id string) upstream.Ending {
			return upstream.Ending{Issuer: "https://elsewhere.example", Subject: sub, Session: sid, ID: id, ExpiresAt: until}
		}
		h.there.ends["session"] = ending("ada", "sid-1", "m1")
		h.there.ends["mixed"] = ending("eve", "sid-2", "m2") // of nobody
		h.there.ends["issuer"] = upstream.Ending{Issuer: "https://other.example", Subject: "ada", ID: "m3", ExpiresAt: until}
		h.there.ends["nobody"] = upstream.Ending{Issuer: "https://elsewhere.example", ID: "m4", ExpiresAt: until}
		h.there.ends["subject"] = ending("ada", "", "m5")

		h.refuses(h.ended("made up"), Untrusted)
		for _, token := range []string{"mixed", "issuer", "nobody"} {
			h.ok(h.ended(token))
		}
		if !h.lives(one.Session) || !h.lives(two.Session) {
			t.Fatal("a session ended that was not meant")
		}
		h.ok(h.ended("session"))
		if h.lives(one.Session) || !h.lives(two.Session) {
			t.Fatal("another session ended")
		}
		h.refuses(h.ended("session"), Stale) // it counts once

		// Somebody who has begun to sign in by it has to begin anew.
		h.there.people["half"] = h.there.people["r2"]
		_, err := h.visit("corp", "half", "half")
		h.ok(err)
		h.ok(h.ended("subject"))
		if h.lives(two.Session) || !h.lives(others.Session) || !h.lives(own) {
			t.Fatal("wrong sessions ended")
		}
		if _, err := h.Accounts.Finish(h.ctx(), "half", account.Wanted{}, account.Attempt{}); !errors.Is(err, account.ErrFactor) {
			t.Errorf("a session began on what was over: %v", err)
		}

		// The APIs are told, by the log.
		h.ok(h.Store.View(h.ctx(), func(tx *store.Tx) error {
			log, err := tx.Revocations(0, 0)
			found := 0
			for _, r := range log {
				if r.Cause == model.CauseUpstream && r.Kind == model.KindSession {
					found++
				}
			}
			if found != 2 {
				t.Errorf("%d in the log: %+v", found, log)
			}
			return err
		}))
		ends := h.events("session.end")
		if len(ends) != 2 || ends[0].Actor.Kind != model.ActorUpstream || ends[0].UserID != ada.ID {
			t.Errorf("%+v", ends)
		}
	})
}

// A provider that has had somebody sign in very often ends all of it.
func TestEndedBeyondOnePage(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{})
		in := h.staying(h.user("ada", ""), "r1", "sid-1")
		h.ok(h.Store.Upkeep(h.ctx(), func(tx *store.Tx) error {
			own, err := tx.StaysOf(in.Session.ID)
			if err != nil || len(own) != 1 {
				return errors.Join(err, fmt.Errorf("%d stays", len(own)))
			}
			for i := range 2000 { // half of them before this one
				another := own[0]
				another.ID, another.SessionID, another.Holder = model.NewID(), "", fmt.Sprint(i)
				another.ID = string("!~"[i%2]) + another.ID
				if err := tx.InsertStay(another); err != nil {
					return err
				}
			}
			return nil
		}))
		h.there.ends["subject"] = upstream.Ending{Issuer: "https://elsewhere.example", Subject: "ada", ID: "m1", ExpiresAt: h.clock.now().Unix() + 600}
		h.ok(h.ended("subject"))
		if h.lives(in.Session) {
			t.Error("it goes on")
		}
	})
}

// A session that stands on something else by now does not end with what it stood on.
func TestUntied(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{})
		ada := h.user("ada", "")
		in := h.staying(ada, "r1", "sid-1")
		h.ok(h.Accounts.Password(h.ctx(), "r2", account.Attempt{Login: "ada", Password: goodPassword}))
		again, err := h.Accounts.Finish(h.ctx(), "r2", account.Wanted{}, account.Attempt{Browser: []model.Secret{in.Cookie}})
		h.ok(err)
		if again.Session.ID != in.Session.ID {
			t.Fatal("it is another session")
		}
		h.there.ends["e"] = upstream.Ending{Issuer: "https://elsewhere.example", Session: "sid-1", ID: "m", ExpiresAt: h.clock.now().Unix() + 60}
		h.ok(h.ended("e"))
		if !h.lives(again.Session) {
			t.Error("it ended")
		}
	})
}

func TestLeave(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{})
		ada := h.user("ada", "")
		in, own := h.staying(ada, "r1", "sid-1"), h.session(ada)
		if _, err := h.Leave(h.ctx(), Leaver{Session: own.ID}); !errors.Is(err, ErrStays) {
			t.Errorf("left from nowhere: %v", err)
		}
		h.ok(h.Accounts.SignOut(h.ctx(), account.Themselves(ada.ID, ""), in.Session.ID))
		at, err := h.Elsewhere(h.ctx(), in.Session.ID)
		h.ok(err)
		d, err := h.Leave(h.ctx(), Leaver{Session: in.Session.ID, Back: "https://id.example/logout/back", State: "state-1"})
		h.ok(err)
		if at.ID != "corp" || !strings.Contains(d.Address, "state=state-1") || h.there.left[0].Hint != "id-token-of-sid-1" || h.there.left[0].Session != "sid-1" {
			t.Errorf("%+v %+v %+v", at, d, h.there.left)
		}

		// Where the answer comes to us, it leads on.
		h.there.request = "request-7"
		_, err = h.Leave(h.ctx(), Leaver{Session: in.Session.ID, Back: "https://id.example/logout/back", State: "state-2"})
		h.ok(err)
		h.there.ends["wrong"], h.there.ends["right"] = upstream.Ending{Answers: "request-8"}, upstream.Ending{Answers: "request-7"}
		answer := func(token, state string) (Departure, error) {
			return h.Ended(h.ctx(), "corp", Answer{Method: "GET", Values: url.Values{"logout_token": {token}, "RelayState": {state}}}, "")
		}
		_, err = answer("right", "state-3")
		h.refuses(err, Stale)
		if d, err = answer("right", "state-2"); err != nil || d.Address != "https://id.example/logout/back?state=state-2" {
			t.Errorf("%+v %v", d, err)
		}
		_, err = answer("right", "state-2")
		h.refuses(err, Stale)
		_, err = h.Leave(h.ctx(), Leaver{Session: in.Session.ID, Back: "https://id.example/x", State: "state-4"})
		h.ok(err)
		_, err = answer("wrong", "state-4")
		h.refuses(err, Untrusted)

		// What is kept is there for a while after the session, and not for ever.
		h.clock.advance(40 * 24 * time.Hour)
		_, err = h.Store.Sweep(h.ctx(), h.clock.now().Unix(), 0)
		h.ok(err)
		if _, err := h.Elsewhere(h.ctx(), in.Session.ID); !errors.Is(err, ErrStays) {
			t.Errorf("it is still there: %v", err)
		}
	})
}
