package account

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// ErrSubject says that an identifier is of a format that cannot name a person
// here.
var ErrSubject = errors.New("the subject identifier cannot name a person here")

// Naming says by whom a person is named, and in which ways they may be.
type Naming struct {
	Issuer      string            // ours
	Transmitter model.Transmitter // who names them; zero: a client of ours
	Match       []string          // ways, as model.MatchOwn
}

// everyWay is how a client of ours, whom an operator has given a scope for it, may
// name a person.
var everyWay = []string{model.MatchOwn, model.MatchEmail, model.MatchLogin}

// Identify returns the one person whom a client of ours means, RFC 9493 §3. It
// returns ErrSubject for a format that cannot name one, and ErrNoUser where there
// is none, or more than one.
func (a *Accounts) Identify(ctx context.Context, issuer string, id model.SubjectID) (model.User, error) {
	if id.Format == model.FormatComplex {
		return model.User{}, ErrSubject
	}
	return a.find(ctx, func(tx *store.Tx) (model.User, error) { return named(tx, Naming{Issuer: issuer, Match: everyWay}, id) })
}

// named finds the one person of an identifier. It fails with store.ErrNotFound, or
// with ErrSubject.
func named(tx *store.Tx, n Naming, id model.SubjectID) (model.User, error) {
	may := func(way string) bool { return slices.Contains(n.Match, way) }
	switch id.Format {
	case model.FormatComplex:
		if id.User == nil || id.User.Format == model.FormatComplex {
			return model.User{}, ErrSubject
		}
		return named(tx, n, *id.User)
	case model.FormatIssSub: // RFC 9493 §3.2.3
		return namedBySub(tx, n, id)
	case model.FormatOpaque: // RFC 9493 §3.2.4
		if may(model.MatchOwn) {
			return ours(tx, id.ID)
		}
	case model.FormatEmail: // RFC 9493 §3.2.2
		if may(model.MatchEmail) {
			return namedByEmail(tx, id.Email)
		}
	case model.FormatAccount: // RFC 9493 §3.2.1
		if may(model.MatchLogin) {
			return namedByAccount(tx, n, id.URI)
		}
	default:
		return model.User{}, ErrSubject
	}
	return model.User{}, store.ErrNotFound
}

func namedBySub(tx *store.Tx, n Naming, id model.SubjectID) (model.User, error) {
	if id.Issuer == n.Issuer {
		if slices.Contains(n.Match, model.MatchOwn) {
			return ours(tx, id.Sub)
		}
		return model.User{}, store.ErrNotFound
	}
	if n.Transmitter.ID == "" || id.Issuer != n.Transmitter.Issuer {
		return model.User{}, store.ErrNotFound
	}
	if slices.Contains(n.Match, model.MatchLinked) {
		user, err := tx.LinkedSubject(n.Transmitter.ID, id.Sub)
		if err == nil {
			return tx.User(user)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return model.User{}, err
		}
	}
	if slices.Contains(n.Match, model.MatchLogin) {
		return namedByLogin(tx, id.Sub)
	}
	return model.User{}, store.ErrNotFound
}

// ours returns the person behind a "sub" of ours: an account, or the name that
// somebody has in a sector (OpenID Connect Core §8).
func ours(tx *store.Tx, sub string) (model.User, error) {
	s, err := tx.Subject(sub)
	if errors.Is(err, store.ErrNotFound) {
		return tx.User(model.UserID(sub))
	}
	if err != nil {
		return model.User{}, err
	}
	return tx.User(s.UserID)
}

// namedByEmail finds the one person who has proven an address. Where several have
// proven it, nobody is meant.
func namedByEmail(tx *store.Tx, address string) (model.User, error) {
	if email(address) != "" {
		return model.User{}, store.ErrNotFound
	}
	list, err := tx.UsersByEmail(address)
	if err != nil {
		return model.User{}, err
	}
	if len(list) != 1 {
		return model.User{}, store.ErrNotFound
	}
	return list[0], nil
}

func namedByLogin(tx *store.Tx, typed string) (model.User, error) {
	login, err := normalizeLogin(typed)
	if err != nil {
		return model.User{}, store.ErrNotFound
	}
	return tx.UserByLogin(login)
}

// namedByAccount reads an acct: URI, RFC 7565 §7. Its whole may be the login, or
// the part before the host, where that is our own or the transmitter's.
func namedByAccount(tx *store.Tx, n Naming, uri string) (model.User, error) {
	rest, ok := strings.CutPrefix(uri, "acct:")
	i := strings.LastIndexByte(rest, '@')
	if !ok || i < 1 {
		return model.User{}, ErrSubject
	}
	part, err := url.PathUnescape(rest[:i])
	if err != nil {
		return model.User{}, ErrSubject
	}
	host := rest[i+1:]
	user, err := namedByLogin(tx, part+"@"+host)
	if errors.Is(err, store.ErrNotFound) && (strings.EqualFold(host, hostOf(n.Issuer)) || n.Transmitter.ID != "" && strings.EqualFold(host, hostOf(n.Transmitter.Issuer))) {
		return namedByLogin(tx, part)
	}
	return user, err
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
