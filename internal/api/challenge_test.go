package api

import (
	"errors"
	"testing"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/oauth"
)

// A policy that was made between the password and the session sends the person to a
// browser: nothing else in the draft asks for a further factor (§5.2.2.1.1).
func TestUnprovenFactor(t *testing.T) {
	var e *oauth.Error
	if err := (&API{}).unproven(t.Context(), oauth.Challenge{}, account.ErrFactor); !errors.As(err, &e) || e.Code != oauth.RedirectToWeb {
		t.Errorf("%v", err)
	}
}
