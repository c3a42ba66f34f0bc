package tour

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwt"
)

// shownToken is a token as a page shows it.
type shownToken struct {
	Parts  []string // header, claims and signature, as text
	Claims []claim  // that a beginner looks at, in the order in which they make sense
	More   []claim
}

// claim is one claim with its meaning.
type claim struct {
	Name, Value, Words string
	Moment             int64 // unix seconds, where the value is a time
	Changed            bool  // since the token before
	Before             string
}

// words say what a claim means, in the order in which they are read. Those below the
// line are for the curious.
var words = []struct{ name, words string }{
	{"sub", "who: an identifier that never changes"},
	{"name", "their name"},
	{"email", "their address"},
	{"iss", "who says so: the server that sealed it"},
	{"aud", "for whom it is: nobody else may accept it"},
	{"scope", "what may be done with it"},
	{"exp", "not good after"},
	{"sid", "the session that it hangs on: end that, and it is worth nothing"},
	{"jti", "this very token"},

	{"iat", "made at"},
	{"auth_time", "when they last proved who they are"},
	{"client_id", "the application that asked for it"},
	{"grant_id", "what was allowed to that application"},
	{"acr", "how strong the sign-in was"},
	{"amr", "by which means: pwd is a password"},
	{"nonce", "ties it to the one sign-in that asked for it"},
	{"at_hash", "ties it to the access token beside it"},
	{"azp", "the application that it was made for"},
	{"email_verified", "somebody made sure of the address"},
}

// firstWords is how many claims of words a beginner sees.
const firstWords = 9

// moments are the claims that are times.
var moments = []string{"exp", "iat", "nbf", "auth_time", "updated_at"}

