package doctor

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/mail"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/registration"
	"github.com/ostiary/ostiary/internal/store"
)

const (
	defaultRotation = 30 * 24 * time.Hour
	defaultAhead    = 24 * time.Hour
	// overdue is how long after its time a rotation may be.
	overdue = time.Hour
)

// keys tells whether they rotate.
func (v *visit) keys(context.Context) (found []Finding) {
	if !v.seen {
		return []Finding{unknown("The signing keys were not looked at: %s.", v.closed)}
	}
	rotation, ahead, now := v.Server.KeyRotation, v.Server.KeyAhead, v.now()
	if rotation == 0 {
		rotation = defaultRotation
	}
	if ahead == 0 {
		ahead = defaultAhead
	}
	signing, waits := map[string]model.SigningKey{}, map[string]bool{}
	for _, k := range v.database.Keys {
		switch s := signing[k.Algorithm]; {
		case k.ActiveAt > now.Unix():
			waits[k.Algorithm] = true
		case k.DropAt == 0 && k.ActiveAt >= s.ActiveAt:
			signing[k.Algorithm] = k
		}
	}
	const next = "see whether a server runs all the time, and its log; ostiary key rotate makes new ones"
	oldest := time.Duration(0)
	for _, algorithm := range slices.Sorted(maps.Keys(signing)) {
		age := now.Sub(time.Unix(signing[algorithm].ActiveAt, 0))
		oldest = max(oldest, age)
		switch {
		case age > rotation+overdue:
			found = append(found, wrong(next, "The key of %s signs for %s, and should have been replaced after %s.", algorithm, days(age), days(rotation)))
		case age > rotation-ahead+overdue && !waits[algorithm]:
			found = append(found, warning(next, "The key of %s is to be replaced in %s, and the next one is not published yet.", algorithm, days(rotation-age)))
		}
	}
	switch {
	case len(signing) == 0:
		return []Finding{wrong("start the server: it makes them", "There is no key that signs.")}
	case found == nil:
		found = append(found, good("%d keys sign, the oldest for %s; each is replaced after %s.", len(signing), days(oldest), days(rotation)))
	}
	return found
}

// mail connects to the mail server, and sends nothing.
func (v *visit) mail(ctx context.Context) []Finding {
	if v.parts == nil {
		return []Finding{unknown("The mail server was not asked: %s.", v.closed)}
	}
	err := v.parts.Mail.Probe(ctx)
	switch {
	case errors.Is(err, mail.ErrOff):
		return []Finding{warning("set mail-server", "There is no mail server: who has lost a password cannot get back in without an operator.")}
	case err != nil:
		return []Finding{wrong("correct mail-server, mail-user and the password; then ostiary mail test ADDRESS", "The mail server %s cannot be used: %s.", v.Server.Mail.Server, oneLine(err))}
	case v.Server.Mail.User == "":
		return []Finding{good("The mail server %s can be reached, with TLS. Whether it takes letters, ostiary mail test ADDRESS tells.", v.Server.Mail.Server)}
	}
	return []Finding{good("The mail server %s can be reached, and knows the user and the password.", v.Server.Mail.Server)}
}

func oneLine(err error) string {
	return strings.TrimSuffix(strings.Join(strings.Fields(err.Error()), " "), ".")
}

const (
	longWait = 10 * time.Minute
	sealWait = time.Minute
)

// waiting tells of what others are to be told and have not been.
func (v *visit) waiting(context.Context) (found []Finding) {
	if !v.seen {
		return []Finding{unknown("What waits to be sent was not looked at: %s.", v.closed)}
	}
	e, now := v.database, v.now()
	age := func(b store.Backlog) time.Duration { return now.Sub(time.Unix(b.Oldest, 0)) }
	if e.Outbox.Waiting > 0 && age(e.Outbox) > longWait {
		found = append(found, warning("see the log of the server, and whether these applications answer (backchannel_logout_uri)",
			"%d notices that a session is over wait to be delivered, the oldest for %s.", e.Outbox.Waiting, days(age(e.Outbox))))
	}
	if e.Signals.Waiting > 0 && age(e.Signals) > longWait {
		found = append(found, warning("see whether the receivers take them; after seven days they are lost",
			"%d security events wait for their receivers, the oldest for %s.", e.Signals.Waiting, days(age(e.Signals))))
	}
	if v.runs && e.Unsealed.Waiting > 0 && age(e.Unsealed) > sealWait {
		found = append(found, wrong("ostiary audit verify", "%d entries of the audit log are not sealed, the oldest for %s.", e.Unsealed.Waiting, days(age(e.Unsealed))))
	}
	if found == nil {
		found = append(found, good("Nothing waits longer than it should: %d notices, %d security events.", e.Outbox.Waiting, e.Signals.Waiting))
	}
	return found
}

// upstreams asks every identity provider.
func (v *visit) upstreams(ctx context.Context) (found []Finding) {
	if v.parts == nil {
		return []Finding{unknown("Identity providers were not asked: %s.", v.closed)}
	}
	list, err := v.parts.Federation.Upstreams(ctx)
	if err != nil {
		return []Finding{wrong("", "The identity providers cannot be read: %s.", err)}
	}
	for _, u := range list {
		if !u.Disabled {
			found = append(found, v.upstream(ctx, u)...)
		}
	}
	if found == nil {
		found = append(found, good("There are no identity providers to be asked."))
	}
	return found
}

