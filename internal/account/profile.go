package account

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ostiary/ostiary/internal/model"
	"golang.org/x/text/language"
)

// The bounds of a profile. Claims travel in ID tokens and in answers to
// userinfo, so nobody may make them large.
const (
	maxClaim  = 2048 // bytes of one claim
	maxEmail  = 254  // bytes, RFC 5321 §4.5.3.1.3
	maxGroup  = 256  // bytes of one group's name
	maxGroups = 100
)

var (
	zoneinfo    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$`) })
	phoneNumber = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\+[0-9][0-9 ().-]{1,38}(;ext=[0-9]{1,15})?$`) })
)

// claim is one claim of a profile and the rule that it must keep, beside those
// that hold for all of them. rule returns a reason, or nothing.
type claim struct {
	name  string
	value *string
	rule  func(string) Reason
}

// claimsOf are the texts of a profile, OpenID Connect Core §5.1.
func claimsOf(p *model.Profile) []claim {
	claims := []claim{
		{"name", &p.Name, oneLine},
		{"given_name", &p.GivenName, oneLine},
		{"family_name", &p.FamilyName, oneLine},
		{"middle_name", &p.MiddleName, oneLine},
		{"nickname", &p.Nickname, oneLine},
		{"preferred_username", &p.PreferredUsername, oneLine},
		{"profile", &p.Page, webAddress},
		{"picture", &p.Picture, webAddress},
		{"website", &p.Website, webAddress},
		{"gender", &p.Gender, oneLine},
		{"birthdate", &p.Birthdate, birthdate},
		{"zoneinfo", &p.Zoneinfo, matches(zoneinfo, NotZone)},
		{"locale", &p.Locale, locale},
		{"email", &p.Email, email},
		{"phone_number", &p.PhoneNumber, matches(phoneNumber, NotPhone)},
	}
	if a := p.Address; a != nil {
		claims = append(claims, []claim{
			{"address.formatted", &a.Formatted, lines},
			{"address.street_address", &a.StreetAddress, lines},
			{"address.locality", &a.Locality, oneLine},
			{"address.region", &a.Region, oneLine},
			{"address.postal_code", &a.PostalCode, oneLine},
			{"address.country", &a.Country, oneLine},
		}...)
	}
	return claims
}

// checkProfile holds a profile against OpenID Connect Core §5.1. It returns
// ErrInvalid.
func checkProfile(p model.Profile) error {
	for _, c := range claimsOf(&p) {
		if reason := c.check(); reason != "" {
			return ErrInvalid{c.name, reason}
		}
	}
	if p.EmailVerified && p.Email == "" {
		return ErrInvalid{"email_verified", "is said of no address"}
	}
	if p.PhoneNumberVerified && p.PhoneNumber == "" {
		return ErrInvalid{"phone_number_verified", "is said of no number"}
	}
	return checkGroups(p.Groups)
}

// check returns a reason, or nothing; there is nothing wrong with what is not told.
func (c claim) check() Reason {
	switch v := *c.value; {
	case v == "":
		return ""
	case len(v) > maxClaim:
		return ClaimLong
	case !utf8.ValidString(v):
		return NotText
	default:
		return c.rule(v)
	}
}

func checkGroups(groups []string) error {
	if len(groups) > maxGroups {
		return ErrInvalid{"groups", Reason(fmt.Sprintf("must be %d or less", maxGroups))}
	}
	for i, g := range groups {
		switch {
		case g == "" || len(g) > maxGroup:
			return ErrInvalid{"groups", Reason(fmt.Sprintf("must have names of 1 to %d bytes", maxGroup))}
		case !utf8.ValidString(g) || oneLine(g) != "":
			return ErrInvalid{"groups", "must have names of one line of valid UTF-8"}
		case slices.Contains(groups[:i], g):
			return ErrInvalid{"groups", "must not name one twice"}
		}
	}
	return nil
}

func oneLine(s string) Reason {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return NotOneLine
	}
	return ""
}

// lines allows line breaks, OpenID Connect Core §5.1.1.
func lines(s string) Reason {
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' }) {
		return NotLines
	}
	return ""
}

func matches(form func() *regexp.Regexp, reason Reason) func(string) Reason {
	return func(s string) Reason {
		if !form().MatchString(s) {
			return reason
		}
		return ""
	}
}

// webAddress keeps out what a page that shows the claim as a link would run:
// "javascript:" and its like.
func webAddress(s string) Reason {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || strings.ContainsFunc(s, unicode.IsSpace) {
		return NotWebAddress
	}
	return ""
}

// birthdate is YYYY-MM-DD, or YYYY; the year 0000 says that it is not told.
func birthdate(s string) Reason {
	for _, layout := range []string{"2006-01-02", "2006"} {
		if _, err := time.Parse(layout, s); err == nil {
			return ""
		}
	}
	return NotDate
}

// locale is a BCP 47 tag; well-formed is enough, for the registry grows.
func locale(s string) Reason {
	_, err := language.Parse(s)
	var unknown language.ValueError
	if err == nil || errors.As(err, &unknown) {
		return ""
	}
	return NotLocale
}

// email accepts the addresses that people have, and none of which two programs
// could think differently: no quotes, comments, spaces, or a second "@".
func email(s string) Reason {
	local, domain, _ := strings.Cut(s, "@")
	if len(s) > maxEmail || len(local) > 64 || local == "" || domain == "" {
		return NotEmail
	}
	for _, r := range local {
		if r > unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)) || isAtext(r) || r == '.' {
			continue
		}
		return NotEmail
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return NotEmail
		}
		if strings.ContainsFunc(label, func(r rune) bool {
			return r != '-' && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r)
		}) {
			return NotEmail
		}
	}
	return ""
}

// isAtext reports whether an unquoted local part may have r, RFC 5322 §3.2.3.
func isAtext(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}
