package web

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"unicode"
)

// messages are all the texts of one language, by key. A word in braces stands
// for a value that is put in when the page is drawn. Templates hold no text of
// their own, so that another language is another value of this type.
type messages struct {
	language  string // BCP 47: the page's lang attribute
	direction string // "ltr" or "rtl"
	text      map[string]string
}

// fill returns the text behind key with its {words} replaced by the values
// that follow in pairs of word and value. A key that does not exist is an
// error: a page must not be shown with a hole in it.
func (m messages) fill(key string, pairs ...string) (string, error) {
	plain := func(s string) string { return s }
	return m.replace(key, pairs, plain, func(_, v string) string { return v })
}

// rich is fill for the body of a page: each value stands out, and its writing
// direction stays its own affair. It returns escaped HTML.
func (m messages) rich(key string, pairs ...string) (template.HTML, error) {
	s, err := m.replace(key, pairs, template.HTMLEscapeString, func(word, v string) string {
		open := "<bdi>"
		if word == "host" {
			open = `<bdi dir="ltr">` // labels stand from left to right in every script
		}
		return "<strong>" + open + template.HTMLEscapeString(v) + "</bdi></strong>"
	})
	return template.HTML(s), err
}

func (m messages) replace(key string, pairs []string, text func(string) string, value func(word, v string) string) (string, error) {
	rest, ok := m.text[key]
	if !ok {
		return "", fmt.Errorf("web: no text in %s for %q", m.language, key)
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(text(before))
		if !found {
			return b.String(), nil
		}
		var word string
		word, rest, _ = strings.Cut(after, "}")
		v, ok := pairOf(pairs, word)
		if !ok {
			return "", fmt.Errorf("web: the text %q wants a value for {%s}", key, word)
		}
		b.WriteString(value(word, v))
	}
}

func pairOf(pairs []string, word string) (string, bool) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == word {
			return pairs[i+1], true
		}
	}
	return "", false
}

