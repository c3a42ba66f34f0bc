package account

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// How many letters may be asked for in letterWindow. Beyond the first, whoever asks
// from that network has to wait; beyond the second nothing is sent, and nobody is
// told, because it would tell whether there is somebody to write to. The third keeps
// a flood from many networks from the mail server's good name.
const (
	letterWindow = time.Hour
	lettersAt    = 30     // from one network
	lettersTo    = 6      // to one address, or about one login
	lettersOfAll = 20_000 // from everywhere
)

// Mails says whether letters can be sent, and so what hangs on them can be offered.
func (a *Accounts) Mails() bool { return a.post.Ready() }

// admitLetter counts a wish for a letter about somebody or something, an address or
// a login, in whichever case, typed at a network. send says whether one may go out. It returns
// ErrLetterLimit.
func (a *Accounts) admitLetter(ctx context.Context, about, address string) (send bool, err error) {
	var first, limited bool
	err = a.store.Upkeep(ctx, func(tx *store.Tx) error {
		first, limited, send = false, false, false
		now := a.unix()
		for _, c := range []struct {
			name string
			most int64
			told bool
		}{{"letters at " + model.Neighbourhood(address), lettersAt, true}, {"letters", lettersOfAll, true}, {"letters to " + model.Secret(strings.ToLower(about)).Hash(), lettersTo, false}} {
			n, err := tx.Tally(c.name, now, now+int64(letterWindow/time.Second))
			if err != nil {
				return err
			}
			if first = n == c.most+1; n > c.most {
				limited = c.told
				return nil
			}
		}
		send = true
		return nil
	})
	if err != nil {
		return false, err
	}
	if first {
		err = a.store.Update(ctx, func(tx *store.Tx) error {
			return tx.Record(model.Event{Actor: stranger(address), Action: "mail.throttle", Detail: "many letters were asked for"})
		})
	}
	if limited {
		err = errors.Join(ErrLetterLimit, err)
	}
	return send, err
}

// stranger is whoever asks for something before anybody knows who they are.
func stranger(address string) model.Actor {
	return model.Actor{Kind: model.ActorNobody, Address: printable(address, maxAddress)}
}

// themselves is a person who acts for themselves.
func themselves(id model.UserID, address string) model.Actor {
	return model.Actor{Kind: model.ActorUser, ID: string(id), Address: printable(address, maxAddress)}
}

// send hands a letter to the post, which takes it or tells LetterLost.
func (a *Accounts) send(ctx context.Context, l mail.Letter) {
	if !a.Mails() {
		return
	}
	if err := a.post.Send(l); err != nil {
		a.LetterLost(ctx, l, err)
	}
}

// LetterLost notes in the audit log that a letter was given up, and of which sort
// the cause was.
func (a *Accounts) LetterLost(ctx context.Context, l mail.Letter, cause error) {
	why := "unreachable"
	for reason, of := range map[string]error{"refused": mail.ErrRefused, "address": mail.ErrAddress, "late": mail.ErrLate, "full": mail.ErrFull} {
		if errors.Is(cause, of) {
			why = reason
		}
	}
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Record(model.Event{Actor: model.Actor{Kind: model.ActorSystem}, Action: "mail.give_up", UserID: l.User, Detail: "letter=" + string(l.Kind) + " cause=" + why})
	})
	if err != nil {
		a.logger.ErrorContext(ctx, "a letter was given up, and the audit log does not say so", "error", err)
	}
}

// notice is something about an account that its person should know of.
type notice struct {
	Kind mail.Kind // empty: mail.Changed
	What mail.What // of mail.Changed
	From string    // network address of whoever did it; empty: it is not told
}

// notify writes to a person what has just been done with their account, if they have
// a confirmed address. It is called after the change is committed, never inside of a
// transaction, and the change does not depend on it.
func (a *Accounts) notify(ctx context.Context, user model.User, n notice) {
	if !user.Profile.EmailVerified || user.Profile.Email == "" {
		return
	}
	l := mail.Letter{
		Kind: mail.Changed, To: user.Profile.Email, Language: user.Profile.Locale, Login: user.Login, What: n.What,
		At: a.unix(), Zone: user.Profile.Zoneinfo, From: n.From, User: user.ID, Link: a.issuer + "/account",
	}
	if n.Kind != "" {
		l.Kind = n.Kind
	}
	if l.Kind == mail.Device && !a.deviceMail {
		return
	}
	a.send(ctx, l)
}

// notifyOf is notify for a person who has to be looked up, as they are now.
func (a *Accounts) notifyOf(ctx context.Context, id model.UserID, n notice) {
	if !a.Mails() {
		return
	}
	user, err := a.User(ctx, id)
	if err != nil {
		a.logger.WarnContext(ctx, "nobody was told of a change", "user", id, "error", err)
		return
	}
	a.notify(ctx, user, n)
}

// linkTo is the address of the page that a link leads to: of the issuer, whatever
// Host a request had.
func (a *Accounts) linkTo(token model.Secret) string {
	return a.issuer + "/link?token=" + url.QueryEscape(token.Reveal())
}
