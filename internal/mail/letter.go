package mail

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"unicode"

	"github.com/ostiary/ostiary/internal/language"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/theme"
)

// Kind is what a letter is about.
type Kind string

const (
	Verify  Kind = "verify"  // prove that an address is yours: code and link
	Exists  Kind = "exists"  // somebody wanted an account with your address, and you have one
	Recover Kind = "recover" // get back in: code and link
	SignIn  Kind = "signin"  // sign in: code and link
	Invite  Kind = "invite"  // an account waits for you: link
	Reset   Kind = "reset"   // an administrator lets you choose a new password: link
	Moved   Kind = "moved"   // to an old address: it was replaced; link that undoes it
	Changed Kind = "changed" // how you sign in has changed: What says how
	Device  Kind = "device"  // somebody signed in at a browser that was not known
	Deleted Kind = "deleted" // your account is gone
	Test    Kind = "test"    // nothing; it arrives, or does not
)

// What is changed about how a person signs in.
type What string

const (
	Password      What = "password"
	PasskeyAdded  What = "passkey_added"
	PasskeyGone   What = "passkey_removed"
	TOTPAdded     What = "totp_added"
	TOTPGone      What = "totp_removed"
	RecoveryCodes What = "recovery_codes" // there are new ones
	RecoveryUsed  What = "recovery_used"  // one was used
	IdentityAdded What = "identity_added" // they can sign in with an account that they have elsewhere
	IdentityGone  What = "identity_removed"
	Address       What = "address" // the address of these letters was confirmed, or changed
)

// Letter is one message to one person. What stands in it comes from our own texts:
// of what others have chosen it holds a login at most, and that only to an address
// which its person has proven, so that nobody can make us write to strangers.
type Letter struct {
	Kind     Kind
	To       string // address
	Language string // tag; what there is none of: that of the Config

	Code  string // digits
	Link  string // where the button leads
	Login string // by which the person signs in
	What  What   // of Changed
	Life  int64  // seconds that code or link are good
	At    int64  // when it happened; 0: it is not told
	Zone  string // in which At is told, as a "zoneinfo" claim; empty: UTC
	From  string // network address it came from; empty: it is not told

	User  model.UserID // whose it is: for Config.Lost
	Until int64        // after it nobody has a use for the letter; 0: a day from now
}

// wording is which texts a kind of letter has. Empty: it has none of these.
type wording struct{ subject, text, action, note string }

var wordings = map[Kind]wording{
	Verify:  {"letter.verify.subject", "letter.verify.text", "letter.verify.action", "letter.verify.note"},
	Exists:  {"letter.exists.subject", "letter.exists.text", "letter.exists.action", "letter.exists.note"},
	Recover: {"letter.recover.subject", "letter.recover.text", "letter.recover.action", "letter.recover.note"},
	SignIn:  {"letter.signin.subject", "letter.signin.text", "letter.signin.action", "letter.signin.note"},
	Invite:  {"letter.invite.subject", "letter.invite.text", "letter.invite.action", "letter.invite.note"},
	Reset:   {"letter.reset.subject", "letter.reset.text", "letter.reset.action", "letter.reset.note"},
	Moved:   {"letter.moved.subject", "letter.moved.text", "letter.moved.action", "letter.moved.note"},
	Changed: {"letter.changed.subject", "", "letter.changed.action", "letter.changed.note"},
	Device:  {"letter.device.subject", "letter.device.text", "letter.changed.action", "letter.changed.note"},
	Deleted: {"letter.deleted.subject", "letter.deleted.text", "", "letter.deleted.note"},
	Test:    {"letter.test.subject", "letter.test.text", "", ""},
}

var changes = map[What]string{
	Password:      "letter.changed.password",
	PasskeyAdded:  "letter.changed.passkey.added",
	PasskeyGone:   "letter.changed.passkey.removed",
	TOTPAdded:     "letter.changed.totp.added",
	TOTPGone:      "letter.changed.totp.removed",
	RecoveryCodes: "letter.changed.codes.new",
	RecoveryUsed:  "letter.changed.codes.used",
	IdentityAdded: "letter.changed.identity.added",
	IdentityGone:  "letter.changed.identity.removed",
	Address:       "letter.changed.address",
}

//go:embed templates/*
var templateFS embed.FS

//go:embed mark.png
var mark []byte

// logoID is the Content-ID of the logo, which comes with the letter: nothing is
// fetched when it is read.
const logoID = "logo"

// logoOf is the picture at the head of letters. Mail programs show no drawing (SVG) and
// hardly any WebP: where the logo is one, the name stands alone, as our mark would be
// that of somebody else.
func logoOf(c Config) *theme.Picture {
	if c.Logo == nil {
		return &theme.Picture{Type: "image/png", Suffix: ".png", Body: mark, Width: 24, Height: 24}
	}
	switch c.Logo.Type {
	case "image/png", "image/jpeg", "image/gif":
		return c.Logo
	}
	return nil
}

// logoSize is how large a logo is shown: as high as the name, or half as high again
// where it is a name, unless that makes it too wide for a phone.
func logoSize(p theme.Picture) (width, height int) {
	height = 24
	if p.Wordmark() {
		height = 36
	}
	width = max(1, height*p.Width/max(1, p.Height))
	if width > 240 {
		width, height = 240, max(1, 240*p.Height/p.Width)
	}
	return width, height
}

// Written is a letter as it goes out.
type Written struct {
	To, Subject string
	Language    string
	Text, HTML  string
}

