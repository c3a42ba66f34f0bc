package upstream

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/upstream/upstreamtest"
)

// TestSAMLConnection: what an operator may write, and what not.
func TestSAMLConnection(t *testing.T) {
	good := metadataOf(forgeEntity, signers().idp)
	pinned := pemOf(signers().idp)
	weak := metadataOf(forgeEntity, weakSigner(t))
	for name, row := range map[string]struct {
		connection map[string]any
		member     string // of the ErrInvalid; "": it is good
	}{
		"metadata":             {map[string]any{"metadata": good}, ""},
		"an address":           {map[string]any{"metadata_url": "https://idp.example.net/metadata"}, ""},
		"this machine":         {map[string]any{"metadata_url": "http://127.0.0.1:8080/metadata"}, ""},
		"all members":          {map[string]any{"metadata_url": "https://idp.example.net/", "metadata_certificate": pinned, "entity_id": forgeEntity, "binding": "post", "name_id_format": "transient", "subject": "uid", "acr_values": map[string]string{"mfa": "https://refeds.org/profile/mfa"}, "hint_parameter": "login_hint", "allow_internal": true}, ""},
		"nothing":              {map[string]any{}, "metadata_url"},
		"both":                 {map[string]any{"metadata": good, "metadata_url": "https://idp.example.net/"}, "metadata_url"},
		"http":                 {map[string]any{"metadata_url": "http://idp.example.net/"}, "metadata_url"},
		"a file":               {map[string]any{"metadata_url": "file:///etc/passwd"}, "metadata_url"},
		"a password":           {map[string]any{"metadata_url": "https://user:pass@idp.example.net/"}, "metadata_url"},
		"another member":       {map[string]any{"metadata": good, "metadata_uri": "x"}, "connection"},
		"another binding":      {map[string]any{"metadata": good, "binding": "artifact"}, "binding"},
		"another format":       {map[string]any{"metadata": good, "name_id_format": "kerberos"}, "name_id_format"},
		"transient":            {map[string]any{"metadata": good, "name_id_format": "transient"}, "subject"},
		"no URI":               {map[string]any{"metadata": good, "acr_values": map[string]string{"mfa": "mfa"}}, "acr_values"},
		"no parameter":         {map[string]any{"metadata": good, "hint_parameter": "a&b"}, "hint_parameter"},
		"no PEM":               {map[string]any{"metadata": good, "metadata_certificate": "x"}, "metadata_certificate"},
		"another entity":       {map[string]any{"metadata": good, "entity_id": otherEntity}, "metadata"},
		"not signed":           {map[string]any{"metadata": good, "metadata_certificate": pinned}, "metadata"},
		"a DTD":                {map[string]any{"metadata": "<!DOCTYPE x>" + good}, "metadata"},
		"no XML":               {map[string]any{"metadata": "hello"}, "metadata"},
		"a service provider's": {map[string]any{"metadata": strings.ReplaceAll(good, "IDPSSODescriptor", "SPSSODescriptor")}, "metadata"},
		"no key":               {map[string]any{"metadata": metadataOf(forgeEntity)}, "metadata"},
		"an RSA key of 1024":   {map[string]any{"metadata": weak}, "metadata"},
		"no certificate in it": {map[string]any{"metadata": strings.Replace(good, "<X509Certificate>", "<X509Certificate>AAAA", 1)}, "metadata"},
		"a script for address": {map[string]any{"metadata": strings.Replace(good, forgeEntity+"/sso", "javascript:alert(1)", 1)}, "metadata"},
		"an address in clear":  {map[string]any{"metadata": strings.Replace(good, forgeEntity+"/sso", "http://idp.example.net/sso", 1)}, "metadata"},
		"no such binding":      {map[string]any{"metadata": good, "binding": "post"}, "metadata"},
		"many providers, and none named": {map[string]any{"metadata": aggregate(metadataOf(forgeEntity, signers().idp),
			metadataOf(otherEntity, signers().stranger))}, "metadata"},
		"one of many": {map[string]any{"entity_id": forgeEntity, "metadata": aggregate(metadataOf(forgeEntity, signers().idp),
			metadataOf(otherEntity, signers().stranger))}, ""},
		"too long": {map[string]any{"metadata": strings.Replace(good, "<!-- written by hand -->", "<!--"+strings.Repeat("x", 300<<10)+"-->", 1)}, "connection"},
	} {
		text, err := json.Marshal(row.connection)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(Config{
			ID: "corp", Kind: "saml", Connection: text, Secrets: map[string]model.Secret{"key": signers().ours},
			Callback: oursCallback, Logout: oursLogout, Metadata: oursEntity, Now: time.Now,
		})
		invalid, _ := err.(ErrInvalid)
		if invalid.Member != row.member || err != nil && row.member == "" || len(fmt.Sprint(err)) > 300 {
			t.Errorf("%s: %v, want %q", name, err, row.member)
		}
	}
	for name, key := range map[string]model.Secret{"no key": "", "no PEM": "x", "half of one": signers().ours[:500]} {
		text, _ := json.Marshal(map[string]any{"metadata": good})
		if _, err := Open(Config{Kind: "saml", Connection: text, Secrets: map[string]model.Secret{"key": key}, Now: time.Now}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func aggregate(entities ...string) string {
	var b strings.Builder
	b.WriteString(`<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">`)
	for i, text := range entities {
		_, entity, _ := strings.Cut(text, "-->\n")
		b.WriteString(strings.Replace(entity, `ID="m1"`, fmt.Sprintf(`ID="m%d"`, i), 1))
	}
	return b.String() + "</EntitiesDescriptor>"
}

// signMetadata signs metadata as its publisher does.
func signMetadata(text string, s signer, algorithm string) string {
	doc := etree.NewDocument()
	if err := doc.ReadFromString(text); err != nil {
		panic(err)
	}
	root := doc.Root()
	root.InsertChildAt(0, s.sign(root, algorithm))
	return write(root)
}

// TestMetadataSignature: a pinned key has signed all that is used.
func TestMetadataSignature(t *testing.T) {
	plain := metadataOf(forgeEntity, signers().idp)
	good := signMetadata(plain, signers().stranger, dsig.RSASHA256SignatureMethod) // another key than for messages
	evil := metadataOf(forgeEntity, signers().stranger)
	_, evilEntity, _ := strings.Cut(evil, "-->\n")
	for name, row := range map[string]struct {
		text string
		good bool
	}{
		"signed":           {good, true},
		"unsigned":         {plain, false},
		"with another key": {signMetadata(plain, signers().idp, dsig.RSASHA256SignatureMethod), false},
		"with SHA-1":       {signMetadata(plain, signers().stranger, dsig.RSASHA1SignatureMethod), false},
		"changed":          {strings.Replace(good, "/sso", "/evil", 1), false},
		"wrapped": {`<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + strings.Replace(evilEntity, `ID="m1"`, `ID="m2"`, 1) +
			good + `</EntitiesDescriptor>`, false},
	} {
		text, _ := json.Marshal(map[string]any{"metadata": row.text, "metadata_certificate": pemOf(signers().stranger), "entity_id": forgeEntity})
		_, err := Open(Config{
			ID: "corp", Kind: "saml", Connection: text, Secrets: map[string]model.Secret{"key": signers().ours},
			Callback: oursCallback, Logout: oursLogout, Metadata: oursEntity, Now: time.Now,
		})
		if (err == nil) != row.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// publisher serves metadata that can change.
type publisher struct {
	*httptest.Server
	text atomic.Pointer[string]
	hits atomic.Int64
}

func publish(t *testing.T, text string) *publisher {
	t.Helper()
	p := &publisher{}
	p.text.Store(&text)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.hits.Add(1)
		switch text := *p.text.Load(); text {
		case "hang":
			<-r.Context().Done()
		case "redirect":
			http.Redirect(w, r, "http://127.0.0.1:9/", http.StatusFound)
		case "endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case "error":
			http.Error(w, "no", http.StatusInternalServerError)
		default:
			io.WriteString(w, text)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) now(text string) { p.text.Store(&text) }

// TestMetadataFetch: it is fetched seldom, survives its publisher for a while, and
// brings new keys.
func TestMetadataFetch(t *testing.T) {
	s := publish(t, metadataOf(forgeEntity, signers().idp))
	now := forgeNow
	text, _ := json.Marshal(map[string]any{"metadata_url": s.URL + "/metadata"})
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	open := func(client *http.Client) *serviceProvider {
		c, err := Open(Config{
			ID: "corp", Kind: "saml", Connection: text, Secrets: map[string]model.Secret{"key": signers().ours}, Client: client,
			Callback: oursCallback, Logout: oursLogout, Metadata: oursEntity, Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		return c.(*serviceProvider)
	}
	p := open(fetch.New(fetch.Config{Allow: loopback, Timeout: 300 * time.Millisecond}))
	finish := func(f forgery) error {
		f.issued, f.notBefore, f.notAfter, f.authn = now, now, now.Add(time.Minute), now
		_, err := p.Finish(t.Context(), asked, posted(f.text()))
		return err
	}
	for range 3 {
		if err := finish(base()); err != nil || s.hits.Load() != 1 {
			t.Fatalf("%v after %d requests", err, s.hits.Load())
		}
	}
	// A key that is not known may be new, but is not asked about at once.
	changed := base()
	changed.signer = &signers().stranger
	s.now(metadataOf(forgeEntity, signers().stranger))
	if err := finish(changed); err == nil || s.hits.Load() != 1 {
		t.Errorf("a minute has not passed: %v, %d requests", err, s.hits.Load())
	}
	now = now.Add(2 * time.Minute)
	if err := finish(changed); err != nil || s.hits.Load() != 2 {
		t.Errorf("a new key: %v, %d requests", err, s.hits.Load())
	}
	if err := finish(base()); err == nil {
		t.Error("the old key is still good")
	}
	for _, bad := range []string{"hang", "redirect", "endless", "error", "nonsense", metadataOf(otherEntity), "<!DOCTYPE x>" + metadataOf(forgeEntity, signers().idp)} {
		s.now(bad)
		now = now.Add(2 * time.Hour)
		began := time.Now()
		if err := finish(changed); err != nil {
			t.Errorf("%.20s: what was known is forgotten: %v", bad, err)
		}
		if err := p.Probe(t.Context()); err == nil {
			t.Errorf("%.20s: the probe is content", bad)
		}
		if time.Since(began) > 3*time.Second {
			t.Errorf("%.20s: it took %s", bad, time.Since(began))
		}
	}
	// While one waits for what hangs, others go on with what is known.
	s.now("hang")
	now = now.Add(2 * time.Hour)
	before := s.hits.Load()
	probed := make(chan error)
	go func() { probed <- p.Probe(t.Context()) }()
	for s.hits.Load() == before {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	if _, err := p.Begin(t.Context(), Wish{State: "s"}); err != nil || time.Since(began) > 200*time.Millisecond {
		t.Errorf("%v, after %s", err, time.Since(began))
	}
	if err := <-probed; err == nil {
		t.Error("the probe is content")
	}
	now = now.Add(8 * 24 * time.Hour)
	if err := finish(changed); err == nil {
		t.Error("what nobody publishes any more lasts for ever")
	}
	// Attack row O30: an address of ours. The good twin is all of the above.
	s.now(metadataOf(forgeEntity, signers().idp))
	guarded := open(fetch.New(fetch.Config{}))
	hits := s.hits.Load()
	if _, err := guarded.Begin(t.Context(), Wish{State: "s"}); err == nil || s.hits.Load() != hits {
		t.Errorf("an internal address was asked: %v", err)
	}
	// Whoever gives up says nothing of the provider.
	fresh := open(fetch.New(fetch.Config{Allow: loopback}))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fresh.Begin(gone, Wish{State: "s"}); err == nil {
		t.Error("begun by nobody")
	}
	if _, err := fresh.Begin(t.Context(), Wish{State: "s"}); err != nil {
		t.Errorf("the next one is told of the one before: %v", err)
	}
}

// TestMetadataExpiry: saml-metadata §2.3.2, validUntil.
func TestMetadataExpiry(t *testing.T) {
	until := func(when time.Time) string {
		return strings.Replace(metadataOf(forgeEntity, signers().idp), ` ID="m1"`, ` ID="m1" validUntil="`+when.UTC().Format(time.RFC3339)+`"`, 1)
	}
	good := against(t, map[string]any{"metadata": until(forgeNow.Add(time.Hour))})
	if _, err := good.Finish(t.Context(), asked, posted(base().text())); err != nil {
		t.Error(err)
	}
	old := against(t, map[string]any{"metadata": until(forgeNow.Add(-time.Hour))})
	_, err := old.Finish(t.Context(), asked, posted(base().text()))
	if code, _ := refusal(err); code != Misconfigured {
		t.Error(err)
	}
}

// TestDescribe: an identity provider finds in our metadata what it needs.
func TestDescribe(t *testing.T) {
	p := against(t, map[string]any{"name_id_format": "email"})
	text, _, err := p.Describe()
	if err != nil {
		t.Fatal(err)
	}
	var entity saml.EntityDescriptor
	if err := xml.Unmarshal(text, &entity); err != nil {
		t.Fatal(err)
	}
	role := entity.SPSSODescriptors[0]
	if entity.EntityID != oursEntity || !*role.AuthnRequestsSigned || !*role.WantAssertionsSigned || len(role.AssertionConsumerServices) != 1 ||
		role.AssertionConsumerServices[0].Location != oursCallback || role.AssertionConsumerServices[0].Binding != saml.HTTPPostBinding ||
		len(role.SingleLogoutServices) != 2 || role.SingleLogoutServices[0].Location != oursLogout || role.NameIDFormats[0] != saml.EmailAddressNameIDFormat {
		t.Errorf("%s", text)
	}
	uses := map[string]int{}
	for _, k := range role.KeyDescriptors {
		uses[k.Use+" "+k.KeyInfo.X509Data.X509Certificates[0].Data]++
	}
	for _, pair := range p.keys {
		for _, use := range []string{"signing ", "encryption "} {
			if uses[use+pair.base64()] != 1 {
				t.Errorf("a key is not there for %s", use)
			}
		}
	}
	if strings.Contains(string(text), "PRIVATE") || strings.Contains(string(text), base64.StdEncoding.EncodeToString(p.keys[0].key.D.Bytes())[:20]) {
		t.Error("the private key is published")
	}
}

func weakSigner(t *testing.T) signer {
	t.Helper()
	key, cert := upstreamtest.NewWeakKey(t)
	return signer{key, cert}
}
