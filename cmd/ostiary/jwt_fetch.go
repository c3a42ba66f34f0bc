package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwk"
)

// fetchTimeout bounds how long somebody waits for another server.
const fetchTimeout = 10 * time.Second

func remoteRing(address string) (ring, error) {
	remote, err := jwk.NewRemote(jwk.RemoteConfig{URL: address, Timeout: fetchTimeout})
	if err != nil {
		return ring{}, err
	}
	return ring{source: remote}, nil
}

// issuerRing finds the keys of an issuer by its metadata, and holds tokens to
// that issuer: RFC 8414 §3.3 and OpenID Connect Discovery §4.3 want the issuer in
// the metadata to be the one that was asked for.
func issuerRing(ctx context.Context, issuer string) (ring, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return ring{}, fmt.Errorf("%q is no issuer: write an address such as https://login.example.com, https unless it is this machine", issuer)
	}
	metadata, err := fetchMetadata(ctx, strings.TrimRight(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return ring{}, fmt.Errorf("the metadata of %s cannot be had: %w", issuer, err)
	}
	if metadata.Issuer != issuer {
		return ring{}, fmt.Errorf("the server at %s says that it is the issuer %q: write that, if it is the one that you mean", issuer, metadata.Issuer)
	}
	if u.Scheme == "https" && !strings.HasPrefix(metadata.KeySet, "https://") { // RFC 8414 §2
		return ring{}, fmt.Errorf("the metadata of %s name a JWK set that is not on https", issuer)
	}
	r, err := remoteRing(metadata.KeySet)
	r.issuer = issuer
	return r, err
}

type metadata struct {
	Issuer string `json:"issuer"`
	KeySet string `json:"jwks_uri"`
}

func fetchMetadata(ctx context.Context, address string) (metadata, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return metadata{}, err
	}
	// Nobody but the issuer says what its keys are: no redirects.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return metadata{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return metadata{}, fmt.Errorf("the server answered %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxInput))
	if err != nil {
		return metadata{}, err
	}
	var m metadata
	if err := json.Unmarshal(body, &m); err != nil {
		return metadata{}, errors.New("the answer is not JSON")
	}
	return m, nil
}
