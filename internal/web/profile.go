package web

import (
	_ "embed"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// profilePage shows what is known of a person, and changes it. It posts from, and the
// fields by their names.
type profilePage struct {
	shell
	Action   string
	From     string // mark of the profile that is shown
	Groups   []group
	Email    string
	Verified bool
	Mail     string // address of the page that changes the e-mail address; empty: none
	Phone    bool   // the phone number is verified
	In       []string
}

func (profilePage) view() string { return "profile" }

// group is fields that belong together.
type group struct {
	Title  string
	Fields []field
}

// field is one field of a form.
type field struct {
	Name, Label, Value string
	Type               string // of an input; "select", "textarea"
	Complete           string // what browsers fill in
	Hint, Error        string
	Focus              bool // it is the first one with an error
	Whole              bool // it takes a whole line
	Options            []option
}

// option is one of the choices of a field.
type option struct {
	Value, Text string
	Chosen      bool
}

// ID is that of the field on its page.
func (f field) ID() string { return "field-" + strings.ReplaceAll(f.Name, ".", "-") }

// Described are the parts of the page that say more of the field.
func (f field) Described() string {
	var ids []string
	if f.Error != "" {
		ids = append(ids, f.ID()+"-error")
	}
	if f.Hint != "" {
		ids = append(ids, f.ID()+"-hint")
	}
	return strings.Join(ids, " ")
}

func (s *Web) showProfile(w http.ResponseWriter, r *http.Request, me visitor) error {
	page := s.profilePage(r, me, me.User.Profile)
	page.From = account.Mark(me.User.Profile)
	page.Notice = notice(r, map[string]string{"saved": s.pages.text(r, "account.profile.saved")})
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// profilePage is the page with what somebody typed, or with what there is.
func (s *Web) profilePage(r *http.Request, me visitor, p model.Profile) profilePage {
	page := profilePage{
		shell: s.shell(r, me), Action: s.base + "/account/profile", Groups: s.profileFields(r, p),
		Email: me.User.Profile.Email, Verified: me.User.Profile.EmailVerified, Phone: me.User.Profile.PhoneNumberVerified, In: me.User.Profile.Groups,
	}
	page.Mail = s.base + "/account/mail"
	return page
}

// profileFields are the claims of OpenID Connect Core §5.1 that a person may change.
func (s *Web) profileFields(r *http.Request, p model.Profile) []group {
	text := func(name, value, complete string) field {
		return field{Name: name, Label: s.pages.label(r, name), Value: value, Type: "text", Complete: complete}
	}
	link := func(name, value, complete string) field {
		return field{Name: name, Label: s.pages.label(r, name), Value: value, Type: "url", Complete: complete, Whole: true}
	}
	var a model.Address
	if p.Address != nil {
		a = *p.Address
	}
	name, phone := text("name", p.Name, "name"), text("phone_number", p.PhoneNumber, "tel")
	name.Whole, phone.Type, phone.Hint = true, "tel", s.pages.text(r, "account.profile.phone.hint")
	birth := text("birthdate", p.Birthdate, "bday")
	birth.Hint = s.pages.text(r, "account.profile.birthdate.hint")
	zone := text("zoneinfo", p.Zoneinfo, "")
	zone.Type, zone.Options = "select", zoneOptions(p.Zoneinfo, s.pages.text(r, "account.profile.zone.none"))
	locale := text("locale", p.Locale, "language")
	locale.Type, locale.Options, locale.Hint = "select", s.localeOptions(r, p.Locale), s.pages.text(r, "account.profile.locale.hint")
	part := func(name, label, value, complete string) field {
		return field{Name: "address." + name, Label: label, Value: value, Type: "text", Complete: complete}
	}
	whole := part("formatted", s.pages.text(r, "account.address.whole"), a.Formatted, "")
	whole.Type, whole.Whole, whole.Hint = "textarea", true, s.pages.text(r, "account.profile.formatted.hint")
	street := part("street_address", s.pages.text(r, "account.address.street"), a.StreetAddress, "street-address")
	street.Type, street.Whole = "textarea", true
	return []group{
		{s.pages.text(r, "account.profile.names"), []field{
			name, text("given_name", p.GivenName, "given-name"), text("family_name", p.FamilyName, "family-name"),
			text("middle_name", p.MiddleName, "additional-name"), text("nickname", p.Nickname, "nickname"), text("preferred_username", p.PreferredUsername, ""),
		}},
		{s.pages.text(r, "account.profile.person"), []field{birth, text("gender", p.Gender, "sex"), locale, zone}},
		{s.pages.text(r, "account.profile.contact"), []field{phone, link("website", p.Website, "url"), link("profile", p.Page, ""), link("picture", p.Picture, "photo")}},
		{s.pages.text(r, "account.profile.address"), []field{
			street, part("locality", s.pages.text(r, "account.address.city"), a.Locality, "address-level2"), part("region", s.pages.text(r, "account.address.region"), a.Region, "address-level1"),
			part("postal_code", s.pages.text(r, "account.address.code"), a.PostalCode, "postal-code"), part("country", s.pages.text(r, "account.address.country"), a.Country, "country-name"), whole,
		}},
	}
}

// label is the name of a claim as that of a field.
func (p *pages) label(r *http.Request, claim string) string {
	return capital(p.text(r, "claim."+claim))
}

// typedProfile is the profile that a form holds: text is trimmed, and what the form
// may not change is as it was.
func typedProfile(f map[string][]string, was model.Profile) model.Profile {
	get := func(name string) string {
		if len(f[name]) != 1 {
			return ""
		}
		return strings.TrimSpace(strings.ReplaceAll(f[name][0], "\r\n", "\n"))
	}
	p := model.Profile{
		Name: get("name"), GivenName: get("given_name"), FamilyName: get("family_name"), MiddleName: get("middle_name"),
		Nickname: get("nickname"), PreferredUsername: get("preferred_username"), Page: get("profile"), Picture: get("picture"),
		Website: get("website"), Gender: get("gender"), Birthdate: get("birthdate"), Zoneinfo: get("zoneinfo"), Locale: get("locale"),
		Email: was.Email, EmailVerified: was.EmailVerified, PhoneNumber: get("phone_number"), Groups: was.Groups,
	}
	p.PhoneNumberVerified = was.PhoneNumberVerified && p.PhoneNumber == was.PhoneNumber
	address := model.Address{
		Formatted: get("address.formatted"), StreetAddress: get("address.street_address"), Locality: get("address.locality"),
		Region: get("address.region"), PostalCode: get("address.postal_code"), Country: get("address.country"),
	}
	if address != (model.Address{}) {
		p.Address = &address
	}
	return p
}

// changeProfile takes the form. What somebody typed stays on the page whatever is
// wrong with it.
func (s *Web) changeProfile(w http.ResponseWriter, r *http.Request, me visitor) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	typed := typedProfile(f, me.User.Profile)
	_, err = s.Accounts.Edit(r.Context(), s.actor(r, me.UserID), me.UserID, account.Edit{From: f.Get("from"), Profile: typed})
	if err == nil {
		if typed.Locale != me.User.Profile.Locale {
			s.cookies.dropLanguage(w) // what was chosen for this browser would hide it
		}
		s.done(w, r, "/account/profile", "saved")
		return nil
	}
	page := s.profilePage(r, me, typed)
	page.From = f.Get("from")
	var wrong account.ErrInvalid
	switch {
	case errors.As(err, &wrong):
		page.Error = s.pages.text(r, "account.profile.wrong")
		page.blame(wrong.Field, s.pages.flaw(r, wrong))
	case errors.Is(err, account.ErrStale):
		// Whoever sends it again has been told, and sees what is in the way.
		page.Error, page.From = s.pages.text(r, "account.profile.stale"), account.Mark(me.User.Profile)
		page.compare(s.profileFields(r, me.User.Profile), func(now string) string { return s.pages.text(r, "account.profile.now", "value", now) })
	default:
		return err
	}
	s.pages.self(w, r, page.Status(), page)
	return nil
}

// blame puts what is wrong beside its field; where there is none, at the top.
func (p *profilePage) blame(name, text string) {
	for i := range p.Groups {
		for j := range p.Groups[i].Fields {
			if f := &p.Groups[i].Fields[j]; f.Name == name {
				f.Error, f.Focus = text, true
				return
			}
		}
	}
	p.Error = text
}

// compare puts beside each field that somebody else has changed what it is now.
func (p *profilePage) compare(now []group, say func(string) string) {
	for i := range p.Groups {
		for j := range p.Groups[i].Fields {
			if f := &p.Groups[i].Fields[j]; f.Value != now[i].Fields[j].Value {
				f.Hint = say(tidy(now[i].Fields[j].Value))
			}
		}
	}
}

// localeOptions are the languages of the pages, and what the profile has.
func (s *Web) localeOptions(r *http.Request, chosen string) []option {
	list := []option{{"", s.pages.text(r, "account.profile.locale.none"), chosen == ""}}
	known := chosen == ""
	for _, item := range s.pages.menu {
		list = append(list, option{item.Tag, item.Name, item.Tag == chosen})
		known = known || item.Tag == chosen
	}
	if !known {
		list = append(list, option{chosen, chosen, true})
	}
	return list
}

// zones are the time zones to choose from, by the names of the tz database.
//
//go:embed zones.txt
var zones string

func zoneOptions(chosen, none string) []option {
	list := []option{{"", none, chosen == ""}}
	names := strings.Fields(zones)
	if chosen != "" && !slices.Contains(names, chosen) {
		names = append(names, chosen)
	}
	for _, name := range names {
		list = append(list, option{name, strings.ReplaceAll(name, "_", " "), name == chosen})
	}
	return list
}
