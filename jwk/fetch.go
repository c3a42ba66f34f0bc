package jwk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxRedirects is how many redirects within the host are followed.
const maxRedirects = 3

// answer is what a fetch brought.
type answer struct {
	set  *Set
	etag string
	life time.Duration // from Cache-Control, without bounds
}

// errRedirect: a redirect that leaves the host would let anybody who controls
// one path of it choose the keys.
var errRedirect = errors.New("the key set redirects to another host")

// guardedClient copies a client and makes it stay on the host of origin.
func guardedClient(client *http.Client, origin *url.URL) *http.Client {
	guarded := &http.Client{}
	if client != nil {
		*guarded = *client
	}
	custom := guarded.CheckRedirect
	guarded.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		switch {
		case req.URL.Host != origin.Host || req.URL.Scheme != origin.Scheme:
			return errRedirect
		case len(via) > maxRedirects:
			return errors.New("the key set redirects too often")
		case custom != nil:
			return custom(req, via)
		}
		return nil
	}
	return guarded
}

// isLoopback reports whether a host name means this machine, RFC 6761 §6.3.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// fetch gets the set once. It returns errSame, and a lifetime, if the server
// says that the set with this entity tag is still the one.
func (r *Remote) fetch(ctx context.Context, etag string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.origin.String(), nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json") // RFC 7517 §8.5
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{etag: resp.Header.Get("ETag"), life: lifetime(resp.Header)}
	if resp.StatusCode == http.StatusNotModified && etag != "" {
		return a, errSame
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("the server of the key set answered %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.config.MaxBytes+1))
	if err != nil {
		return answer{}, fmt.Errorf("read the key set: %w", err)
	}
	if int64(len(body)) > r.config.MaxBytes {
		return answer{}, fmt.Errorf("the key set is longer than %d bytes", r.config.MaxBytes)
	}
	if a.set, err = parsePublicSet(body); err != nil {
		return answer{}, err
	}
	return a, nil
}

// parsePublicSet parses a set that came over the network: secrets have no place
// in it, and private halves that should not be there are dropped unread. To hold one
// against its public half takes a third of a second with 8192 bits, and a set that
// somebody made for that has room for a hundred.
func parsePublicSet(body []byte) (*Set, error) {
	set, err := parseSet(body, parsePublicKey)
	if err == nil && set.Len() > 0 && set.keys[0].Symmetric() { // then they all are
		return nil, fmt.Errorf("%w: a secret in a published set", ErrConflict)
	}
	return set, err
}

// lifetime is how long an answer is fresh, RFC 9111 §4.2: max-age less the time
// that it has spent in caches on its way.
func lifetime(h http.Header) time.Duration {
	life := lifetimeUnsaid
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			life = seconds(strings.Trim(value, `"`)) - seconds(h.Get("Age"))
		}
	}
	return max(life, 0)
}

// seconds reads delta-seconds, RFC 9111 §1.2.2; 0 for what is none.
func seconds(text string) time.Duration {
	const century = 100 * 365 * 24 * 3600
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if errors.Is(err, strconv.ErrRange) || n > century {
		n = century
	}
	return time.Duration(n) * time.Second
}
