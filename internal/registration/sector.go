package registration

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
)

// SubjectTypes are the supported values of "subject_type".
var SubjectTypes = []string{model.SubjectPublic, model.SubjectPairwise}

// maxSector is the longest document of a sector that is read, in bytes.
const maxSector = 64 << 10

// checkClientSubject holds a client to OpenID Connect Core §8.1 and OpenID Connect
// Dynamic Client Registration §2, as far as its settings alone tell.
func checkClientSubject(s model.ClientSettings) error {
	if s.SubjectType != "" && !slices.Contains(SubjectTypes, s.SubjectType) {
		return invalid("subject_type", "it must be one of %s", strings.Join(SubjectTypes, ", "))
	}
	if s.SectorURI != "" {
		u, err := url.Parse(s.SectorURI)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || !text(s.SectorURI, MaxURI) {
			return invalid("sector_identifier_uri", "it must be an https URL")
		}
	}
	if s.SubjectType != model.SubjectPairwise {
		return nil
	}
	_, err := SectorOf(s)
	return err
}

// SectorOf returns the sector of a pairwise client: the host of its
// sector_identifier_uri, or else the one host of all its redirect URIs (OpenID
// Connect Core §8.1).
func SectorOf(s model.ClientSettings) (string, error) {
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
func (r *Registrar) checkSector(ctx context.Context, old, s model.ClientSettings) error {
	if s.SectorURI == "" || s.SectorURI == old.SectorURI && missing(old.RedirectURIs, s.RedirectURIs) == "" {
		return nil
	}
	d, err := fetch.Get(ctx, r.Fetch, s.SectorURI, fetch.Limits{Bytes: maxSector})
	if err != nil {
		r.Logger.InfoContext(ctx, "sector document refused", "uri", s.SectorURI, "error", err, "cause", errors.Unwrap(err))
		return invalid("sector_identifier_uri", "%v", err)
	}
	var listed []string
	if json.Unmarshal(d.Body, &listed) != nil {
		return invalid("sector_identifier_uri", "it must be a JSON array of redirect URIs")
	}
	if uri := missing(listed, s.RedirectURIs); uri != "" {
		return invalid("sector_identifier_uri", "it does not list the redirect URI %q", uri)
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
	was, err := SectorOf(old)
	if err != nil {
		return err
	}
	if is, err := SectorOf(s); err != nil || is != was {
		return invalid("sector_identifier_uri", "the client would move from the sector %q and know everybody by another sub: "+
			"name a document on that host that lists the redirect URIs, or register another client", was)
	}
	return nil
}
