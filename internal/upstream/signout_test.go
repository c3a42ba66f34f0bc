package upstream_test

import (
	"maps"
	"net/url"
	"testing"

	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/jwt"
)

// TestLeave: OpenID Connect RP-Initiated Logout §2.
func TestLeave(t *testing.T) {
	w := newWorld(t)
	o := w.op()
	stay := upstream.Stay{Issuer: "https://op.example", Subject: "person-1", Session: "s", Hint: "an.id.token"}
	if _, err := w.openOIDC("").(upstream.Leaver).Leave(t.Context(), stay, "https://id.example/out", "st"); err != upstream.ErrUnsupported {
		t.Errorf("where there is no sign-out: %v", err)
	}
	o.metadata["end_session_endpoint"] = "https://op.example/logout?tenant=1"
	v := w.openOIDC("").(upstream.Leaver)
	for _, row := range []struct {
		back, state string
		want        request
	}{
		{"https://id.example/out", "st", request{"tenant": "1", "client_id": someID, "id_token_hint": "an.id.token", "post_logout_redirect_uri": "https://id.example/out", "state": "st"}},
		{"", "", request{"tenant": "1", "client_id": someID, "id_token_hint": "an.id.token"}},
	} {
		d, err := v.Leave(t.Context(), stay, row.back, row.state)
		u, parse := url.Parse(d.Address)
		if err != nil || parse != nil || u.Host+u.Path != "op.example/logout" || d.Form != nil {
			t.Fatalf("%+v %v", d, err)
		}
		parameters(t, "sign-out", u.Query(), row.want)
	}
}

// TestEnded: OpenID Connect Back-Channel Logout §2.4 and §2.6, rule by rule. The first
// rows are the good twins.
func TestEnded(t *testing.T) {
	w := newWorld(t)
	w.op()
	h := w.openOIDC("").(upstream.Hearer)
	now := w.Now().Unix()
	type change = map[string]any
	event := map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	for _, row := range []struct {
		name   string
		change change
		o      jwt.SignOptions
		key    int
		ok     bool
	}{
		{"of a session", nil, jwt.SignOptions{Type: "logout+jwt"}, 0, true},
		{"without a typ of its own", nil, jwt.SignOptions{}, 0, true},
		{"of all of a person's", change{"sid": nil}, jwt.SignOptions{Type: "logout+jwt"}, 0, true},
		{"of a session, whoever has it", change{"sub": nil}, jwt.SignOptions{Type: "logout+jwt"}, 0, true},
		{"an event with more in it", change{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{"a": 1}}}, jwt.SignOptions{}, 0, true},

		{"rule 2, another's key", nil, jwt.SignOptions{Type: "logout+jwt", KeyID: "key-0"}, 1, false},
		{"rule 3, another algorithm", nil, jwt.SignOptions{Algorithm: "PS256"}, 0, false},
		{"rule 4, another issuer", change{"iss": "https://evil.example"}, jwt.SignOptions{}, 0, false},
		{"rule 4, for another", change{"aud": "other"}, jwt.SignOptions{}, 0, false},
		{"rule 4, no iat", change{"iat": nil}, jwt.SignOptions{}, 0, false},
		{"rule 4, from the future", change{"iat": now + 90}, jwt.SignOptions{}, 0, false},
		{"rule 4, expired", change{"exp": now - 90}, jwt.SignOptions{}, 0, false},
		{"rule 4, for ever", change{"exp": nil}, jwt.SignOptions{}, 0, false},
		{"rule 5, of nobody", change{"sub": nil, "sid": nil}, jwt.SignOptions{}, 0, false},
		{"rule 6, no events", change{"events": nil}, jwt.SignOptions{}, 0, false},
		{"rule 6, another event", change{"events": map[string]any{"https://example.com/event": map[string]any{}}}, jwt.SignOptions{}, 0, false},
		{"rule 6, an event that is a text", change{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": "x"}}, jwt.SignOptions{}, 0, false},
		{"rule 7, with a nonce", change{"nonce": "n"}, jwt.SignOptions{}, 0, false},
		{"rule 7, an ID token", change{"events": nil, "jti": nil, "nonce": "n"}, jwt.SignOptions{}, 0, false},
		{"§2.4, no jti", change{"jti": nil}, jwt.SignOptions{}, 0, false},
		{"RFC 8725 §3.11, an access token", nil, jwt.SignOptions{Type: "at+jwt"}, 0, false},
	} {
		claims := map[string]any{"iss": "https://op.example", "aud": someID, "sub": "person-1", "sid": "session-1", "iat": now, "exp": now + 120, "jti": "jti-1", "events": event}
		maps.Copy(claims, row.change)
		if row.o.Algorithm == "" {
			row.o.Algorithm = "RS256"
		}
		token := sign(t, rsaKeys()[row.key], claims, row.o)
		e, err := h.Ended(t.Context(), back("POST", "logout_token", token))
		if !row.ok {
			refused(t, row.name, err, upstream.Untrusted, "")
			continue
		}
		sub, _ := claims["sub"].(string)
		sid, _ := claims["sid"].(string)
		if err != nil || e.Issuer != "https://op.example" || e.Subject != sub || e.Session != sid || e.ID != "jti-1" || e.ExpiresAt < now+120+30 || e.ExpiresAt > now+240 {
			t.Errorf("%s: %+v %v", row.name, e, err)
		}
	}
	good := sign(t, rsaKeys()[0], map[string]any{"iss": "https://op.example", "aud": someID, "sub": "p", "iat": now, "exp": now + 120, "jti": "j", "events": event}, jwt.SignOptions{Algorithm: "RS256"})
	_, err := h.Ended(t.Context(), back("POST", "logout_token", good, "logout_token", good))
	refused(t, "twice", err, upstream.Untrusted, "twice")
	_, err = h.Ended(t.Context(), back("POST"))
	refused(t, "none", err, upstream.Untrusted, "")
	// A link must not be able to do what a token is for.
	_, err = h.Ended(t.Context(), back("GET", "logout_token", good))
	refused(t, "by GET", err, upstream.Untrusted, "names no session")

	// OpenID Connect Front-Channel Logout §2.
	for _, row := range []struct {
		name string
		a    upstream.Answer
		ok   bool
	}{
		{"of a session", back("GET", "iss", "https://op.example", "sid", "session-1"), true},
		{"no iss", back("GET", "sid", "session-1"), false},
		{"no sid", back("GET", "iss", "https://op.example"), false},
		{"another issuer", back("GET", "iss", "https://evil.example", "sid", "session-1"), false},
		{"sid twice", back("GET", "iss", "https://op.example", "sid", "session-1", "sid", "session-2"), false},
		{"nothing", back("GET"), false},
	} {
		e, err := h.Ended(t.Context(), row.a)
		if row.ok && (err != nil || e.Session != "session-1" || e.Subject != "" || e.ID != "") {
			t.Errorf("%s: %+v %v", row.name, e, err)
		} else if !row.ok {
			refused(t, row.name, err, upstream.Untrusted, "")
		}
	}
}
