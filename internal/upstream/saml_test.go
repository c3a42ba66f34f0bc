package upstream_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream"
	"github.com/ostiary/ostiary/internal/upstream/upstreamtest"
)

const (
	ourCallback = "https://login.example.com/upstream/corp/callback"
	ourLogout   = "https://login.example.com/upstream/corp/logout"
	ourMetadata = "https://login.example.com/upstream/corp/metadata"
)

// ourKey is made once: RSA keys take their time.
var ourKey = sync.OnceValues(func() (model.Secret, error) { return upstream.NewKeyPair(time.Now()) })

// samlSide is a connector of kind "saml" with all that it can do.
type samlSide interface {
	upstream.Visitor
	upstream.Leaver
	upstream.Hearer
	upstream.Describer
}

func samlConfig(t *testing.T, c object) upstream.Config {
	t.Helper()
	key, err := ourKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return upstream.Config{
		ID: "corp", Kind: "saml", Connection: text, Secrets: map[string]model.Secret{"key": key},
		Callback: ourCallback, Logout: ourLogout, Metadata: ourMetadata,
		Client: fetch.New(fetch.Config{Allow: loopback}), Now: time.Now,
	}
}

func openSAML(t *testing.T, c upstream.Config) samlSide {
	t.Helper()
	connector, err := upstream.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return connector.(samlSide)
}

// register makes a connector known to a provider.
func register(t *testing.T, idp *upstreamtest.IdentityProvider, c upstream.Describer) {
	t.Helper()
	text, kind, err := c.Describe()
	if err != nil || kind != "application/samlmetadata+xml" {
		t.Fatal(kind, err)
	}
	idp.Register(t, text)
}

const state = "a-state-of-256-bits-in-43-characters-0000000"

