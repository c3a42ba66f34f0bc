package oauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
)

// BrowserState is the state of a browser in which a session is signed in, OpenID
// Connect Session Management §3: another one after every sign-in. Scripts may
// read it, so nothing follows from it.
func (a *Authority) BrowserState(s model.Session) string {
	mac := hmac.New(sha256.New, a.stateKey)
	mac.Write([]byte(string(s.ID) + "\x00" + strconv.FormatInt(s.AuthTime, 10)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// sessionState is what a client compares the state of the browser with, OpenID
// Connect Session Management §2: a hash over the client, its origin, the state,
// and a salt that follows. There is none where the client has no origin.
func (a *Authority) sessionState(id model.ClientID, redirectURI string, s model.Session) string {
	origin := registration.Origin(redirectURI)
	if origin == "" {
		return ""
	}
	salt := model.NewID()
	sum := sha256.Sum256([]byte(string(id) + " " + origin + " " + a.BrowserState(s) + " " + salt))
	return hex.EncodeToString(sum[:]) + "." + salt
}
