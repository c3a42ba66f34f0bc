package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// client asks as anybody outside would, and goes nowhere else than where it is sent.
func (v *visit) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: v.Server.OutgoingRoots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       10 * time.Second,
	}
}

// ask sends a GET.
func (v *visit) ask(ctx context.Context, address string, headers map[string]string) (*http.Response, []byte, error) {
	return get(ctx, v.client(), address, headers)
}

func get(ctx context.Context, client *http.Client, address string, headers map[string]string) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("User-Agent", "ostiary doctor")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return answer, body, err
}

// ownTLS reports whether the server speaks TLS itself.
func (v *visit) ownTLS() bool { return v.Server.TLS.ACME || v.Server.TLS.Certificate != "" }

// running asks whether a server answers here, without what is in front of it.
func (v *visit) running(ctx context.Context) []Finding {
	address := v.Server.Listen
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	client, scheme := v.client(), "http://"
	if v.ownTLS() { // whose certificate is looked at by the name that it is for
		client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify, scheme = true, "https://"
	}
	answer, body, err := get(ctx, client, scheme+address+"/readyz", nil)
	switch {
	case err != nil:
		return []Finding{unknown("No server answers at %s: if one should run here, start it.", address)}
	case answer.StatusCode == http.StatusServiceUnavailable:
		v.runs = true
		return []Finding{wrong("see its log", "The server at %s is not ready: %s.", address, strings.TrimSpace(string(body)))}
	case answer.StatusCode != http.StatusOK || strings.TrimSpace(string(body)) != "ready":
		return []Finding{warning("choose another address with --listen, or stop what uses it", "What answers at %s is not this server.", address)}
	}
	v.runs = true
	return []Finding{good("The server at %s is ready.", address)}
}

const discovery = "/.well-known/openid-configuration"

// issuer asks for what every application asks for first, by the public address.
func (v *visit) issuer(ctx context.Context) []Finding {
	if v.base == "" {
		v.base = v.Server.Issuer
	}
	if v.base == "" {
		v.notSaid = "nobody has said which issuer it is"
		return []Finding{unknown("Nothing was asked by the issuer's address: %s.", v.notSaid)}
	}
	answer, body, err := v.ask(ctx, v.base+discovery, nil)
	if err != nil {
		return []Finding{v.silent(err)}
	}
	var metadata struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	v.notSaid = "the issuer does not answer as it should"
	switch {
	case answer.StatusCode/100 == 3:
		return []Finding{wrong("let the proxy pass requests on, from the root of the host", "%s is redirected to %s.", v.base+discovery, answer.Header.Get("Location"))}
	case answer.StatusCode != http.StatusOK:
		return []Finding{wrong("let the proxy pass on every path to the server, and see whether it runs", "%s answers with %d.", v.base+discovery, answer.StatusCode)}
	case json.Unmarshal(body, &metadata) != nil:
		return []Finding{wrong("let the proxy pass on every path to the server", "%s answers, but not with JSON.", v.base+discovery)}
	case metadata.Issuer != v.base:
		return []Finding{wrong("let the name in the DNS and the proxy lead to the server of this database", "What answers at %s calls itself %s: it is another server.", v.base, metadata.Issuer)}
	}
	v.answers = true
	return append([]Finding{good("%s can be reached, and says so of itself.", v.base)}, v.published(ctx, metadata.Keys)...)
}

// silent says why there is no answer.
func (v *visit) silent(err error) Finding {
	v.notSaid = "the issuer does not answer"
	var certificate *tls.CertificateVerificationError
	var unknownName *net.DNSError
	switch {
	case errors.As(err, &certificate):
		return wrong("see below, under tls", "%s cannot be reached: its certificate is not accepted (%s).", v.base, certificate.Err)
	case errors.As(err, &unknownName):
		return wrong("make an entry in the DNS", "%s cannot be reached: the name %s is not known.", v.base, unknownName.Name)
	case !v.runs:
		v.notSaid = "no server runs here, and none answers as the issuer"
		return unknown("%s does not answer, and no server runs here.", v.base)
	}
	return wrong("see whether the proxy runs, and whether port and firewall let it be reached from here", "%s cannot be reached: %s.", v.base, reason(err))
}

// reason is an error without the request in front of it.
func reason(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err.Error()
}

