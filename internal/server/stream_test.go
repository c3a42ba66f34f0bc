package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/signal"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// receiver is a client that is told, and holds what it gets to the letter of the
// specifications.
type receiver struct {
	t      *testing.T
	h      *servertest.House
	client model.Client
	secret model.Secret
	token  string
	doc    map[string]any // the configuration document
}

// listening are the settings of an application that is told as well.
func listening() model.ClientSettings {
	s := web
	s.GrantTypes = []string{model.GrantAuthorizationCode, model.GrantRefreshToken, model.GrantClientCredentials}
	s.Scopes = append(slices.Clone(s.Scopes), "ssf.read", "ssf.manage", "ostiary:revoke")
	return s
}

func newReceiver(t *testing.T, h *servertest.House, id string, s model.ClientSettings) *receiver {
	t.Helper()
	c, secret := h.Client(id, s)
	r := &receiver{t: t, h: h, client: c, secret: secret}
	r.token = r.tokenFor("ssf.manage")
	r.doc = configurationAt(t, h.Issuer+"/.well-known/ssf-configuration").JSON
	return r
}

func (r *receiver) tokenFor(scope string) string {
	r.t.Helper()
	a := r.h.Call("/token", r.client, r.secret, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}})
	if a.Status != 200 {
		r.t.Fatalf("token for %s: %d %s", scope, a.Status, a.Text)
	}
	return a.String("access_token")
}

func configurationAt(t *testing.T, address string) servertest.Answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return servertest.Do(t, req)
}

// ask sends a request to an endpoint of the configuration document, with a body
// unless that is nil: a text as it is, anything else as JSON.
func (r *receiver) ask(method, endpoint string, body any) servertest.Answer {
	r.t.Helper()
	address := endpoint
	if name, query, _ := strings.Cut(endpoint, "?"); !strings.HasPrefix(endpoint, "http") {
		base, _ := r.doc[name].(string)
		if base == "" {
			r.t.Fatalf("the configuration document has no %s", name)
		}
		address = base
		if query != "" {
			address += "?" + query
		}
	}
	text, isText := body.(string)
	if !isText && body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		text = string(b)
	}
	req, err := http.NewRequest(method, address, bytes.NewReader([]byte(text)))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	a := servertest.Do(r.t, req)
	if a.Header.Get("Cache-Control") != "no-store" {
		r.t.Errorf("%s %s can be stored", method, endpoint)
	}
	return a
}

// create makes a stream and checks what is told of it, OpenID Shared Signals
// Framework §8.1.1.
func (r *receiver) create(body map[string]any) map[string]any {
	r.t.Helper()
	a := r.ask("POST", "configuration_endpoint", body)
	if a.Status != 201 {
		r.t.Fatalf("create: %d %s", a.Status, a.Text)
	}
	r.checkStream(a.JSON)
	return a.JSON
}

func (r *receiver) checkStream(s map[string]any) {
	r.t.Helper()
	delivery, _ := s["delivery"].(map[string]any)
	if s["iss"] != r.h.Issuer || s["aud"] != string(r.client.ID) || s["stream_id"] == "" || delivery["method"] == nil || delivery["endpoint_url"] == nil {
		r.t.Errorf("the stream is %v", s)
	}
	if _, ok := delivery["authorization_header"]; ok {
		r.t.Error("the secret for the endpoint is shown")
	}
	for _, kind := range textsOf(s["events_delivered"]) {
		if !slices.Contains(textsOf(s["events_supported"]), kind) {
			r.t.Errorf("%s is delivered and not supported", kind)
		}
	}
}

func textsOf(v any) (list []string) {
	all, _ := v.([]any)
	for _, one := range all {
		list = append(list, fmt.Sprint(one))
	}
	return list
}

