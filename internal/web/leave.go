package web

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
)

// pathSignedOut is the last page. Providers at which people sign out as well send them
// back there.
const pathSignedOut = "/signed-out"

// leaveTime is how long somebody who signs out waits to be told where else they can.
const leaveTime = 3 * time.Second

// elsewhereView offers a sign-out at the provider by which somebody came: a link, or a
// form where there are fields.
type elsewhereView struct {
	Kind, Name string
	Address    string
	Fields     []hiddenField
	Posts      bool
}

// elsewhere says where a person, who is about to sign out here, can sign out as well;
// nil: nowhere. The way there stands in the answer to the browser that has the session,
// and nowhere else: it may hold what only that person may show (RP-Initiated Logout §2,
// id_token_hint).
func (s *Web) elsewhere(w http.ResponseWriter, r *http.Request, o signingOut, who []signedIn) *elsewhereView {
	ctx, cancel := context.WithTimeout(r.Context(), leaveTime)
	defer cancel()
	for _, one := range who {
		there, err := s.Federation.Elsewhere(ctx, one.ID)
		if errors.Is(err, federation.ErrStays) {
			continue
		}
		state := model.NewSecret("").Reveal()
		value, fits := leftValue(state, o)
		var d federation.Departure
		if err == nil && fits {
			d, err = s.Federation.Leave(ctx, federation.Leaver{Session: one.ID, Back: s.Authority.Issuer + pathSignedOut, State: state})
		}
		if err != nil || d.Address == "" {
			if err != nil && !errors.Is(err, federation.ErrStays) {
				s.Logger.WarnContext(r.Context(), "no sign-out elsewhere is offered", "upstream", there.ID, "error", err, "request", s.RequestID(r))
			}
			continue
		}
		s.cookies.setLeft(w, value)
		return &elsewhereView{Kind: there.Kind, Name: there.Name, Address: d.Address, Fields: hiddenFields(d.Form), Posts: d.Form != nil}
	}
	return nil
}

// maxLeft bounds what is kept of a sign-out until its person is back, in bytes.
const maxLeft = 3 << 10

// leftState is, in what is kept, what comes back from the provider; the rest are the
// parameters of the sign-out here.
const leftState = "back"

// leftValue keeps where a sign-out leads when it is through elsewhere as well: as what
// was asked for, which is checked anew then. It reports whether that fits a cookie.
func leftValue(state string, o signingOut) (string, bool) {
	v := url.Values{leftState: {state}}
	if o.l.Client.ID != "" {
		v.Set("client_id", string(o.l.Client.ID))
		for _, name := range []string{"post_logout_redirect_uri", "state"} {
			if o.asked.Get(name) != "" {
				v.Set(name, o.asked.Get(name))
			}
		}
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(v.Encode()))
	return text, len(text) <= maxLeft
}

// returned finds the sign-out that a browser comes back to, by the state that it
// brings; ok is false where there is none.
func (s *Web) returned(w http.ResponseWriter, r *http.Request) (l oauth.Logout, ok bool) {
	state := r.URL.Query().Get("state")
	text, err := base64.RawURLEncoding.DecodeString(s.cookies.left(r))
	v, failed := url.ParseQuery(string(text))
	if state == "" || err != nil || failed != nil || v.Get(leftState) != state {
		return l, false
	}
	s.cookies.drop(w, s.cookies.leftName())
	v.Del(leftState)
	l, err = s.Authority.BeginLogout(r.Context(), v)
	return l, err == nil
}

// hearLogout takes what a provider says of a sign-out by way of a browser: that a
// session over there is over (OpenID Connect Front-Channel Logout §2, SAML V2.0
// Profiles §4.4), or the answer to ours.
func (s *Web) hearLogout(w http.ResponseWriter, r *http.Request) error {
	a, err := s.brought(r)
	if err != nil {
		return err
	}
	id := model.UpstreamID(r.PathValue("upstream"))
	reply, err := s.Federation.Ended(r.Context(), id, a, s.Address(r))
	answers := a.Values.Get("SAMLResponse") != ""
	var no *federation.Refusal
	switch {
	case errors.As(err, &no) && answers:
		// Here they are signed out all the same.
		s.logRefusal(r, id, no)
	case err != nil:
		return s.upstreamFailed(w, r, federation.Outcome{Upstream: federation.Choice{ID: id}}, err)
	}
	switch {
	case reply.Address != "":
		s.sendAway(w, r, reply)
	case answers:
		redirect(w, r, s.base+pathSignedOut+"?"+url.Values{"state": {federation.StateOf(a)}}.Encode())
	default:
		// A page of the provider's holds this one in a frame that nobody sees.
		s.pages.write(w, http.StatusOK, pageHeaders{kind: "text/plain; charset=utf-8", policy: heardPolicy, opener: openerFlow, framed: true}, nil)
	}
	return nil
}

// heardPolicy is that of an answer without content, which any provider may frame.
const heardPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors *"
