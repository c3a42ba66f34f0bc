package elsewhere

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// request is an authorization request that is good.
type request struct {
	state, nonce string
	challenge    string // S256, RFC 7636 §4.2
	scopes       []string
	prompt       []string
	maxAge       time.Duration // negative: not asked
	hint         string        // login_hint
}

// code is what a person has allowed, until the client fetches it.
type code struct {
	request request
	person  string
	session string // "sid"; empty in a house without sessions
	began   time.Time
	issued  time.Time
	access  string // what it has become; empty: nothing yet
}

// fault is an error of RFC 6749 §4.1.2.1, of OpenID Connect Core §3.1.2.6, or of §5.2.
type fault struct{ code, description string }

// authorize takes an authorization request, by GET or POST (OpenID Connect Core
// §3.1.2.1).
func (h *house) authorize(w http.ResponseWriter, r *http.Request) {
	p, err := parameters(r)
	if err != nil {
		h.tell(w, http.StatusBadRequest, "This request is not valid: "+err.Error()+".")
		return
	}
	// RFC 6749 §4.1.2.1: until both are known to be right, nobody is sent anywhere.
	if p["client_id"] != h.config.Client.ID || p["redirect_uri"] != h.config.Client.RedirectURI {
		h.tell(w, http.StatusBadRequest, "Whoever sent you here is not known here, or not at the address that you would be sent back to.")
		return
	}
	asked, no := h.check(p)
	if no != nil {
		h.refuse(w, r, asked, *no)
		return
	}
	h.mu.Lock()
	s, there := h.session(r)
	h.mu.Unlock()
	// OpenID Connect Core §3.1.2.1: max_age.
	there = there && (asked.maxAge < 0 || h.config.Now().Sub(s.began) <= asked.maxAge)
	page := slices.ContainsFunc(asked.prompt, func(v string) bool { return v != "none" })
	switch {
	case there && !page:
		h.answer(w, r, asked, s)
	case slices.Contains(asked.prompt, "none"):
		// OpenID Connect Core §3.1.2.6
		h.refuse(w, r, asked, fault{"login_required", "nobody is signed in here, or not recently enough"})
	default:
		h.mu.Lock()
		id := h.requests.put(asked)
		h.mu.Unlock()
		h.choose(w, id, asked)
	}
}

// check holds a request to what it must be.
func (h *house) check(p map[string]string) (request, *fault) {
	asked := request{
		state: p["state"], nonce: p["nonce"], challenge: p["code_challenge"], hint: p["login_hint"],
		scopes: strings.Fields(p["scope"]), prompt: strings.Fields(p["prompt"]), maxAge: -1,
	}
	verifierHash, err := base64.RawURLEncoding.Strict().DecodeString(asked.challenge)
	switch {
	case p["request"] != "": // OpenID Connect Core §6.1
		return asked, &fault{"request_not_supported", "requests are sent as parameters here"}
	case p["request_uri"] != "": // OpenID Connect Core §6.2
		return asked, &fault{"request_uri_not_supported", "requests are sent as parameters here"}
	case p["response_type"] == "": // RFC 6749 §3.1.1
		return asked, &fault{"invalid_request", "response_type is missing"}
	case p["response_type"] != "code":
		return asked, &fault{"unsupported_response_type", "response_type is code here"}
	case p["response_mode"] != "" && p["response_mode"] != "query":
		return asked, &fault{"invalid_request", "response_mode is query here"}
	case h.openid && !slices.Contains(asked.scopes, "openid"): // OpenID Connect Core §3.1.2.1
		return asked, &fault{"invalid_scope", "scope must have openid"}
	case !h.openid && slices.Contains(asked.scopes, "openid"):
		return asked, &fault{"invalid_scope", "OpenID Connect is not spoken here"}
	case p["code_challenge_method"] != "S256" || err != nil || len(verifierHash) != 32: // RFC 7636 §4.4.1
		return asked, &fault{"invalid_request", "code_challenge must be there, with the method S256"}
	case slices.Contains(asked.prompt, "none") && len(asked.prompt) > 1: // OpenID Connect Core §3.1.2.1
		return asked, &fault{"invalid_request", "prompt has none beside others"}
	}
	if text := p["max_age"]; text != "" {
		age, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return asked, &fault{"invalid_request", "max_age is not a number of seconds"}
		}
		asked.maxAge = time.Duration(age) * time.Second
	}
	return asked, nil
}

// decide takes what a person has said on the page.
func (h *house) decide(w http.ResponseWriter, r *http.Request) {
	p, err := parameters(r)
	if err != nil {
		h.tell(w, http.StatusBadRequest, "This form cannot be read.")
		return
	}
	h.mu.Lock()
	asked := h.requests.find(p["request"])
	h.requests.drop(p["request"])
	h.mu.Unlock()
	if asked == nil {
		h.tell(w, http.StatusBadRequest, "This page has been used already, or is too old. Go back to where you came from.")
		return
	}
	person, known := h.person(p["person"])
	if !known {
		h.refuse(w, r, *asked, fault{"access_denied", "the person said no"})
		return
	}
	h.answer(w, r, *asked, h.begin(w, r, person))
}

// answer sends the browser back with a code.
func (h *house) answer(w http.ResponseWriter, r *http.Request, asked request, s session) {
	h.mu.Lock()
	name := h.codes.put(code{request: asked, person: s.person, session: s.id, began: s.began, issued: h.config.Now()})
	h.mu.Unlock()
	h.sendBack(w, r, asked, url.Values{"code": {name}})
}

// refuse sends the browser back with an error, RFC 6749 §4.1.2.1.
func (h *house) refuse(w http.ResponseWriter, r *http.Request, asked request, f fault) {
	h.config.Logger.InfoContext(r.Context(), "an authorization request is refused", "house", h.config.Name, "error", f.code, "description", f.description)
	h.sendBack(w, r, asked, url.Values{"error": {f.code}, "error_description": {f.description}})
}

func (h *house) sendBack(w http.ResponseWriter, r *http.Request, asked request, q url.Values) {
	if asked.state != "" {
		q.Set("state", asked.state)
	}
	q.Set("iss", h.config.URL) // RFC 9207 §2
	goTo(w, r, h.config.Client.RedirectURI, q)
}

// goTo adds parameters to an address and sends the browser there, in such a way that a
// form is not posted again (RFC 9700 §4.12).
func goTo(w http.ResponseWriter, r *http.Request, address string, q url.Values) {
	joint := "?"
	if strings.Contains(address, "?") {
		joint = "&"
	}
	if len(q) > 0 {
		address += joint + q.Encode()
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
}
