package registration

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// A client can be known by a document that it publishes: its client_id is the
// document's address (draft-ietf-oauth-client-id-metadata-document-03, "CIMD"
// below). Nobody has asked the server to know it before, so the first request
// that names it makes the server fetch.
//
// What was fetched becomes a row like that of any other client, so that consents
// and grants can refer to it. It is a cache: it goes stale, it is bounded, and
// what no person has let in is swept.
const (
	maxDocument  = 5 << 10 // bytes, CIMD §8.7
	maxDocuments = 10_000  // rows

	documentLife    = hour   // where the answer says nothing, in seconds
	minDocumentLife = 5 * 60 // seconds
	maxDocumentLife = 24 * 60 * 60
)

// How often strangers can make this node fetch documents. Failures are not
// remembered (CIMD §5.2: "MUST NOT cache error responses"), so these bounds are
// what stands between the server and a host that it is sent to again and again.
const (
	fetchesPerHost   = 10 // in a minute
	fetchesOfUnknown = 60 // in a minute, of documents that no row is kept of
	fetchesAtOnce    = 16
)

// documents is what this node is fetching, and what it has fetched this minute.
type documents struct {
	mu      sync.Mutex
	running map[model.ClientID]*fetching
	minute  int64
	unknown int
	hosts   map[string]int
}

// fetching is one document on its way; whoever wants it too waits for it.
type fetching struct {
	done chan struct{}
	err  error
}

// documentID reports whether a client_id is a Client Identifier URL, CIMD §3.
func documentID(id string) bool {
	if !strings.HasPrefix(id, "https://") || len(id) > MaxClientID {
		return false
	}
	for _, c := range []byte(id) {
		if c <= 0x20 || c > 0x7e || strings.IndexByte("\"'\\<>#`", c) >= 0 { // "MUST NOT contain a fragment component"
			return false
		}
	}
	u, err := url.Parse(id)
	return err == nil && u.Hostname() != "" && u.User == nil && // "… a userinfo component"
		strings.HasPrefix(u.EscapedPath(), "/") && // "MUST contain a path component"
		!dotted(u.EscapedPath()) // "… single-dot or double-dot path components"
}

// discover sees to it that what is known of a client of that address is fresh, if
// addresses of documents are taken.
func (r *Registrar) discover(ctx context.Context, id model.ClientID) error {
	if !r.Policy.Documents || !r.Policy.allowsRedirect(string(id)) {
		return store.ErrNotFound // also those that were known before it was switched off
	}
	c, err := r.clients.find(ctx, id)
	switch {
	case err == nil && (c.Disabled || c.registration.FreshUntil > r.unix()):
		return nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	f, mine, e := r.documents.begin(id, err == nil, r.unix())
	if e != nil {
		return e
	}
	if mine {
		r.fetchForAll(context.WithoutCancel(ctx), id, f) // others wait for it, so it does not end with this request
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Registrar) fetchForAll(ctx context.Context, id model.ClientID, f *fetching) {
	defer r.documents.end(id, f)
	fresh := int64(0) // until when what is known of it is, or was
	if c, err := r.clients.find(ctx, id); err == nil {
		if fresh = c.registration.FreshUntil; fresh > r.unix() {
			return // somebody else has fetched it just now
		}
	}
	f.err = r.fetchDocument(ctx, id, fresh)
}

// begin joins a fetch that is under way, or allows one.
func (d *documents) begin(id model.ClientID, known bool, now int64) (f *fetching, mine bool, e *Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.running[id]; f != nil {
		return f, false, nil
	}
	if minute := now / 60; minute != d.minute || d.hosts == nil {
		d.minute, d.unknown, d.hosts = minute, 0, map[string]int{}
	}
	u, err := url.Parse(string(id))
	full := len(d.running) >= fetchesAtOnce
	if !known { // half is kept for clients that somebody uses
		full = len(d.running) >= fetchesAtOnce/2 || d.unknown >= fetchesOfUnknown
	}
	if err != nil || full || d.hosts[u.Host] >= fetchesPerHost {
		e := fail(TooManyRequests, "Too many metadata documents are being fetched: try again in a minute")
		e.RetryAfter = 60
		return nil, false, e
	}
	d.hosts[u.Host]++
	if !known {
		d.unknown++
	}
	if d.running == nil {
		d.running = map[model.ClientID]*fetching{}
	}
	f = &fetching{done: make(chan struct{})}
	d.running[id] = f
	return f, true, nil
}

func (d *documents) end(id model.ClientID, f *fetching) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.running, id)
	close(f.done)
}

