package federation

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// The bounds of what a provider may tell of groups and methods.
const (
	maxGroups = 50
	maxAMR    = 10
	maxName   = 200 // bytes
)

// methodWord is a value of "amr", RFC 8176 §2.
var methodWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.-]{1,32}$`) })

// texts are the claims of a profile that are texts, OpenID Connect Core §5.1.
var texts = map[string]func(*model.Profile) *string{
	"name":               func(p *model.Profile) *string { return &p.Name },
	"given_name":         func(p *model.Profile) *string { return &p.GivenName },
	"family_name":        func(p *model.Profile) *string { return &p.FamilyName },
	"middle_name":        func(p *model.Profile) *string { return &p.MiddleName },
	"nickname":           func(p *model.Profile) *string { return &p.Nickname },
	"preferred_username": func(p *model.Profile) *string { return &p.PreferredUsername },
	"profile":            func(p *model.Profile) *string { return &p.Page },
	"picture":            func(p *model.Profile) *string { return &p.Picture },
	"website":            func(p *model.Profile) *string { return &p.Website },
	"gender":             func(p *model.Profile) *string { return &p.Gender },
	"birthdate":          func(p *model.Profile) *string { return &p.Birthdate },
	"zoneinfo":           func(p *model.Profile) *string { return &p.Zoneinfo },
	"locale":             func(p *model.Profile) *string { return &p.Locale },
	"phone_number":       func(p *model.Profile) *string { return &p.PhoneNumber },
	"email":              func(p *model.Profile) *string { return &p.Email },
}

// What is mapped beside them.
const (
	claimGroups   = "groups"
	claimVerified = "email_verified"
)

// MappedClaims lists the claims that a mapping can make.
func MappedClaims() []string {
	return append(slices.Sorted(maps.Keys(texts)), claimVerified, claimGroups)
}

// defaultMapping takes the standard claims by their own names, when the account is
// made: what people change here afterwards stays.
func defaultMapping() []model.Mapping {
	var list []model.Mapping
	for _, claim := range append(slices.Sorted(maps.Keys(texts)), claimVerified) {
		if claim != "phone_number" { // it would be told as theirs, and nobody here has called it
			list = append(list, model.Mapping{Claim: claim, From: claim, Keep: true})
		}
	}
	return list
}

// told is what a provider has told of somebody, in our words.
type told struct {
	profile model.Profile   // without groups
	always  map[string]bool // the claims that are set at every sign-in
	groups  []string
	grouped bool     // the mapping speaks of groups
	mail    string   // an address of theirs that the provider has made sure of; empty: none
	name    string   // by which they would know the account over there
	left    []string // what was left out, and why: for the dry run
}

// read applies the mapping of a provider to what it tells.
func read(s model.UpstreamSettings, claims map[string]any) told {
	t := told{always: map[string]bool{}}
	mapping := s.Mapping
	if mapping == nil {
		mapping = defaultMapping()
	}
	verified, said := verifiedOf(lookup(claims, claimVerified))
	for _, m := range mapping {
		values := values(m, claims)
		switch {
		case m.Claim == claimGroups:
			t.grouped = true
			for _, g := range values {
				if !slices.Contains(t.groups, g) && len(t.groups) < maxGroups {
					t.groups = append(t.groups, g)
				}
			}
			continue
		case len(values) == 0:
			continue
		case m.Claim == claimVerified:
			verified, said = verifiedOf(values[0])
			continue
		}
		*texts[m.Claim](&t.profile) = values[0]
		t.always[m.Claim] = !m.Keep
	}
	var wrong []error
	t.profile, wrong = account.Fit(t.profile)
	for _, err := range wrong {
		t.left = append(t.left, err.Error())
	}
	if said && verified || !said && s.TrustMail {
		t.mail = t.profile.Email
	} else if t.profile.Email != "" {
		t.left = append(t.left, "email is not verified over there")
	}
	// An address of which nobody has made sure is not told to applications as theirs.
	t.profile.Email, t.profile.EmailVerified = t.mail, t.mail != ""
	t.name = nameOf(t.profile, claims)
	return t
}

// nameOf is by what somebody would know their account over there.
func nameOf(p model.Profile, claims map[string]any) string {
	for _, name := range []string{p.Email, text(claims["email"]), p.PreferredUsername, text(claims["preferred_username"]), p.Name, text(claims["name"])} {
		if name != "" {
			return account.OneLine(name, maxName)
		}
	}
	return ""
}

// values are what one line of a mapping makes of what a provider tells.
func values(m model.Mapping, claims map[string]any) []string {
	list := []string{m.Value}
	if m.Value == "" {
		list = textsOf(lookup(claims, m.From))
	}
	var out []string
	for _, v := range list {
		if m.Map != nil {
			v = m.Map[v]
		}
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

// lookup finds a member by its whole name, or else one within another: the names of
// SAML have dots of their own.
func lookup(claims map[string]any, path string) any {
	if v, ok := claims[path]; ok {
		return v
	}
	for i := range path {
		if path[i] != '.' {
			continue
		}
		if within, ok := claims[path[:i]].(map[string]any); ok {
			if v := lookup(within, path[i+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}

// maxValues bounds how many values of one member are looked at.
const maxValues = 1000

// textsOf are the values of a member: of a list, each.
func textsOf(v any) []string {
	var out []string
	switch list := v.(type) {
	case []any:
		for _, v := range list[:min(len(list), maxValues)] {
			out = append(out, text(v))
		}
	case []string:
		out = append(out, list[:min(len(list), maxValues)]...)
	default:
		out = append(out, text(v))
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// text is a single value as text; empty: it is none.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	case int64, int:
		return fmt.Sprint(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// verifiedOf reads what a provider says of an address; some say it in a text.
func verifiedOf(v any) (verified, said bool) {
	switch text(v) {
	case "true":
		return true, true
	case "":
		return false, v != nil // what is no boolean is not a yes
	}
	return false, true
}
