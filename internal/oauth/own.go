package oauth

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// ModeOwn is how the answer to a request of our own goes back: to a page of this
// server, and with nothing to carry.
const ModeOwn = "own"

// PathAccount is the first of the pages where people see what is theirs. Below it
// are all to which a request of our own can lead.
const PathAccount = "/account"

// Own is a sign-in for a page of our own: no client asks for it, and no code comes
// of it.
type Own struct {
	Path    string          // of the page, below the base path; it is the caller's, never an address from outside
	Session model.SessionID // whose page it is; empty: whoever's is current
	MaxAge  *int64          // seconds since the sign-in; nil: any
	Prompt  []string        // as that of a client's request
	ACR     string          // the least that must have been proven; empty: anything
}

// BeginOwn makes a request of our own, which then goes the way of every other.
// Nothing is stored.
func (a *Authority) BeginOwn(o Own) Authorization {
	now := a.unix()
	asked := model.Asked{RedirectURI: o.Path, MaxAge: o.MaxAge, Prompt: o.Prompt}
	if o.ACR != "" {
		asked.ACRRequired = []string{o.ACR}
	}
	return a.own(model.Request{
		ID:        model.RequestID(model.NewID()),
		CreatedAt: now,
		ExpiresAt: now + seconds(a.RequestLife),
		Asked:     asked,
		Chosen:    o.Session,
	})
}

// own is what a request without a client stands for: the house is party to itself,
// and so nobody is asked for consent.
func (a *Authority) own(r model.Request) Authorization {
	return Authorization{
		Request: r,
		Client:  model.Client{ClientSettings: model.ClientSettings{FirstParty: true}},
		way:     Return{URI: a.BasePath() + r.Asked.RedirectURI, Mode: ModeOwn},
		leave:   Answer{URI: a.BasePath() + PathAccount, Mode: ModeOwn},
	}
}

// Own reports whether the request is for a page of our own.
func (z Authorization) Own() bool { return z.Request.ClientID == "" }

// issueOwn ends a request of our own: its person may go to the page. There is no
// grant, and so nothing to account for.
func (a *Authority) issueOwn(ctx context.Context, z Authorization) (Answer, error) {
	if z.stored {
		done := z.Request
		done.ExpiresAt = min(done.ExpiresAt, a.unix()+afterIssue)
		err := a.Store.Upkeep(ctx, func(tx *store.Tx) error { return tx.UpdateRequest(done) })
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return Answer{}, inner(err)
		}
	}
	return z.way.answer(nil), nil
}