// errDocument says why a document is of no use. Nothing of the answer is in it.
func errDocument(cause error, format string, args ...any) *Error {
	e := fail(InvalidClient, "The metadata document at this client_id cannot be used: "+format, args...)
	e.cause = cause
	return e
}

// fetchDocument fetches a client's document and keeps what it says. fresh is until when
// what is known of it was.
func (r *Registrar) fetchDocument(ctx context.Context, id model.ClientID, fresh int64) error {
	// CIMD §5: "MUST NOT automatically follow HTTP redirects".
	straight := *r.Fetch
	straight.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	d, err := fetch.Get(ctx, &straight, string(id), fetch.Limits{Bytes: maxDocument})
	if err != nil {
		return errDocument(errors.Join(err, errors.Unwrap(err)), "%s", ascii(err.Error()))
	}
	// CIMD §4: application/json, or something more specific that is JSON.
	if d.Type != "application/json" && (!strings.HasPrefix(d.Type, "application/") || !strings.HasSuffix(d.Type, "+json")) {
		return errDocument(nil, "its media type must be application/json")
	}
	s, err := r.readDocument(ctx, id, d.Body)
	if err != nil {
		return err
	}
	err = r.keepDocument(ctx, id, s, term{fresh, r.unix() + freshness(d.Header)})
	r.clients.forget(id)
	if err != nil {
		return refusal(err)
	}
	return nil
}

// freshness is how long a document may be kept, in seconds: as its server says,
// within bounds (CIMD §5.2).
func freshness(h http.Header) int64 {
	life := int64(documentLife)
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minDocumentLife
		case "max-age":
			if n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64); err == nil {
				life = n
			}
		}
	}
	return min(max(life, minDocumentLife), maxDocumentLife)
}

// readDocument reads what a document says about its client and holds it to CIMD
// §4 and to the policy of registration.
func (r *Registrar) readDocument(ctx context.Context, id model.ClientID, body []byte) (model.ClientSettings, error) {
	var s model.ClientSettings
	all, e := readMetadata(string(body))
	if e != nil {
		return s, errDocument(e, "it must be one JSON object in which no name comes twice")
	}
	if all.text("client_id") != string(id) { // CIMD §4, compared as RFC 3986 §6.2.1 says
		return s, errDocument(nil, "its client_id is not the address that it stands at")
	}
	for _, name := range []string{"client_secret", "client_secret_expires_at"} { // CIMD §4.1
		if _, sent := all[name]; sent {
			return s, errDocument(nil, "it must not hold %s", name)
		}
	}
	if e = all.fill(&s); e == nil {
		e = r.applyStatement(ctx, all, &s)
	}
	if e != nil {
		return s, errDocument(e, "%s", e.Description)
	}
	if s.AuthMethod == "" {
		s.AuthMethod = model.AuthNone // there is no secret that RFC 7591's default could mean
	}
	if s.AuthMethod != model.AuthNone && s.AuthMethod != model.AuthPrivateKey {
		return s, errDocument(nil, "its token_endpoint_auth_method must be none or private_key_jwt") // CIMD §4.1
	}
	s, err := r.admit(s)
	if err == nil {
		err = checkOrigin(string(id), s)
	}
	if err == nil {
		s, err = r.settle(ctx, model.ClientSettings{}, s)
	}
	if errors.As(refusal(err), &e) {
		return s, errDocument(err, "%s", e.Description)
	}
	return s, err
}

