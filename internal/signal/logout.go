package signal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
)

const (
	// logoutTokenType keeps a logout token from passing for another kind,
	// OpenID Connect Back-Channel Logout §2.4.
	logoutTokenType = "logout+jwt"
	// logoutTokenLife is in seconds: "at most two minutes", §2.4.
	logoutTokenLife = 120
	// logoutEvent is the one member of "events", §2.4.
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// logoutClaims is a logout token, OpenID Connect Back-Channel Logout §2.4. It has
// no nonce, so that it never passes for an ID token.
type logoutClaims struct {
	Issuer    string              `json:"iss"`
	Subject   string              `json:"sub"`
	Audience  string              `json:"aud"`
	IssuedAt  int64               `json:"iat"`
	ExpiresAt int64               `json:"exp"`
	ID        string              `json:"jti"`
	Events    map[string]struct{} `json:"events"`
	SessionID string              `json:"sid"`
}

// sendLogout makes one attempt to tell a client that a session is over, OpenID
// Connect Back-Channel Logout §2.5.
func (c *Courier) sendLogout(ctx context.Context, n model.Notice) result {
	var client model.Client
	err := c.Store.View(ctx, func(tx *store.Tx) (err error) {
		client, err = tx.Client(model.ClientID(n.Destination))
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (client.Disabled || client.BackchannelURI == ""):
		return result{done: true, reason: "the client does not want it any more"}
	case err != nil:
		return result{again: true, reason: "the database does not answer", cause: err}
	}
	token, err := c.logoutToken(ctx, client, n)
	if err != nil {
		return result{again: true, reason: "the token cannot be signed", cause: err}
	}
	status, err := fetch.Post(ctx, c.Fetch, client.BackchannelURI, url.Values{"logout_token": {token}})
	switch {
	case errors.Is(err, fetch.ErrInternal):
		return result{reason: "its address is an internal one", cause: errors.Unwrap(err)}
	case err != nil:
		return result{again: true, reason: "it does not answer", cause: errors.Unwrap(err)}
	}
	return answered(status)
}

// passing are the answers after which it may go well another time.
var passing = []int{
	http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// answered judges an answer, OpenID Connect Back-Channel Logout §2.8: 200 or 204
// is success, and anything but what may pass, 400 above all, is an answer that
// another attempt would not change.
func answered(status int) result {
	r := result{status: status}
	if status == http.StatusOK || status == http.StatusNoContent {
		r.done = true
		return r
	}
	r.again, r.reason = slices.Contains(passing, status), fmt.Sprintf("it answers %d", status)
	return r
}

// logoutToken signs what a client is told. Each attempt has a token of its own:
// a client that remembers every jti takes the second one, too.
func (c *Courier) logoutToken(ctx context.Context, client model.Client, n model.Notice) (string, error) {
	alg := jwa.Algorithm(client.IDTokenAlgorithm)
	if alg == "" {
		alg = jwa.RS256 // as its ID tokens: OpenID Connect Dynamic Client Registration §2
	}
	subject, err := c.Subject(ctx, client, n.UserID)
	if err != nil {
		return "", err
	}
	now := c.unix()
	return c.Keys.Sign(alg, logoutTokenType, logoutClaims{
		Issuer: c.Issuer, Subject: subject, Audience: string(client.ID),
		IssuedAt: now, ExpiresAt: now + logoutTokenLife, ID: model.NewID(),
		Events: map[string]struct{}{logoutEvent: {}}, SessionID: string(n.SessionID),
	})
}

// giveUp forgets a notice and tells the operators.
func (c *Courier) giveUp(ctx context.Context, n model.Notice, r result) error {
	return c.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.DeleteNotice(n.Sequence); err != nil {
			return err
		}
		return tx.Record(model.Event{
			Actor: model.Actor{Kind: model.ActorSystem}, Action: string(n.Kind) + ".undelivered",
			UserID: n.UserID, ClientID: model.ClientID(n.Destination),
			Detail: fmt.Sprintf("session=%s attempts=%d reason=%s", n.SessionID, n.Attempts, r.reason),
		})
	})
}