func (v *visit) upstream(ctx context.Context, u model.Upstream) (found []Finding) {
	if err := v.parts.Federation.Probe(ctx, u.ID); err != nil {
		found = append(found, wrong("ostiary upstream test "+string(u.ID), "%s cannot be used: %s.", u.ID, oneLine(err)))
	} else {
		found = append(found, good("%s can be spoken to.", u.ID))
	}
	var c struct {
		Issuer   string `json:"issuer"`
		Metadata string `json:"metadata"`
		URL      string `json:"metadata_url"`
	}
	_ = json.Unmarshal(u.Connection, &c) // the connector has judged it
	text := c.Metadata
	address := c.URL
	if c.Issuer != "" && address == "" {
		address = strings.TrimRight(c.Issuer, "/") + discovery
	}
	if address != "" {
		answer, body, err := v.ask(ctx, address, nil)
		if err == nil && c.URL != "" {
			text = string(body)
		}
		if err == nil {
			found = append(found, v.remote(u, answer)...)
		}
	}
	return append(found, v.signedBy(u, text)...)
}

// remote judges the clock and the certificate of whoever answered.
func (v *visit) remote(u model.Upstream, answer *http.Response) (found []Finding) {
	if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		if f := compared("The clock of "+string(u.ID), at.Add(time.Second/2).Sub(v.now())); f.State != Good {
			found = append(found, f)
		}
	}
	if answer.TLS != nil {
		host := answer.Request.URL.Hostname()
		if left := answer.TLS.PeerCertificates[0].NotAfter.Sub(v.now()); left < soonExpired {
			found = append(found, warning("tell whoever runs it", "The certificate of %s (%s) expires in %s.", u.ID, host, days(left)))
		}
	}
	return found
}

var certificates = regexp.MustCompile(`<(?:[\w.-]+:)?X509Certificate[^>]*>([^<]+)<`)

// signedBy tells when the certificates in SAML metadata expire.
func (v *visit) signedBy(u model.Upstream, metadata string) (found []Finding) {
	latest := time.Time{}
	for _, m := range certificates.FindAllStringSubmatch(metadata, 100) {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(m[1]), ""))
		if err != nil {
			continue
		}
		if c, err := x509.ParseCertificate(der); err == nil && c.NotAfter.After(latest) {
			latest = c.NotAfter
		}
	}
	if left := latest.Sub(v.now()); !latest.IsZero() && left < soonExpired {
		found = append(found, warning("ask for its new metadata before that", "The certificate with which %s signs expires in %s.", u.ID, days(left)))
		if left <= 0 {
			found[0].Text = "The certificate with which " + string(u.ID) + " signs has expired on " + latest.Format(time.DateOnly) + "."
		}
	}
	return found
}

// settings tells of what is allowed and risky.
func (v *visit) settings(context.Context) (found []Finding) {
	c := v.Server
	secure := strings.HasPrefix(v.base, "https:")
	for _, risk := range []struct {
		is         bool
		next, text string
	}{
		{c.SecondFactor == model.SecondOff, "second-factor: optional, or required", "Second factors are off: a password that somebody has found out is enough."},
		{c.PasswordLength != 0 && c.PasswordLength < 15 && c.SecondFactor != model.SecondRequired, "password-length: 15, or second-factor: required", "Passwords may be shorter than 15 characters, and a second factor is not asked of everybody."},
		{c.Password.Memory != 0 && c.Password.Memory < 19456, "password-memory: 19456", "Passwords are hashed with less memory than they should be."},
		{c.Mail.Insecure, "mail-insecure: off", "Letters, with links that let people in, go out without TLS."},
		{c.Registration.Mode == registration.ModeOpen && secure, "registration: token", "Everybody may register applications, which then ask people for their consent."},
		{c.SignUp && len(c.TrustedProxies) == 0 && secure, "set trusted-proxies", "Strangers may make accounts, and all come from one address: the limit of sign-ups is for all of them together."},
		{slices.ContainsFunc(c.TrustedProxies, wide), "name the proxies alone, such as 127.0.0.1/32", "trusted-proxies names a network so large that strangers can be in it: those can pass for anybody."},
		{c.AuditKeep != 0 && c.AuditKeep < 90*24*time.Hour, "audit-retention: 400d", "Entries of the audit log are deleted after less than 90 days: what is noticed late cannot be followed up."},
		{c.AccessLife > 15*time.Minute, "access-token-life: 5m", "Access tokens live longer than 15 minutes: an API that does not follow the feed accepts them as long."},
		{reachable(c.Listen) && secure && !v.ownTLS(), "listen: 127.0.0.1:8080, or a network that only the proxy reaches", "The server listens on " + c.Listen + " for whoever can reach that: past the proxy, without TLS."},
		{!secure && v.base != "" && !local(v.base), "set an https issuer", "The issuer is not https: nothing protects passwords and tokens on their way."},
	} {
		if risk.is {
			found = append(found, warning(risk.next, "%s", risk.text))
		}
	}
	if found == nil {
		found = append(found, good("No setting is risky."))
	}
	return found
}

// wide reports whether a network is larger than any that one can own in private.
func wide(n netip.Prefix) bool {
	return n.Addr().Is4() && n.Bits() < 8 || n.Addr().Is6() && n.Bits() < 7
}

// reachable reports whether an address to listen on is for others than this machine.
func reachable(listen string) bool {
	host, _, _ := strings.Cut(listen, ":")
	return host == "" || host == "0.0.0.0" || strings.HasPrefix(listen, "[::]")
}

func local(address string) bool {
	u, err := url.Parse(address)
	return err == nil && registration.Loopback(u.String())
}
