package oauth

import (
	"fmt"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// However many clients there are, the log gets so many lines in an hour and no more; nor is
// more remembered.
func TestLengthsAreBounded(t *testing.T) {
	var l lengths
	said := func(now int64) (n int) {
		for i := range 3 * lengthsKept {
			if l.say(lengthOf{model.ClientID(fmt.Sprint(i)), "access_token"}, now) {
				n++
			}
		}
		return n
	}
	if n := said(1000); n != lengthsKept || len(l.said) != lengthsKept {
		t.Errorf("%d lines at once, and %d kept", n, len(l.said))
	}
	if n := said(1000 + lengthAgain - 1); n != 0 {
		t.Errorf("%d lines within the hour", n)
	}
	if n := said(1000 + lengthAgain); n != lengthsKept {
		t.Errorf("%d lines after an hour", n)
	}
	// A clock that was ahead does not keep it silent.
	if n := said(500); n != lengthsKept {
		t.Errorf("%d lines after the clock was put back", n)
	}
}