// setOf verifies a security event token as strictly as can be, and returns it:
// RFC 8417 §2, OpenID Shared Signals Framework §4.1, CAEP Interoperability
// Profile §2.6.
func (r *receiver) setOf(token string) map[string]any {
	r.t.Helper()
	keys, err := jwk.NewRemote(jwk.RemoteConfig{URL: r.doc["jwks_uri"].(string)})
	if err != nil {
		r.t.Fatal(err)
	}
	v, err := jwt.Verify[map[string]any](r.t.Context(), token, keys, jwt.VerifyOptions{
		Algorithms: []jwa.Algorithm{jwa.RS256}, Types: []string{"secevent+jwt"}, Issuers: []string{r.h.Issuer}, Audiences: []string{string(r.client.ID)},
		Required: []string{"iat", "jti", "txn", "sub_id", "events"}, AllowMissingExpiration: true, MaxAge: 8 * 24 * time.Hour, Now: r.h.Clock.Now,
	})
	if err != nil {
		r.t.Fatalf("%v", err)
	}
	for _, name := range []string{"sub", "exp", "nonce"} {
		if _, ok := v.Claims[name]; ok {
			r.t.Errorf("the token has %q", name)
		}
	}
	if n := len(v.Claims["events"].(map[string]any)); n != 1 {
		r.t.Errorf("the token has %d events", n)
	}
	return v.Claims
}

// eventOf returns the type of the event in a token, and the event.
func eventOf(set map[string]any) (string, map[string]any) {
	for kind, event := range set["events"].(map[string]any) {
		e, _ := event.(map[string]any)
		return kind, e
	}
	return "", nil
}

// poll asks the endpoint of a stream at once, and returns what came by "jti".
func (r *receiver) poll(stream map[string]any, body map[string]any) (map[string]map[string]any, servertest.Answer) {
	r.t.Helper()
	if body == nil {
		body = map[string]any{"returnImmediately": true}
	}
	a := r.ask("POST", stream["delivery"].(map[string]any)["endpoint_url"].(string), body)
	if a.Status != 200 {
		r.t.Fatalf("poll: %d %s", a.Status, a.Text)
	}
	sets, ok := a.JSON["sets"].(map[string]any)
	if !ok { // RFC 8936 §2.3: "the JSON object SHALL be empty", and so it is there
		r.t.Fatalf("poll: %s", a.Text)
	}
	all := map[string]map[string]any{}
	for jti, token := range sets {
		all[jti] = r.setOf(token.(string))
		if all[jti]["jti"] != jti {
			r.t.Errorf("%q comes under the name %q", all[jti]["jti"], jti)
		}
	}
	return all, a
}

// kinds lists the last words of the types of events, sorted.
func kinds(sets map[string]map[string]any) (list []string) {
	for _, set := range sets {
		kind, _ := eventOf(set)
		list = append(list, kind[strings.LastIndexByte(kind, '/')+1:])
	}
	slices.Sort(list)
	return list
}

// TestStreamConfigurationDocument: OpenID Shared Signals Framework §7.1 and §7.2,
// CAEP Interoperability Profile §2.3. With a path in the issuer the document is put
// before it.
func TestStreamConfigurationDocument(t *testing.T) {
	h := servertest.Start(t)
	a := configurationAt(t, h.Issuer+"/.well-known/ssf-configuration")
	want := map[string]string{
		"spec_version": "1_0", "issuer": h.Issuer, "jwks_uri": h.Issuer + "/jwks", "default_subjects": "ALL",
		"configuration_endpoint": h.Issuer + "/ssf/streams", "status_endpoint": h.Issuer + "/ssf/status", "verification_endpoint": h.Issuer + "/ssf/verify",
		"add_subject_endpoint": h.Issuer + "/ssf/subjects/add", "remove_subject_endpoint": h.Issuer + "/ssf/subjects/remove",
	}
	for name, value := range want {
		if a.JSON[name] != value {
			t.Errorf("%s is %v", name, a.JSON[name])
		}
	}
	if a.Status != 200 || a.Header.Get("Content-Type") != "application/json" ||
		!slices.Equal(textsOf(a.JSON["delivery_methods_supported"]), []string{"urn:ietf:rfc:8935", "urn:ietf:rfc:8936"}) ||
		!strings.Contains(a.Text, `"authorization_schemes":[{"spec_urn":"urn:ietf:rfc:6749"}]`) {
		t.Errorf("%d %s", a.Status, a.Text)
	}

	deep := servertest.Start(t, func(c *server.Config) { c.Issuer += "/tenant" })
	root := strings.TrimSuffix(deep.Issuer, "/tenant")
	for _, path := range []string{"/.well-known/ssf-configuration/tenant", "/tenant/.well-known/ssf-configuration"} {
		a := configurationAt(t, root+path)
		if a.JSON["issuer"] != deep.Issuer || a.JSON["status_endpoint"] != deep.Issuer+"/ssf/status" {
			t.Errorf("%s: %d %s", path, a.Status, a.Text)
		}
	}
	if a := configurationAt(t, root+"/.well-known/ssf-configuration"); a.Status != 404 {
		t.Errorf("an issuer without the path has a document: %d", a.Status)
	}
	r := newReceiver(t, h, "deep", listening())
	if r.create(map[string]any{})["stream_id"] == nil {
		t.Error("no stream")
	}
}

