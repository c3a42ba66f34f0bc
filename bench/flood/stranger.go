package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// stranger is a browser, or a program, at a network address.
type stranger struct {
	issuer, address string
	web             *http.Client
	count           func(status int)
}

func newStranger(issuer, node, address string, count func(int)) *stranger {
	jar, _ := cookiejar.New(nil) // never fails without options
	return &stranger{issuer: issuer, address: address, count: count, web: &http.Client{
		Jar: jar, Timeout: 30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 1, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, node)
		}},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			next.Header.Set("X-Forwarded-For", address)
			if !strings.HasPrefix(next.URL.String(), issuer+"/") || len(via) > 10 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}}
}

// visit does one of the things that a stranger can do.
func (s *stranger) visit(ctx context.Context, number int) {
	deeds := []func(context.Context){s.guess, s.device, s.register, s.recover, s.signUp, s.typeCode, s.pretend, s.passkey, s.own}
	deeds[number%len(deeds)](ctx)
}

// begin begins a sign-in, and returns its address.
func (s *stranger) begin(ctx context.Context, extra ...string) (at *url.URL, ok bool) {
	sum := sha256.Sum256([]byte(rand.Text()))
	v := url.Values{
		"response_type": {"code"}, "client_id": {"shop"}, "redirect_uri": {callback}, "scope": {"openid"}, "state": {rand.Text()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(extra); i += 2 {
		v.Set(extra[i], extra[i+1])
	}
	res, err := s.send(ctx, http.MethodGet, "/authorize?"+v.Encode(), nil)
	if err != nil || res.status != http.StatusOK || !strings.Contains(res.at.Path, "/interaction/") {
		return nil, false
	}
	return res.at, true
}

func (s *stranger) guess(ctx context.Context) {
	if at, ok := s.begin(ctx); ok {
		s.send(ctx, http.MethodPost, at.Path, url.Values{"login": {rand.Text()}, "password": {rand.Text()}})
	}
}

func (s *stranger) device(ctx context.Context) {
	s.send(ctx, http.MethodPost, "/device-authorization", url.Values{"client_id": {"television"}, "scope": {"openid"}})
}

func (s *stranger) register(ctx context.Context) {
	s.do(ctx, http.MethodPost, "/register", "application/json", `{"client_name":"`+rand.Text()+`","redirect_uris":["https://`+strings.ToLower(rand.Text())+`.example/"]}`)
}

func (s *stranger) recover(ctx context.Context) {
	s.send(ctx, http.MethodPost, "/recover", url.Values{"login": {strings.ToLower(rand.Text()) + "@example.com"}})
}

func (s *stranger) signUp(ctx context.Context) {
	if at, ok := s.begin(ctx, "prompt", "create"); ok {
		s.send(ctx, http.MethodPost, strings.TrimSuffix(at.Path, "/create")+"/create", url.Values{
			"login": {strings.ToLower(rand.Text())}, "name": {"Nobody " + rand.Text()}, "password": {rand.Text()},
		})
	}
}

func (s *stranger) typeCode(ctx context.Context) {
	s.send(ctx, http.MethodPost, "/device", url.Values{"user_code": {"BCDF-GHJK"}})
}

// pretend calls as a client without its secret, and with a token that is none.
func (s *stranger) pretend(ctx context.Context) {
	s.send(ctx, http.MethodPost, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {rand.Text()}, "client_id": {"shop"}, "client_secret": {rand.Text()}})
	s.send(ctx, http.MethodPost, "/revoke", url.Values{"token": {rand.Text()}, "client_id": {"television"}})
	s.send(ctx, http.MethodPost, "/userinfo", url.Values{"access_token": {rand.Text()}})
}

func (s *stranger) passkey(ctx context.Context) {
	if at, ok := s.begin(ctx); ok {
		s.send(ctx, http.MethodPost, strings.TrimSuffix(at.Path, "/login")+"/passkey/options", url.Values{})
	}
}

// own begins a sign-in for a page of the server.
func (s *stranger) own(ctx context.Context) {
	s.send(ctx, http.MethodGet, "/account/sessions", nil)
	s.send(ctx, http.MethodGet, "/sign-in", nil)
}

// signIn is what somebody does who has an account.
func (s *stranger) signIn(ctx context.Context) error {
	at, ok := s.begin(ctx)
	if !ok {
		return fmt.Errorf("no sign-in could be begun")
	}
	res, err := s.send(ctx, http.MethodPost, at.Path, url.Values{"login": {person}, "password": {password}})
	if err != nil {
		return err
	}
	if res.left == nil || res.left.Query().Get("code") == "" {
		return fmt.Errorf("%s answers %d and gives no code: %.300s", at.Path, res.status, res.body)
	}
	return nil
}

// answer is what the server said.
type answer struct {
	status   int
	body     []byte
	at, left *url.URL
}

// send sends a form as a browser does, or gets a page.
func (s *stranger) send(ctx context.Context, method, path string, form url.Values) (answer, error) {
	return s.do(ctx, method, path, "application/x-www-form-urlencoded", form.Encode())
}

func (s *stranger) do(ctx context.Context, method, path, kind, body string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.issuer+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("X-Forwarded-For", s.address)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Origin", s.issuer)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	res, err := s.web.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, at: res.Request.URL}
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20)); err != nil {
		return answer{}, err
	}
	if to, err := res.Location(); err == nil {
		a.left = to
	}
	s.count(a.status)
	return a, nil
}