// published holds the keys that others see to those in the database.
func (v *visit) published(ctx context.Context, address string) []Finding {
	answer, body, err := v.ask(ctx, address, nil)
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err != nil || answer.StatusCode != http.StatusOK || json.Unmarshal(body, &set) != nil {
		return []Finding{wrong("let the proxy pass on every path to the server", "The keys cannot be read at %s, so no application can verify a token.", address)}
	}
	if !v.seen {
		return []Finding{unknown("Whether the published keys are those of the database was not found out: %s.", v.closed)}
	}
	var theirs, ours []string
	for _, k := range set.Keys {
		theirs = append(theirs, k.ID)
	}
	for _, k := range v.database.Keys {
		if k.DropAt == 0 || k.DropAt > v.now().Unix() {
			ours = append(ours, string(k.ID))
		}
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	missing := slices.DeleteFunc(slices.Clone(ours), func(k string) bool { return slices.Contains(theirs, k) })
	foreign := slices.DeleteFunc(slices.Clone(theirs), func(k string) bool { return slices.Contains(ours, k) })
	switch {
	case len(foreign) > 0 && len(missing) == len(ours):
		return []Finding{wrong("let the name in the DNS and the proxy lead to the server of this database", "The server that answers at %s publishes none of the keys in this database: it works on another one.", v.base)}
	case len(foreign)+len(missing) > 0:
		return []Finding{warning("look again in a minute; if it stays so, see whether a proxy keeps an old answer", "%s publishes %d keys that are not in the database, and %d are missing there.", address, len(foreign), len(missing))}
	}
	return []Finding{good("The %d keys that it publishes are those of the database.", len(ours))}
}

const (
	soonExpired = 14 * 24 * time.Hour
	veryLate    = 3 * 24 * time.Hour
)

// tls looks at the certificate of the issuer, as a browser does.
func (v *visit) tls(ctx context.Context) []Finding {
	u, err := url.Parse(v.base)
	if err != nil || v.base == "" {
		return []Finding{unknown("No certificate was looked at: %s.", v.notSaid)}
	}
	if u.Scheme != "https" {
		return []Finding{warning("", "%s is plain http: only browsers on this machine can sign in, and nothing protects what is sent.", v.base)}
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "443")
	}
	state, err := handshake(ctx, address, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}) // verified below, to say more than no
	if err != nil {
		return []Finding{unknown("No certificate was looked at: %s.", reason(err))}
	}
	found := []Finding{v.certificate(u.Hostname(), state.PeerCertificates)}
	if _, err := handshake(ctx, address, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		return append(found, warning("allow TLS 1.2 and 1.3 only (RFC 9325 §3.1.1)", "%s still speaks TLS 1.1 or older.", u.Host))
	}
	return append(found, good("%s speaks %s, and nothing older than TLS 1.2.", u.Host, tls.VersionName(state.Version)))
}

func handshake(ctx context.Context, address string, c *tls.Config) (tls.ConnectionState, error) {
	conn, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState(), nil
}

// certificate judges a chain.
func (v *visit) certificate(host string, chain []*x509.Certificate) Finding {
	leaf, now := chain[0], v.now()
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	left := leaf.NotAfter.Sub(now)
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: v.Server.OutgoingRoots, Intermediates: between, CurrentTime: now})
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case left <= 0:
		return wrong("renew it, and find out why it was not renewed", "The certificate of %s has expired on %s.", host, leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return wrong("see whether the clock is right", "The certificate of %s is not good before %s.", host, leaf.NotBefore.Format(time.DateTime))
	case errors.As(err, &name):
		return wrong("get a certificate for that name", "The certificate that %s shows is for %s.", host, strings.Join(append(leaf.DNSNames, leaf.Subject.CommonName), " "))
	case errors.As(err, &authority) && len(chain) == 1:
		return wrong("let the server send the whole chain (fullchain.pem), or name the authority with --outgoing-ca", "The certificate of %s is alone: the one that it was issued by is not sent, and not known.", host)
	case err != nil:
		return wrong("get a certificate of an authority that everybody knows, or name yours with --outgoing-ca", "The certificate of %s is not accepted: %s.", host, err)
	case left < veryLate:
		return wrong("renew it, and find out why it was not renewed", "The certificate of %s expires in %s.", host, days(left))
	case left < soonExpired:
		return warning("see whether it is renewed by itself", "The certificate of %s expires in %s.", host, days(left))
	}
	return good("The certificate of %s is good for %s more.", host, days(left))
}

// feed asks for the revocation feed: who may not read it is told so by the server.
func (v *visit) feed(ctx context.Context) []Finding {
	if !v.answers {
		return []Finding{unknown("The revocation feed was not asked for: %s.", v.notSaid)}
	}
	answer, _, err := v.ask(ctx, v.base+"/revocations", nil)
	switch {
	case err != nil:
		return []Finding{wrong("let the proxy pass on every path to the server", "The revocation feed cannot be reached: %s.", reason(err))}
	case answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("WWW-Authenticate") == "":
		return []Finding{wrong("let the proxy pass on every path to the server, and answers as they are", "The revocation feed answers a stranger with %d, and should with 401 and a challenge: APIs cannot follow it.", answer.StatusCode)}
	}
	return []Finding{good("The revocation feed can be reached; %d entries are in the log.", v.database.Revocations)}
}

// clocks compares ours with those of others.
func (v *visit) clocks(ctx context.Context) (found []Finding) {
	if v.answers {
		before := v.now()
		answer, _, err := v.ask(ctx, v.base+discovery, nil)
		if err == nil {
			if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
				// It says whole seconds, and was written between the two.
				middle := before.Add(v.now().Sub(before) / 2)
				found = append(found, compared("The clock of the issuer", at.Add(time.Second/2).Sub(middle)))
			}
		}
	}
	if len(found) == 0 {
		found = append(found, unknown("The clock of the issuer was not looked at: %s.", v.orElse("it does not say what time it is")))
	}
	if v.database.Kind == "postgres" {
		found = append(found, compared("The clock of PostgreSQL", v.database.Ahead))
	}
	return found
}

func (v *visit) orElse(reason string) string {
	if v.notSaid != "" && !v.answers {
		return v.notSaid
	}
	return reason
}

// clocksApart is how far clocks may be apart: docs/operate.md.
const (
	clocksApart = 10 * time.Second
	clocksLoose = 2 * time.Second
)

func compared(whose string, ahead time.Duration) Finding {
	apart := fmt.Sprintf("%s is %s ahead of ours", whose, ahead.Abs().Round(time.Second))
	if ahead < 0 {
		apart = fmt.Sprintf("%s is %s behind ours", whose, ahead.Abs().Round(time.Second))
	}
	switch {
	case ahead.Abs() > clocksApart:
		return wrong("set both by NTP (timedatectl): tokens are refused as too old, or as from the future", "%s.", apart)
	case ahead.Abs() > clocksLoose:
		return warning("set both by NTP (timedatectl)", "%s.", apart)
	}
	return good("%s agrees with ours.", whose)
}