// writer writes letters.
type writer struct {
	config  Config
	host    string         // of the issuer
	logo    *theme.Picture // nil: the name stands alone
	texts   map[string]language.Texts
	matcher language.Matcher
}

// htmlSheet and textSheet lay a letter out. They are read with the first one: a start
// has no use for them.
var (
	htmlSheet = sync.OnceValue(func() *htmltemplate.Template {
		return htmltemplate.Must(htmltemplate.ParseFS(templateFS, "templates/letter.html"))
	})
	textSheet = sync.OnceValue(func() *template.Template {
		return template.Must(template.ParseFS(templateFS, "templates/letter.txt"))
	})
)

func newWriter(c Config) (*writer, error) {
	all, err := language.All()
	if err != nil {
		return nil, err
	}
	if _, ok := all[c.Language]; !ok {
		return nil, fmt.Errorf("mail: there are no letters in the language %q", c.Language)
	}
	w := &writer{config: c, texts: all, matcher: language.NewMatcher(language.Tags()), logo: logoOf(c)}
	if u, err := url.Parse(c.Issuer); err == nil {
		w.host = u.Host
	}
	return w, nil
}

// sheet is what the templates lay out. Texts come in both forms: those of HTML are
// escaped already.
type sheet struct {
	Language, Direction, Installation, Subject string
	Logo                                       htmltemplate.URL // of a scheme that html/template does not know; empty: there is none
	LogoWidth, LogoHeight                      int
	Wordmark                                   bool // the logo has the name in it
	Text                                       []string
	Rich                                       []htmltemplate.HTML
	Code, CodeName                             string
	Link, Action, LinkName                     string
	Facts                                      []fact
	Note, Footer                               string
}

type fact struct{ Name, Value string }

// write lays a letter out in the language of whoever reads it.
func (w *writer) write(l Letter) (Written, error) {
	tag := w.matcher.Match(l.Language)
	if tag == "" {
		tag = w.config.Language
	}
	s, err := w.lay(l, w.texts[tag])
	if err != nil {
		return Written{}, err
	}
	var html, text bytes.Buffer
	if err := htmlSheet().Execute(&html, s); err != nil {
		return Written{}, fmt.Errorf("mail: %w", err)
	}
	if err := textSheet().Execute(&text, s); err != nil {
		return Written{}, fmt.Errorf("mail: %w", err)
	}
	return Written{To: l.To, Subject: s.Subject, Language: tag, Text: strings.TrimSpace(text.String()) + "\n", HTML: html.String()}, nil
}

// lay gathers the texts of a letter.
func (w *writer) lay(l Letter, m language.Texts) (sheet, error) {
	words, ok := wordings[l.Kind]
	if !ok {
		return sheet{}, fmt.Errorf("mail: there is no letter of the kind %q", l.Kind)
	}
	if l.Kind == Changed {
		if words.text, ok = changes[l.What]; !ok {
			return sheet{}, fmt.Errorf("mail: there is no letter about %q", l.What)
		}
	}
	var failed error
	fill := func(key string, pairs ...string) string {
		s, err := m.Fill(key, append(pairs, "installation", w.config.Name, "login", tidy(l.Login), "host", w.host)...)
		if err != nil && failed == nil {
			failed = err
		}
		return s
	}
	s := sheet{
		Language: m.Tag, Direction: m.Direction, Installation: w.config.Name,
		Subject: fill(words.subject), Code: l.Code, Footer: fill("letter.footer"),
	}
	if w.logo != nil {
		s.Logo, s.Wordmark = "cid:"+logoID, w.logo.Wordmark()
		s.LogoWidth, s.LogoHeight = logoSize(*w.logo)
	}
	rich, err := m.Rich(words.text, "installation", w.config.Name, "login", tidy(l.Login), "host", w.host)
	if err != nil {
		return sheet{}, err
	}
	s.Text, s.Rich = append(s.Text, fill(words.text)), append(s.Rich, rich)
	plain := func(text string) {
		s.Text, s.Rich = append(s.Text, text), append(s.Rich, htmltemplate.HTML(htmltemplate.HTMLEscapeString(text)))
	}
	if l.Code != "" {
		s.CodeName = fill("letter.code")
		plain(fill("letter.here"))
	}
	switch {
	case l.Life >= 2*day:
		plain(fill("letter.days", "count", strconv.FormatInt(l.Life/day, 10)))
	case l.Life > 0:
		plain(fill("letter.minutes", "count", strconv.FormatInt(l.Life/60, 10)))
	}
	if words.action != "" && l.Link != "" {
		s.Link, s.Action, s.LinkName = l.Link, fill(words.action), fill("letter.link")
	}
	if words.note != "" {
		s.Note = fill(words.note)
	}
	if l.At != 0 {
		at, err := m.Date(l.At, language.Zone(l.Zone))
		if err != nil {
			return sheet{}, err
		}
		s.Facts = append(s.Facts, fact{fill("letter.at"), at})
	}
	if l.From != "" {
		s.Facts = append(s.Facts, fact{fill("letter.from"), tidy(l.From)})
	}
	return s, failed
}

const day = 24 * 60 * 60

// maxTidy bounds what others chose and what stands in one line, in bytes.
const maxTidy = 200

// tidy makes what others chose one line that says what it looks like: without
// control characters, and without those that turn the direction of what follows.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxTidy {
		s = strings.ToValidUTF8(s[:maxTidy], "") + "…"
	}
	return s
}