// TestStreamManagement walks through a stream's life as a strict receiver does,
// OpenID Shared Signals Framework §8.1.
func TestStreamManagement(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r := newReceiver(t, h, "shop", listening())
		if a := r.ask("GET", "configuration_endpoint", nil); a.Status != 200 || strings.TrimSpace(a.Text) != "[]" { // §8.1.1.2
			t.Errorf("no stream: %d %s", a.Status, a.Text)
		}

		// §8.1.1.1: without a delivery it is polled; without events, all come.
		polled := r.create(map[string]any{"description": "all"})
		if d := polled["delivery"].(map[string]any); d["method"] != "urn:ietf:rfc:8936" || !strings.HasPrefix(d["endpoint_url"].(string), h.Issuer) {
			t.Errorf("delivery %v", d)
		}
		if !slices.Equal(textsOf(polled["events_delivered"]), signal.EventTypes) || polled["min_verification_interval"] == nil {
			t.Errorf("%v", polled)
		}
		const pushTo = "https://receiver.example.com/events"
		pushed := r.create(map[string]any{
			"delivery":         map[string]any{"method": "urn:ietf:rfc:8935", "endpoint_url": pushTo, "authorization_header": "Bearer s3cret"},
			"events_requested": []string{model.EventSessionRevoked, "urn:example:unknown"}, "description": strings.Repeat("ы", 400),
			"iss": "https://ignored.example", "unknown": true,
		})
		if pushed["stream_id"] == polled["stream_id"] || !slices.Equal(textsOf(pushed["events_delivered"]), []string{model.EventSessionRevoked}) ||
			!slices.Equal(textsOf(pushed["events_requested"]), []string{model.EventSessionRevoked, "urn:example:unknown"}) {
			t.Errorf("%v", pushed)
		}
		if d := pushed["description"].(string); len(d) == 0 || len(d) > 512 || strings.ContainsRune(d, '\uFFFD') {
			t.Errorf("the description was cut to %d bytes: %q", len(d), d[len(d)-4:])
		}
		id := pushed["stream_id"].(string)

		// §8.1.1.2
		if a := r.ask("GET", "configuration_endpoint?stream_id="+id, nil); a.Status != 200 || a.JSON["stream_id"] != id {
			t.Errorf("one: %d %s", a.Status, a.Text)
		}
		var all []map[string]any
		if a := r.ask("GET", "configuration_endpoint", nil); json.Unmarshal([]byte(a.Text), &all) != nil || len(all) != 2 {
			t.Errorf("all: %s", a.Text)
		}

		// §8.1.1.3: what is not named stays.
		a := r.ask("PATCH", "configuration_endpoint", map[string]any{
			"stream_id": id, "description": "two", "iss": h.Issuer, "aud": "shop", "events_delivered": pushed["events_delivered"],
			"events_requested": []string{model.EventCredentialChange, model.EventSessionRevoked}, "events_supported": pushed["events_supported"],
		})
		r.checkStream(a.JSON)
		if a.Status != 200 || a.JSON["description"] != "two" || len(textsOf(a.JSON["events_delivered"])) != 2 || a.JSON["delivery"].(map[string]any)["endpoint_url"] != pushTo {
			t.Errorf("update: %d %s", a.Status, a.Text)
		}
		// §8.1.1.4: what is not named is taken back. A stream may be read, changed and
		// written.
		whole := a.JSON
		delete(whole, "description")
		if a := r.ask("PUT", "configuration_endpoint", whole); a.Status != 200 || a.JSON["description"] != nil || len(textsOf(a.JSON["events_delivered"])) != 2 {
			t.Errorf("replace: %d %s", a.Status, a.Text)
		}
		if a := r.ask("PUT", "configuration_endpoint", map[string]any{"stream_id": id}); a.Status != 200 ||
			a.JSON["events_requested"] != nil || a.JSON["delivery"].(map[string]any)["method"] != "urn:ietf:rfc:8936" {
			t.Errorf("replace with nothing: %d %s", a.Status, a.Text)
		}

		// §8.1.2
		for _, status := range []string{"paused", "disabled", "enabled"} {
			a := r.ask("POST", "status_endpoint", map[string]any{"stream_id": id, "status": status, "reason": "because"})
			if a.Status != 200 || a.JSON["status"] != status || a.JSON["stream_id"] != id || a.JSON["reason"] != "because" {
				t.Errorf("%s: %d %s", status, a.Status, a.Text)
			}
			if a := r.ask("GET", "status_endpoint?stream_id="+id, nil); a.Status != 200 || a.JSON["status"] != status || a.JSON["reason"] != "because" {
				t.Errorf("%s: %d %s", status, a.Status, a.Text)
			}
		}

		// §8.1.1.5
		if a := r.ask("DELETE", "configuration_endpoint?stream_id="+id, nil); a.Status != 204 || a.Text != "" {
			t.Errorf("delete: %d %s", a.Status, a.Text)
		}
		if a := r.ask("DELETE", "configuration_endpoint?stream_id="+id, nil); a.Status != 404 {
			t.Errorf("deleted twice: %d", a.Status)
		}

		// The examples of §8.1 say no media type, and some programs then say another.
		req, err := http.NewRequest("POST", r.doc["status_endpoint"].(string), strings.NewReader(fmt.Sprintf(`{"stream_id":%q,"status":"enabled"}`, polled["stream_id"])))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.token)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if a := servertest.Do(t, req); a.Status != 200 || a.JSON["status"] != "enabled" {
			t.Errorf("another media type: %d %s", a.Status, a.Text)
		}

		// A receiver may have so many and no more.
		for range 9 {
			r.create(map[string]any{})
		}
		if a := r.ask("POST", "configuration_endpoint", map[string]any{}); a.Status != 409 {
			t.Errorf("the eleventh: %d %s", a.Status, a.Text)
		}
		for _, action := range []string{"stream.create", "stream.update", "stream.paused", "stream.disabled", "stream.enabled", "stream.delete"} {
			if !slices.Contains(eventsAbout(t, h), action) {
				t.Errorf("%s is not in the audit log", action)
			}
		}
		if strings.Contains(h.Log.String(), "s3cret") {
			t.Error("the secret for the endpoint is in the log")
		}
	})
}

