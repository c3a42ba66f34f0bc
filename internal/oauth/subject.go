package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// SubjectTypes are the supported values of "subject_type".
var SubjectTypes = []string{model.SubjectPublic, model.SubjectPairwise}

// maxSector is the longest document of a sector that is read, in bytes.
const maxSector = 64 << 10

// subject names a person for the grant of a client: "" for a public one, which
// knows the account, and otherwise the name that they have in its sector. The
// name is kept: it outlives the master key that made it, and can be followed back
// (OpenID Connect Core §8.1).
func (a *Authority) subject(tx *store.Tx, c model.Client, user model.UserID) (string, error) {
	if c.SubjectType != model.SubjectPairwise {
		return "", nil
	}
	sector, err := sectorOf(c.ClientSettings)
	if err != nil {
		return "", err
	}
	known, err := tx.SubjectOf(user, sector)
	if !errors.Is(err, store.ErrNotFound) {
		return known.Value, err
	}
	fresh := model.Subject{Value: a.pairwise(sector, user), Sector: sector, UserID: user}
	// Where another request was first in this very moment, it made the same.
	if err := tx.InsertSubject(fresh); err != nil && !errors.Is(err, store.ErrConflict) {
		return "", err
	}
	return fresh.Value, nil
}

// pairwise computes the name of a person in a sector: nobody without the key can
// go back to the account, or tell that two names are of one person.
func (a *Authority) pairwise(sector string, user model.UserID) string {
	mac := hmac.New(sha256.New, a.subjectKey)
	mac.Write([]byte(sector))
	mac.Write([]byte{0}) // neither part holds a zero byte
	mac.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Subject is how a client knows a person: the "sub" of all that it is told about
// them, also when they have just been deleted.
func (a *Authority) Subject(ctx context.Context, c model.Client, user model.UserID) (string, error) {
	if c.SubjectType != model.SubjectPairwise {
		return string(user), nil
	}
	sector, err := sectorOf(c.ClientSettings)
	if err != nil {
		return "", err
	}
	var s model.Subject
	err = a.Store.View(ctx, func(tx *store.Tx) (err error) { s, err = tx.SubjectOf(user, sector); return err })
	if errors.Is(err, store.ErrNotFound) {
		return a.pairwise(sector, user), nil
	}
	return s.Value, err
}

// known returns the account behind the "sub" of an ID token of ours.
func (a *Authority) known(ctx context.Context, sub string) (model.UserID, error) {
	var s model.Subject
	err := a.Store.View(ctx, func(tx *store.Tx) (err error) { s, err = tx.Subject(sub); return err })
	if errors.Is(err, store.ErrNotFound) {
		return model.UserID(sub), nil // a public one, or nobody's any more
	}
	return s.UserID, err
}

// sub is the "sub" of what is issued to a client, and whether it is a pairwise
// one. A grant without a name never tells a pairwise client the account instead.
func (i issuance) sub() (sub string, pairwise bool, err error) {
	switch {
	case i.grant.Subject != "":
		return i.grant.Subject, true, nil
	case i.client.SubjectType == model.SubjectPairwise:
		return "", false, errors.New("oauth: the grant of a pairwise client has no subject")
	}
	return string(i.grant.UserID), false, nil
}

// checkClientSubject holds a client to OpenID Connect Core §8.1 and OpenID Connect
// Dynamic Client Registration §2, as far as its settings alone tell.
func checkClientSubject(s model.ClientSettings) error {
	if s.SubjectType != "" && !slices.Contains(SubjectTypes, s.SubjectType) {
		return invalid("subject_type", "it must be one of %s", strings.Join(SubjectTypes, ", "))
	}
	if s.SectorURI != "" {
		u, err := url.Parse(s.SectorURI)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || len(s.SectorURI) > 2048 || !clean(s.SectorURI) {
			return invalid("sector_identifier_uri", "it must be an https URL")
		}
	}
	if s.SubjectType != model.SubjectPairwise {
		return nil
	}
	_, err := sectorOf(s)
	return err
}

// sectorOf returns the sector of a pairwise client: the host of its
// sector_identifier_uri, or else the one host of all its redirect URIs (OpenID
// Connect Core §8.1).
func sectorOf(s model.ClientSettings) (string, error) {
	if s.SectorURI != "" {
		u, err := url.Parse(s.SectorURI)
		if err != nil {
			return "", invalid("sector_identifier_uri", "it must be an https URL")
		}
		return strings.ToLower(u.Hostname()), nil
	}
	sector := ""
	for _, uri := range s.RedirectURIs {
		u, err := url.Parse(uri)
		switch {
		case err != nil || u.Hostname() == "" || s.ApplicationType == "native" && loopback(u.Hostname()):
			// RFC 8252 §7: a private scheme has no host, and the loopback
			// address is that of every native application.
			return "", invalid("sector_identifier_uri", "subject_type pairwise needs it, because the redirect URI %q is on no host of the client's own", uri)
		case sector != "" && sector != strings.ToLower(u.Hostname()):
			return "", invalid("sector_identifier_uri", "subject_type pairwise needs it, because the redirect URIs are on several hosts")
		}
		sector = strings.ToLower(u.Hostname())
	}
	if sector == "" {
		return "", invalid("sector_identifier_uri", "subject_type pairwise needs it, or a redirect URI")
	}
	return sector, nil
}

// checkSector fetches what a client names as its sector, which must list all of
// its redirect URIs: whoever controls that host vouches for them (OpenID Connect
// Dynamic Client Registration §5). What stood there when it was last checked need
// not stand there for ever, so only a change is checked anew.
func (a *Authority) checkSector(ctx context.Context, old, s model.ClientSettings) error {
	if s.SectorURI == "" || s.SectorURI == old.SectorURI && len(without(s.RedirectURIs, old.RedirectURIs)) == 0 {
		return nil
	}
	d, err := fetch.Get(ctx, a.Fetch, s.SectorURI, fetch.Limits{Bytes: maxSector})
	if err != nil {
		a.Logger.InfoContext(ctx, "sector document refused", "uri", s.SectorURI, "error", err, "cause", errors.Unwrap(err))
		return invalid("sector_identifier_uri", "%v", err)
	}
	var listed []string
	if json.Unmarshal(d.Body, &listed) != nil {
		return invalid("sector_identifier_uri", "it must be a JSON array of redirect URIs")
	}
	if missing := without(s.RedirectURIs, listed); len(missing) > 0 {
		return invalid("sector_identifier_uri", "it does not list the redirect URI %q", missing[0])
	}
	return nil
}

// keepSector refuses to move a pairwise client to another sector: all of its
// people would become strangers to it. And if a client could keep its sector where
// it moves, whoever registers one with the address of another and then moves would
// learn how that other one knows people.
func keepSector(old, s model.ClientSettings) error {
	if old.SubjectType != model.SubjectPairwise || s.SubjectType != model.SubjectPairwise {
		return nil
	}
	was, err := sectorOf(old)
	if err != nil {
		return err
	}
	if is, err := sectorOf(s); err != nil || is != was {
		return invalid("sector_identifier_uri", "the client would move from the sector %q and know everybody by another sub: "+
			"name a document on that host that lists the redirect URIs, or register another client", was)
	}
	return nil
}