// samlSignIn goes out and comes back with an answer, which nobody has read yet.
func samlSignIn(t *testing.T, c samlSide, b *upstreamtest.Browser, login string, w upstream.Wish) (upstream.Kept, upstream.Answer) {
	t.Helper()
	w.State = state
	d, err := c.Begin(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	page := b.SignIn(t, d.Address, d.Form, login)
	if page.Action != ourCallback || page.Fields.Get("RelayState") != state {
		t.Fatalf("the response goes to %s with the state %q", page.Action, page.Fields.Get("RelayState"))
	}
	return d.Kept, answer(page.Fields)
}

func answer(fields url.Values) upstream.Answer {
	return upstream.Answer{Method: http.MethodPost, Values: url.Values{
		"SAMLResponse": fields["SAMLResponse"], "RelayState": fields["RelayState"],
	}, At: ourCallback}
}

// TestSAML signs in with an identity provider of others, which encrypts what it says.
func TestSAML(t *testing.T) {
	idp := upstreamtest.NewIdentityProvider(t, time.Now)
	for name, c := range map[string]object{
		"redirect":   {"metadata_url": idp.MetadataURL},
		"post":       {"metadata_url": idp.MetadataURL, "binding": "post", "name_id_format": "email"},
		"all wanted": {"metadata_url": idp.MetadataURL, "entity_id": idp.MetadataURL, "require_signed_response": true, "require_encrypted": true},
		"inline":     {"metadata": fetchText(t, idp.MetadataURL), "name_id_format": "unspecified"},
	} {
		t.Run(name, func(t *testing.T) {
			connector := openSAML(t, samlConfig(t, c))
			register(t, idp, connector)
			if err := connector.Probe(t.Context()); err != nil {
				t.Error(err)
			}
			kept, a := samlSignIn(t, connector, idp.NewBrowser(t), "alice", upstream.Wish{})
			p, err := connector.Finish(t.Context(), kept, a)
			if err != nil {
				t.Fatal(err)
			}
			if p.Issuer != idp.MetadataURL || p.Subject != "alice@example.com" || p.Stay.Session == "" || p.Stay.Subject != p.Subject {
				t.Errorf("%+v", p)
			}
			if time.Since(time.Unix(p.AuthTime, 0)) > time.Minute || p.ACR == "" || p.Message.ID == "" || p.Message.ExpiresAt <= p.AuthTime {
				t.Errorf("%+v", p)
			}
			want := map[string]any{
				"name": "Alice Example", "given_name": "Alice", "family_name": "Example",
				"email": "alice@example.com", "preferred_username": "alice", "groups": []any{"staff", "admins"},
			}
			for claim, want := range want {
				if diff := cmp.Diff(want, p.Claims[claim]); diff != "" {
					t.Errorf("%s: %s (of %v)", claim, diff, p.Claims)
				}
			}
			if p.Claims["email_verified"] != nil {
				t.Error("the provider has not said that the address was verified")
			}
		})
	}
}

func fetchText(t *testing.T, address string) string {
	t.Helper()
	d, err := fetch.Get(t.Context(), fetch.New(fetch.Config{Allow: loopback}), address, fetch.Limits{Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return string(d.Body)
}

// TestSAMLWish: what was wished for is in the request, and kept to in the answer.
func TestSAMLWish(t *testing.T) {
	idp := upstreamtest.NewIdentityProvider(t, time.Now)
	c := openSAML(t, samlConfig(t, object{"metadata_url": idp.MetadataURL, "hint_parameter": "login_hint"}))
	register(t, idp, c)
	b := idp.NewBrowser(t)

	// Nobody is signed in there, and it may ask nothing: saml-core §3.2.2.2, NoPassive.
	kept, a := samlSignIn(t, c, b, "alice", upstream.Wish{Prompt: []string{"none"}})
	if _, err := c.Finish(t.Context(), kept, a); codeOf(err) != upstream.Asks {
		t.Errorf("passive, and nobody there: %v", err)
	}
	kept, a = samlSignIn(t, c, b, "alice", upstream.Wish{})
	first, err := c.Finish(t.Context(), kept, a)
	if err != nil {
		t.Fatal(err)
	}
	kept, a = samlSignIn(t, c, b, "nobody", upstream.Wish{Prompt: []string{"none"}})
	passive, err := c.Finish(t.Context(), kept, a)
	if err != nil || passive.Subject != first.Subject || passive.Message.ID == first.Message.ID {
		t.Errorf("passive: %+v, %v", passive, err)
	}
	// ForceAuthn asks again, and who answers is somebody else.
	age := int64(0)
	for _, w := range []upstream.Wish{{Prompt: []string{"login"}}, {MaxAge: &age}} {
		kept, a = samlSignIn(t, c, b, "bob", w)
		if p, err := c.Finish(t.Context(), kept, a); err != nil || p.Subject != "bob@example.com" {
			t.Errorf("forced: %+v, %v", p, err)
		}
	}
	d, err := c.Begin(t.Context(), upstream.Wish{State: state, LoginHint: "alice & bob"})
	if err != nil || !strings.HasSuffix(d.Address, "&login_hint=alice+%26+bob") {
		t.Errorf("%s, %v", d.Address, err)
	}
	if page := b.Visit(t, d.Address, nil); page.Action != ourCallback {
		t.Errorf("a hint beside the signed request: %.300s", page.Text)
	}
}

// TestSAMLTransient: a name ID that is another one each time is nobody's identity.
func TestSAMLTransient(t *testing.T) {
	idp := upstreamtest.NewIdentityProvider(t, time.Now)
	c := openSAML(t, samlConfig(t, object{"metadata_url": idp.MetadataURL}))
	register(t, idp, c)
	kept, a := samlSignIn(t, c, idp.NewBrowser(t), "carol", upstream.Wish{})
	if _, err := c.Finish(t.Context(), kept, a); codeOf(err) == "ok" {
		t.Error("a transient name ID was taken for a subject")
	}
	byUID := openSAML(t, samlConfig(t, object{"metadata_url": idp.MetadataURL, "subject": "uid"}))
	kept, a = samlSignIn(t, byUID, idp.NewBrowser(t), "alice", upstream.Wish{})
	if p, err := byUID.Finish(t.Context(), kept, a); err != nil || p.Subject != "alice" || p.Stay.Subject != "alice@example.com" {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestSAMLLogout ends a session on both sides, by the words of either.
func TestSAMLLogout(t *testing.T) {
	idp := upstreamtest.NewIdentityProvider(t, time.Now)
	c := openSAML(t, samlConfig(t, object{"metadata_url": idp.MetadataURL}))
	register(t, idp, c)
	b := idp.NewBrowser(t)
	kept, a := samlSignIn(t, c, b, "alice", upstream.Wish{})
	p, err := c.Finish(t.Context(), kept, a)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Leave(t.Context(), p.Stay, "", state)
	if err != nil || d.Kept["request"] == "" {
		t.Fatal(d, err)
	}
	page := b.Visit(t, d.Address, d.Form)
	response := arrived(t, page)
	if response.Values.Get("RelayState") != state {
		t.Errorf("state: %v", response.Values)
	}
	ending, err := c.Ended(t.Context(), response)
	if err != nil || ending.Answers != d.Kept["request"] || ending.Subject != "" || ending.ID == "" {
		t.Errorf("the answer: %+v, %v", ending, err)
	}
	// The session over there is gone.
	kept, a = samlSignIn(t, c, b, "alice", upstream.Wish{Prompt: []string{"none"}})
	if _, err := c.Finish(t.Context(), kept, a); codeOf(err) != upstream.Asks {
		t.Errorf("still signed in there: %v", err)
	}

	kept, a = samlSignIn(t, c, b, "alice", upstream.Wish{})
	if p, err = c.Finish(t.Context(), kept, a); err != nil {
		t.Fatal(err)
	}
	request := arrived(t, b.Visit(t, idp.URL+"/logout", url.Values{}))
	ending, err = c.Ended(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if ending.Issuer != p.Stay.Issuer || ending.Subject != p.Stay.Subject || ending.Session != p.Stay.Session ||
		ending.ID == "" || ending.Answers != "" || ending.ExpiresAt < time.Now().Unix() {
		t.Errorf("%+v, and the stay is %+v", ending, p.Stay)
	}
	if page := b.Visit(t, ending.Reply.Address, ending.Reply.Form); !regexp.MustCompile(`(?i)logged out|log out|complete`).MatchString(page.Text) {
		t.Errorf("the provider does not take the answer: %.500s", page.Text)
	}
}

// arrived is what a page of the provider's brings to our logout address.
func arrived(t *testing.T, page upstreamtest.Page) upstream.Answer {
	t.Helper()
	if page.Location != "" {
		u, err := url.Parse(page.Location)
		if err != nil || !strings.HasPrefix(page.Location, ourLogout+"?") {
			t.Fatal(page.Location, err)
		}
		return upstream.Answer{Method: http.MethodGet, Values: u.Query(), Query: u.RawQuery, At: ourLogout}
	}
	if page.Action != ourLogout {
		t.Fatalf("the browser is not sent back: %.500s", page.Text)
	}
	return upstream.Answer{Method: http.MethodPost, Values: page.Fields, At: ourLogout}
}