// english is the language that every text exists in. Three sentences are part
// of the public contract and do not change: error.title, signedout.title and
// the one that is put together from login.client.
var english = messages{
	language:  "en",
	direction: "ltr",
	text: map[string]string{
		"title.error": "Error: ",
		"home.link":   "{installation}, start page",

		"login.title":             "Sign in",
		"login.client":            "Sign in to continue to {client}",
		"login.host":              "You will return to {host}",
		"login.login":             "Username",
		"login.password":          "Password",
		"login.remember":          "Keep me signed in on this device",
		"login.submit":            "Sign in",
		"login.cancel":            "Cancel",
		"login.error.credentials": "That username and password do not match. Check both and try again.",
		"login.error.locked":      "This account is locked. Ask an administrator to unlock it.",
		"login.error.busy":        "Many people are signing in right now. Wait a moment and try again.",

		"login.create": "Create an account",
		"login.select": "Choose another account",

		"create.title":          "Create an account",
		"create.client":         "Create an account to continue to {client}",
		"create.login":          "Email address or username",
		"create.name":           "Full name",
		"create.optional":       "optional",
		"create.password":       "Password",
		"create.password.hint":  "Eight characters or more. Long is better than complicated: four words that do not belong together",
		"create.submit":         "Create account",
		"create.cancel":         "Cancel",
		"create.signin":         "Sign in to an account you have",
		"create.error.login":    "The email address or username {reason}.",
		"create.error.name":     "The name {reason}.",
		"create.error.password": "The password {reason}.",
		"create.error.taken":    "There is an account with that email address or username already. Sign in to it, or choose another one.",
		"create.error.limit":    "Too many accounts were asked for from your network. Try again in an hour.",
		"create.error.off":      "New accounts cannot be created here now.",

		"select.title":   "Choose an account",
		"select.client":  "Choose an account for {client}",
		"select.another": "Use another account",
		"select.cancel":  "Cancel",

		"consent.title":      "Allow access",
		"consent.client":     "{client} asks to use your account",
		"consent.user":       "Signed in as",
		"consent.switch":     "Not you?",
		"consent.scopes":     "If you allow it, the application can:",
		"consent.claims":     "See some details about you",
		"consent.claims.and": ", ",
		"consent.none":       "It asks for nothing but to know that you are signed in.",
		"consent.host":       "Either way, you will return to {host}",
		"consent.allow":      "Allow",
		"consent.deny":       "Do not allow",

		"client.stranger": "Not verified by {installation}. It gave this name itself: go on only if you know it.",
		"client.site":     "It is the application at {host}.",
		"client.about":    "About {client}",
		"client.website":  "Website",
		"client.policy":   "Privacy policy",
		"client.terms":    "Terms of service",

		"scope.openid":                "Know that it is you",
		"scope.openid.detail":         "By an identifier of your account",
		"scope.profile":               "See your profile",
		"scope.profile.detail":        "Name, picture, language and the like",
		"scope.email":                 "See your email address",
		"scope.email.detail":          "And whether it has been verified",
		"scope.address":               "See your postal address",
		"scope.address.detail":        "Street, city, postal code and country",
		"scope.phone":                 "See your phone number",
		"scope.phone.detail":          "And whether it has been verified",
		"scope.groups":                "See the groups you belong to",
		"scope.groups.detail":         "They may decide what you can do there",
		"scope.offline_access":        "Stay connected while you are away",
		"scope.offline_access.detail": "Even after you sign out, until you or an administrator end it",

		"claim.name":                  "full name",
		"claim.family_name":           "family name",
		"claim.given_name":            "given name",
		"claim.middle_name":           "middle name",
		"claim.nickname":              "nickname",
		"claim.preferred_username":    "username",
		"claim.profile":               "profile page",
		"claim.picture":               "picture",
		"claim.website":               "website",
		"claim.gender":                "gender",
		"claim.birthdate":             "date of birth",
		"claim.zoneinfo":              "time zone",
		"claim.locale":                "language",
		"claim.updated_at":            "time of the last change",
		"claim.email":                 "email address",
		"claim.email_verified":        "whether the email address is verified",
		"claim.address":               "postal address",
		"claim.phone_number":          "phone number",
		"claim.phone_number_verified": "whether the phone number is verified",
		"claim.groups":                "groups",

		"error.title":        "This request is not valid",
		"error.title.busy":   "Too many requests",
		"error.title.server": "Something went wrong here",
		"error.hint":         "Go back to the application you came from and start again. If that does not help, give these details to the people who run it.",
		"error.hint.busy":    "Wait a minute, then try again.",
		"error.hint.server":  "The fault is ours, not yours. Try again in a moment. If that does not help, give these details to an administrator.",
		"error.code":         "Error",
		"error.request":      "Request",

		"notfound.title": "There is no such page",
		"notfound.text":  "The address is mistyped, or what was here has moved.",
		"notfound.home":  "Go to the start page",

		"signout.title":   "Sign out?",
		"signout.text":    "This ends your session here and in the applications you used with it.",
		"signout.client":  "{client} asks to sign you out. This ends your session here and in the applications you used with it.",
		"signout.user":    "Signed in as",
		"signout.which":   "Whom do you want to sign out?",
		"signout.all":     "All accounts in this browser",
		"signout.posting": "You are on your way to sign out. If nothing happens, continue here.",
		"signout.submit":  "Sign out",
		"signout.cancel":  "Stay signed in",

		"signedout.title":     "You are signed out",
		"signedout.text":      "Your session has ended. You can close this window.",
		"signedout.going":     "Your session has ended. Your applications are being told, then you go back.",
		"signedout.frame":     "Signing out of an application",
		"signedout.back":      "Back to {client}",
		"signedout.back.none": "Back",

		"formpost.title":  "One moment",
		"formpost.text":   "You are on your way back to the application. If nothing happens, continue here.",
		"formpost.submit": "Continue",

		"setup.title":           "Create the first account",
		"setup.text":            "{installation} is running, and nobody has an account yet. The one you create here will be the administrator’s.",
		"setup.login":           "Username",
		"setup.name":            "Full name",
		"setup.email":           "Email address",
		"setup.optional":        "optional",
		"setup.password":        "Password",
		"setup.password.hint":   "Long is better than complicated: four words that do not belong together",
		"setup.submit":          "Create account",
		"setup.error.link":      "This link was used already, was replaced by a newer one, or has expired",
		"setup.error.hint":      "Start the server again: as long as there is no account, each start prints a new link.",
		"setup.error.done":      "This installation has its first account already",
		"setup.error.done.hint": "Ask the administrator for an account of your own.",

		"setupdone.title":  "The account is ready",
		"setupdone.text":   "{login} is now the administrator. The link that brought you here does not work a second time.",
		"setupdone.signin": "Sign in",

		"home.title":         "Welcome",
		"home.text":          "{installation} signs you in to your applications. Start at one of them, and it will bring you here.",
		"home.text.user":     "Applications that trust {installation} let you in without asking for your password again.",
		"home.text.accounts": "Applications get the account in use, unless they ask you which one. Choose another to switch to it.",
		"home.signin":        "Sign in",
		"home.user":          "You are signed in",
		"home.accounts":      "Signed in here",
		"home.admin":         "Administrator",
		"home.current":       "In use",
		"home.switch":        "Switch to this account",
		"home.signout.name":  "Sign out {name}",
		"home.signout":       "Sign out",
		"home.all":           "Sign out of all accounts",
	},
}

// What strangers chose is shown up to these lengths, in characters: a long name
// could carry a whole message to the reader. No host is longer (RFC 1035 §2.3.4, and
// its port).
const (
	nameLimit = 80
	hostLimit = 261
)

// clean takes out of s what does not belong in a line of text: control
// characters, those that turn the direction of the text around them, and
// superfluous blanks.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, c):
			return -1
		case unicode.IsControl(c):
			return ' '
		}
		return c
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// tidy makes a name fit to stand in a sentence.
func tidy(s string) string {
	runes := []rune(clean(s))
	if len(runes) > nameLimit {
		return strings.TrimSpace(string(runes[:nameLimit-1])) + "…"
	}
	return string(runes)
}

// initial is the sign that stands for a name where a picture would be.
func initial(name string) string {
	for _, c := range name {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return string(unicode.ToUpper(c))
		}
	}
	for _, c := range tidy(name) {
		return string(c)
	}
	return "·"
}

// website returns u if it is a web address that a person can be sent to, and
// nothing otherwise: a client chose it, and javascript: is an address too.
func website(u string) string {
	parsed, err := url.Parse(u)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "https" && parsed.Scheme != "http") {
		return ""
	}
	return u
}

// hostOf returns the host of an address, or what it is given if that is a host
// already. Unlike a name it loses its beginning when it is too long: its end says
// whose it is.
func hostOf(s string) string {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		s = u.Host
	}
	runes := []rune(clean(s))
	if len(runes) > hostLimit {
		return "…" + string(runes[len(runes)-hostLimit+1:])
	}
	return string(runes)
}
