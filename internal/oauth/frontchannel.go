package oauth

import (
	"context"
	"net/url"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
)

// maxFrames bounds how many applications a browser is made to visit at once.
const maxFrames = 50

// Frame is an address that a browser has to load so that an application signs
// its person out, OpenID Connect Front-Channel Logout §3.
type Frame struct {
	URI    string
	Origin string // of the URI
}

// FrontChannel lists what the browser of a session has to load when that is over,
// for each client that took part in it and asked for that.
func (a *Authority) FrontChannel(ctx context.Context, id model.SessionID) ([]Frame, error) {
	var clients []model.Client
	err := a.view(ctx, func(tx *store.Tx) (err error) {
		clients, err = tx.Participants(id, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	var frames []Frame
	for _, c := range clients {
		origin := registration.Origin(c.FrontchannelURI)
		if origin == "" || len(frames) == maxFrames {
			continue
		}
		// §2: both or neither, and what the URI has of a query is retained.
		joint := "?"
		if strings.Contains(c.FrontchannelURI, "?") {
			joint = "&"
		}
		query := url.Values{"iss": {a.Issuer}, "sid": {string(id)}}.Encode()
		frames = append(frames, Frame{URI: c.FrontchannelURI + joint + query, Origin: origin})
	}
	return frames, nil
}
