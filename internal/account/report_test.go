package account

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// TestReportOfTheLastAdministrator: another server can put them out, and cannot leave
// this one without anybody; where there is a second one, it locks like any other.
func TestReportOfTheLastAdministrator(t *testing.T) {
	each(t, func(h house) {
		boss := h.user("boss")
		yes := true
		_, err := h.Update(h.ctx(), admin, boss.ID, Change{Admin: &yes})
		h.ok(err)
		from := model.Transmitter{ID: "there", Issuer: "https://there.example"}
		h.ok(h.store.Upkeep(h.ctx(), func(tx *store.Tx) error { return tx.InsertTransmitter(from) }))
		hear := func(jti string) Heeded {
			heeded, err := h.Heed(h.ctx(), Report{
				Naming: Naming{Issuer: "https://here.example", Transmitter: from, Match: []string{model.MatchOwn}},
				ID:     jti, Type: model.EventAccountDisabled, At: h.unix(), KeepUntil: h.unix() + 3600,
				Subject: model.SubjectID{Format: model.FormatOpaque, ID: string(boss.ID)},
			})
			h.ok(err)
			return heeded
		}
		status := func() model.UserStatus {
			u, err := h.User(h.ctx(), boss.ID)
			h.ok(err)
			return u.Status
		}
		in := h.signedIn("boss")
		if heeded := hear("1"); heeded.UserID != boss.ID || heeded.Repeated {
			h.t.Errorf("heeded %+v", heeded)
		}
		if h.alive(in.Cookie) || status() != model.UserActive {
			h.t.Errorf("the last administrator: alive %t, %s", h.alive(in.Cookie), status())
		}
		if !hear("1").Repeated {
			h.t.Error("the same event counts twice")
		}
		_, err = h.Create(h.ctx(), admin, NewUser{Login: "second", Password: goodPassword, Admin: true})
		h.ok(err)
		if hear("2"); status() != model.UserLocked {
			h.t.Errorf("one of two administrators: %s", status())
		}
	})
}