// checkOrigin: the host of the client_id is what a person is shown, so a code
// goes there, or to the person's own machine, and nowhere else (CIMD §8.1).
func checkOrigin(id string, s model.ClientSettings) error {
	own, err := url.Parse(id)
	if err != nil {
		return err
	}
	for _, uri := range s.RedirectURIs {
		if u, err := url.Parse(uri); err != nil || !onMachine(uri) && (u.Scheme != own.Scheme || !strings.EqualFold(u.Host, own.Host)) {
			return invalid("redirect_uris", "each must be on the host of the client_id, or on the machine of the person")
		}
	}
	return nil
}

// term is until when a document was good before it was fetched, and is now.
type term struct{ was, is int64 }

// keepDocument writes what a document said, and how long that is good, or neither. What
// another node has fetched since then may be younger, and stays.
func (r *Registrar) keepDocument(ctx context.Context, id model.ClientID, s model.ClientSettings, fresh term) error {
	var kept model.Client
	err := r.Store.Upkeep(ctx, func(tx *store.Tx) (err error) {
		kept, err = tx.Client(id)
		if errors.Is(err, store.ErrNotFound) {
			kept, err = r.addDocument(tx, id, s, fresh.is)
			return err
		}
		if err != nil {
			return err
		}
		known, err := tx.Registration(id)
		if err != nil || known.FreshUntil != fresh.was && known.FreshUntil > r.unix() {
			return err
		}
		if kept, err = r.renewDocument(tx, kept, s); err != nil {
			return err
		}
		return tx.RefreshDocument(id, fresh.is)
	})
	if errors.Is(err, store.ErrConflict) {
		return nil // another node has just kept it
	}
	if err == nil {
		r.wantLogo(kept)
	}
	return err
}

// addDocument writes the row of one that is new: a cache, for which nobody is
// accountable; what people agree to later has its event.
func (r *Registrar) addDocument(tx *store.Tx, id model.ClientID, s model.ClientSettings, until int64) (model.Client, error) {
	n, err := tx.CountDocuments()
	if err != nil {
		return model.Client{}, err
	}
	if n >= maxDocuments {
		err := tx.EvictDocument()
		if errors.Is(err, store.ErrNotFound) { // people have let all of them in
			return model.Client{}, fail(TooManyRequests, "Too many applications are known by a document")
		}
		if err != nil {
			return model.Client{}, err
		}
	}
	now := r.unix()
	c := model.Client{ID: id, CreatedAt: now, UpdatedAt: now, Origin: model.OriginDocument, ClientSettings: s}
	if err := tx.InsertClient(c); err != nil {
		return model.Client{}, err
	}
	return c, tx.InsertRegistration(model.Registration{ClientID: id, UsedAt: now, FreshUntil: until})
}

// renewDocument writes what is another thing in a document now. As long as nobody has
// let the client in, that is a change of a cache, and has no event either: whoever
// publishes documents could fill the audit log with them.
func (r *Registrar) renewDocument(tx *store.Tx, was model.Client, s model.ClientSettings) (model.Client, error) {
	if s = renewed(was.ClientSettings, s); sameSettings(was.ClientSettings, s) {
		return was, nil
	}
	idle, err := tx.IdleDocument(was.ID)
	if err != nil {
		return was, err
	}
	c := was
	c.ClientSettings, c.UpdatedAt = s, r.unix()
	if err := r.askAgain(tx, was, c); err != nil {
		return was, err
	}
	if err := r.rewrite(tx, was, c); err != nil || idle {
		return c, err
	}
	return c, tx.Record(model.Event{Actor: model.Actor{Kind: model.ActorSystem}, Action: "client.update", ClientID: c.ID})
}