// show takes a token apart. It was verified when it came, or is on show for being
// wrong.
func show(token string) (shownToken, error) {
	t, err := jwt.DecodeUnverified[map[string]json.RawMessage](token)
	if err != nil {
		return shownToken{}, fmt.Errorf("tour: %w", err)
	}
	s := shownToken{Parts: strings.Split(token, ".")}
	known := map[string]bool{}
	for i, w := range words {
		known[w.name] = true
		raw, ok := t.Claims[w.name]
		if !ok {
			continue
		}
		if c := newClaim(w.name, raw, w.words); i < firstWords {
			s.Claims = append(s.Claims, c)
		} else {
			s.More = append(s.More, c)
		}
	}
	var others []string
	for name := range t.Claims {
		if !known[name] {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	for _, name := range others {
		s.More = append(s.More, newClaim(name, t.Claims[name], ""))
	}
	return s, nil
}

// newClaim reads one claim for people.
func newClaim(name string, raw json.RawMessage, words string) claim {
	c := claim{Name: name, Value: string(raw), Words: words}
	var text string
	var list []string
	switch {
	case slices.Contains(moments, name) && json.Unmarshal(raw, &c.Moment) == nil:
		c.Value = time.Unix(c.Moment, 0).UTC().Format("15:04:05 MST")
	case json.Unmarshal(raw, &text) == nil:
		c.Value = text
	case json.Unmarshal(raw, &list) == nil:
		c.Value = strings.Join(list, ", ")
	}
	return c
}

// compare marks what differs between two tokens, and leaves out what only the
// curious look at and is the same.
func compare(before, after shownToken) []claim {
	was := map[string]string{}
	for _, c := range slices.Concat(before.Claims, before.More) {
		was[c.Name] = c.Value
	}
	var out []claim
	for i, c := range slices.Concat(after.Claims, after.More) {
		c.Before, c.Changed = was[c.Name], was[c.Name] != c.Value
		if c.Changed || i < len(after.Claims) {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b claim) int {
		switch {
		case a.Changed == b.Changed:
			return 0
		case a.Changed:
			return -1
		default:
			return 1
		}
	})
	return out
}

// openDebugger leads to the token debugger with a token, and with the server's
// public key. Both stand behind the "#", which browsers send to nobody.
func (t *Tour) openDebugger(w http.ResponseWriter, r *http.Request) {
	s := client.SessionFrom(r.Context())
	if s == nil {
		http.Redirect(w, r, "/"+sceneSignIn, http.StatusSeeOther)
		return
	}
	var token string
	var err error
	switch r.PathValue("which") {
	case "id":
		token = s.IDToken()
	case "access":
		token, err = s.AccessToken()
	case "broken":
		if tried := t.seen.of(s.ID).trial; tried != nil {
			token = tried.token
		}
	}
	if err != nil || token == "" {
		t.message(w, r, notice{http.StatusNotFound, "Nothing here", "There is no such token. Renewing may help."})
		return
	}
	fragment := url.Values{"token": {token}}
	if key, err := t.publicKey(r, token); err != nil {
		t.log.WarnContext(r.Context(), "the debugger gets no key along", "error", err)
	} else {
		fragment.Set("jwk", key)
	}
	http.Redirect(w, r, t.config.Issuer+"/debugger#"+fragment.Encode(), http.StatusSeeOther)
}

// publicKey returns the key of the server that a token names.
func (t *Tour) publicKey(r *http.Request, token string) (string, error) {
	shown, err := jwt.DecodeUnverified[map[string]json.RawMessage](token)
	if err != nil {
		return "", fmt.Errorf("tour: %w", err)
	}
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, t.config.Issuer+"/jwks", nil)
	if err != nil {
		return "", fmt.Errorf("tour: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if _, err := t.config.ask(ask, &set); err != nil {
		return "", err
	}
	for _, key := range set.Keys {
		var named struct {
			KeyID string `json:"kid"`
		}
		if json.Unmarshal(key, &named) == nil && named.KeyID != "" && named.KeyID == shown.Header.KeyID {
			return string(key), nil
		}
	}
	return "", fmt.Errorf("tour: the server publishes no key %q", shown.Header.KeyID)
}

// renew exchanges the tokens of the session now.
func (t *Tour) renew(w http.ResponseWriter, r *http.Request) {
	s := client.SessionFrom(r.Context())
	if s == nil {
		http.Redirect(w, r, "/"+sceneRenew, http.StatusSeeOther)
		return
	}
	before, err := s.AccessToken()
	if err != nil {
		t.oops(w, r, err)
		return
	}
	began := time.Now()
	next, err := t.signIn.Renew(w, r)
	took := time.Since(began)
	if err != nil {
		t.gone(w, r, err)
		return
	}
	after, err := next.AccessToken()
	if err != nil {
		t.oops(w, r, err)
		return
	}
	t.seen.change(next.ID, func(m *remembered) { m.renewal = &renewal{before, after, took} })
	t.did(w, r, sceneRenew)
	http.Redirect(w, r, "/"+sceneRenew, http.StatusSeeOther)
}

// trial is a token that somebody changed, and what the API said to it.
type trial struct {
	How   string // what was done
	token string
	answer
	Untouched bool // it was the good one after all
}

// The ways to break a token.
var breaks = map[string]struct {
	done string
	do   func(header, claims map[string]any) (signed bool)
}{
	"sub": {"You made it somebody else's.", func(_, claims map[string]any) bool { claims["sub"] = "somebody-else"; return true }},
	"exp": {"You made it live for a year.", func(_, claims map[string]any) bool {
		if exp, ok := claims["exp"].(json.Number); ok {
			if seconds, err := exp.Int64(); err == nil {
				claims["exp"] = seconds + 365*24*3600
			}
		}
		return true
	}},
	"alg": {"You took the seal off, and wrote that none is needed.", func(header, _ map[string]any) bool { header["alg"] = "none"; return false }},
}

// maxPasted bounds a token that somebody brings, in bytes.
const maxPasted = 8 << 10

// breakToken changes the token as asked, or takes the one that was pasted, and shows
// it to the API.
func (t *Tour) breakToken(w http.ResponseWriter, r *http.Request) {
	s := client.SessionFrom(r.Context())
	if s == nil {
		http.Redirect(w, r, "/"+sceneBreak, http.StatusSeeOther)
		return
	}
	good, err := s.AccessToken()
	if err != nil {
		t.oops(w, r, err)
		return
	}
	tried := &trial{How: "You brought one from the debugger.", token: strings.TrimSpace(r.FormValue("token"))}
	if way, ok := breaks[r.FormValue("how")]; ok {
		tried.How = way.done
		if tried.token, err = remake(good, way.do); err != nil {
			t.oops(w, r, err)
			return
		}
	}
	if tried.token == "" || len(tried.token) > maxPasted || strings.ContainsFunc(tried.token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		t.message(w, r, notice{http.StatusBadRequest, "Not a token", "A token is one word of letters, digits, dots, dashes and underscores."})
		return
	}
	if tried.answer, err = t.config.readNotes(r.Context(), tried.token); err != nil {
		t.oops(w, r, err)
		return
	}
	tried.Untouched = tried.token == good
	t.seen.change(s.ID, func(m *remembered) { m.trial = tried })
	if !tried.Untouched && tried.Status >= 400 && tried.Status < 500 {
		t.did(w, r, sceneBreak)
	}
	http.Redirect(w, r, "/"+sceneBreak, http.StatusSeeOther)
}

// remake changes what a token says and leaves the signature as it was, or none: what
// somebody does who has no key.
func remake(token string, do func(header, claims map[string]any) bool) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("tour: a token of %d parts", len(parts))
	}
	halves := make([]map[string]any, 2)
	for i := range halves {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return "", fmt.Errorf("tour: %w", err)
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber() // a moment stays the number that it was
		if err := d.Decode(&halves[i]); err != nil {
			return "", fmt.Errorf("tour: %w", err)
		}
	}
	if !do(halves[0], halves[1]) {
		parts[2] = ""
	}
	for i, half := range halves {
		text, err := json.Marshal(half)
		if err != nil {
			return "", fmt.Errorf("tour: %w", err)
		}
		parts[i] = base64.RawURLEncoding.EncodeToString(text)
	}
	return strings.Join(parts, "."), nil
}