// TestStreamRefusals: the tables of errors of OpenID Shared Signals Framework §8.1,
// RFC 6750 §3.1, CAEP Interoperability Profile §2.7.
func TestStreamRefusals(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		r, other := newReceiver(t, h, "shop", listening()), newReceiver(t, h, "other", listening())
		stream := r.create(map[string]any{"delivery": map[string]any{"method": "urn:ietf:rfc:8935", "endpoint_url": "https://receiver.example.com/events"}})
		id := stream["stream_id"].(string)
		poll := r.create(map[string]any{})
		pollURL := poll["delivery"].(map[string]any)["endpoint_url"].(string)
		person := h.Redeem(r.client, r.secret, func() *url.URL {
			h.User("olena", password)
			return h.Browser().SignIn(servertest.AuthorizePath(r.client, "scope", "openid ssf.manage"), "olena", password)
		}()).String("access_token")
		read := r.tokenFor("ssf.read")
		push := func(endpoint string) map[string]any {
			return map[string]any{"delivery": map[string]any{"method": "urn:ietf:rfc:8935", "endpoint_url": endpoint}}
		}
		with := func(name string, value any) map[string]any { return map[string]any{"stream_id": id, name: value} }
		subject := map[string]any{"format": "iss_sub", "iss": h.Issuer, "sub": "nobody"}
		for _, row := range []struct {
			name, token, method, endpoint string
			body                          any
			status                        int
		}{
			{"400 if the request cannot be parsed", r.token, "POST", "configuration_endpoint", `{"delivery":`, 400},
			{"400 for no object", r.token, "POST", "configuration_endpoint", `[]`, 400},
			{"400 for an unknown method", r.token, "POST", "configuration_endpoint", map[string]any{"delivery": map[string]any{"method": "urn:example"}}, 400},
			{"400 for http", r.token, "POST", "configuration_endpoint", push("http://receiver.example.com/"), 400},
			{"400 for no endpoint_url", r.token, "POST", "configuration_endpoint", push(""), 400},
			{"400 for a password in it", r.token, "POST", "configuration_endpoint", push("https://a:b@receiver.example.com/"), 400},
			{"400 for events that are no list", r.token, "POST", "configuration_endpoint", map[string]any{"events_requested": "all"}, 400},
			{"400 for a header of two lines", r.token, "POST", "configuration_endpoint", map[string]any{"delivery": map[string]any{
				"method": "urn:ietf:rfc:8935", "endpoint_url": "https://receiver.example.com/", "authorization_header": "Bearer a\r\nX: b"}}, 400},
			{"401 if authorization is missing", "", "POST", "configuration_endpoint", map[string]any{}, 401},
			{"401 if it failed", "eyJhbGciOiJub25lIn0.e30.", "POST", "configuration_endpoint", map[string]any{}, 401},
			{"403 for a person's token", person, "POST", "configuration_endpoint", map[string]any{}, 403},
			{"403 without ssf.manage", read, "POST", "configuration_endpoint", map[string]any{}, 403},
			{"403 to change", read, "PATCH", "configuration_endpoint", with("description", "x"), 403},
			{"403 to delete", read, "DELETE", "configuration_endpoint?stream_id=" + id, nil, 403},
			{"403 to pause", read, "POST", "status_endpoint", with("status", "paused"), 403},
			{"403 to verify", read, "POST", "verification_endpoint", with("state", "x"), 403},
			{"ssf.read may read", read, "GET", "configuration_endpoint?stream_id=" + id, nil, 200},
			{"and the status", read, "GET", "status_endpoint?stream_id=" + id, nil, 200},
			{"and poll", read, "POST", pollURL, map[string]any{"returnImmediately": true}, 200},
			{"403 for another scope", r.tokenFor("ostiary:revoke"), "GET", "configuration_endpoint", nil, 403},
			{"404 for an unknown stream", r.token, "GET", "configuration_endpoint?stream_id=unknown", nil, 404},
			{"404 for that of another receiver", other.token, "GET", "configuration_endpoint?stream_id=" + id, nil, 404},
			{"404 to change it", other.token, "PATCH", "configuration_endpoint", with("description", "x"), 404},
			{"404 to replace it", other.token, "PUT", "configuration_endpoint", with("description", "x"), 404},
			{"404 to delete it", other.token, "DELETE", "configuration_endpoint?stream_id=" + id, nil, 404},
			{"404 for its status", other.token, "GET", "status_endpoint?stream_id=" + id, nil, 404},
			{"404 to pause it", other.token, "POST", "status_endpoint", with("status", "paused"), 404},
			{"404 to verify it", other.token, "POST", "verification_endpoint", with("state", "x"), 404},
			{"404 to add to it", other.token, "POST", "add_subject_endpoint", with("subject", subject), 404},
			{"404 to remove from it", other.token, "POST", "remove_subject_endpoint", with("subject", subject), 404},
			{"404 to poll it", other.token, "POST", pollURL, map[string]any{"returnImmediately": true}, 404},
			{"400 without stream_id", r.token, "PATCH", "configuration_endpoint", map[string]any{"description": "x"}, 400},
			{"400 for another iss", r.token, "PATCH", "configuration_endpoint", with("iss", "https://other.example"), 400},
			{"400 for another aud", r.token, "PATCH", "configuration_endpoint", with("aud", "other"), 400},
			{"400 for other events_delivered", r.token, "PUT", "configuration_endpoint", with("events_delivered", []string{"urn:x"}), 400},
			{"400 for other events_supported", r.token, "PATCH", "configuration_endpoint", with("events_supported", []string{}), 400},
			{"400 for an inactivity_timeout", r.token, "PATCH", "configuration_endpoint", with("inactivity_timeout", 60), 400},
			{"400 for another poll endpoint", r.token, "PATCH", "configuration_endpoint", map[string]any{"stream_id": poll["stream_id"], "delivery": map[string]any{
				"method": "urn:ietf:rfc:8936", "endpoint_url": "https://elsewhere.example/"}}, 400},
			{"400 to delete nothing", r.token, "DELETE", "configuration_endpoint", nil, 400},
			{"400 for an unknown status", r.token, "POST", "status_endpoint", with("status", "sleeping"), 400},
			{"400 for no status", r.token, "POST", "status_endpoint", map[string]any{"stream_id": id}, 400},
			{"400 for no subject", r.token, "POST", "add_subject_endpoint", map[string]any{"stream_id": id}, 400},
			{"400 for a subject without its members", r.token, "POST", "add_subject_endpoint", with("subject", map[string]any{"format": "iss_sub"}), 400},
			{"400 for a state that is no text", r.token, "POST", "verification_endpoint", with("state", 1), 400},
			{"400 to poll what is pushed", r.token, "POST", strings.Replace(pollURL, poll["stream_id"].(string), id, 1), map[string]any{}, 400},
			{"400 for a negative maxEvents", r.token, "POST", pollURL, map[string]any{"maxEvents": -1}, 400},
			{"405 for another method", r.token, "DELETE", "status_endpoint", nil, 405},
		} {
			r.token, row.token = row.token, r.token
			a := r.ask(row.method, row.endpoint, row.body)
			r.token, row.token = row.token, r.token
			challenge := a.Header.Get("WWW-Authenticate")
			if a.Status != row.status || (row.status == 401) != strings.HasPrefix(challenge, "Bearer ") && row.status != 403 {
				t.Errorf("%s: %d %q %s", row.name, a.Status, challenge, a.Text)
			}
			if row.status == 403 && !strings.Contains(challenge, `error="insufficient_scope"`) {
				t.Errorf("%s: %q", row.name, challenge)
			}
		}
		// RFC 9700 §4.3.2: never in the URL.
		token := r.token
		r.token = ""
		if a := r.ask("GET", "configuration_endpoint?access_token="+token, nil); a.Status != 400 {
			t.Errorf("a token in the URL: %d", a.Status)
		}
		if r.token = token; r.ask("GET", "configuration_endpoint?stream_id="+id, nil).JSON["description"] != nil {
			t.Error("another receiver has changed the stream")
		}
		// What a client may do ends with the client.
		if _, err := h.Registrar.DisableClient(t.Context(), servertest.Operator, r.client.ID, true); err != nil {
			t.Fatal(err)
		}
		if a := r.ask("GET", "configuration_endpoint", nil); a.Status != 401 {
			t.Errorf("a disabled client: %d", a.Status)
		}
	})
}
