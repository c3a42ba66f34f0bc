package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/ostiary/ostiary/bench/house"
)

const (
	audience = "https://api.example"
	login    = "olena"
	password = "correct horse battery"
)

// server is the house with what the measurement needs: a person, applications, and
// the APIs that run.
type server struct {
	*house.House
	apps             []*process
	web              *http.Client
	app, feed, admin house.Client
}

func settle(ctx context.Context, o options, s setting) (_ *server, err error) {
	c := house.Config{Program: o.Binary, Nodes: s.Nodes, Settings: []string{
		"OSTIARY_ACCESS_TOKEN_LIFE=1h",
		"OSTIARY_PASSWORD_MEMORY=8192", "OSTIARY_PASSWORD_PASSES=1", // what a password costs is not the question
	}}
	if s.Nodes > 1 {
		c.Database = o.Database
	}
	h := &server{web: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	if h.House, err = house.Open(ctx, c); err != nil {
		return nil, err
	}
	if err := h.furnish(ctx); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// furnish makes the person and the clients.
func (h *server) furnish(ctx context.Context) (err error) {
	if err := h.User(ctx, login, password); err != nil {
		return err
	}
	if h.app, err = h.Client(ctx, "--id", "app", "--redirect-uri", "http://127.0.0.1:1/callback", "--first-party", "--challenge", "--scope", "openid", "--audience", audience); err != nil {
		return err
	}
	if h.feed, err = h.Client(ctx, "--id", "api", "--grant-type", "client_credentials", "--scope", "ostiary:feed", "--resource", audience); err != nil {
		return err
	}
	h.admin, err = h.Client(ctx, "--id", "admin", "--grant-type", "client_credentials", "--scope", "ostiary:sessions")
	return err
}

// close ends what was started and removes what was made.
func (h *server) close() {
	for _, p := range h.apps {
		p.end()
	}
	if err := h.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "kickout:", err)
	}
}

// signedIn is a session and the access token that an application got from it.
type signedIn struct{ session, token string }

func tokens(all []signedIn) []string {
	var list []string
	for _, s := range all {
		list = append(list, s.token)
	}
	return list
}

// signIn begins so many sessions of the person.
func (h *server) signIn(ctx context.Context, n int) ([]signedIn, error) {
	all := make([]signedIn, n)
	for i := range all {
		verifier := rand.Text() + rand.Text()
		sum := sha256.Sum256([]byte(verifier))
		said, err := h.post(ctx, "/challenge", h.app, url.Values{
			"response_type": {"code"}, "scope": {"openid"}, "username": {login}, "password": {password},
			"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
		})
		if err != nil {
			return nil, err
		}
		said, err = h.post(ctx, "/token", h.app, url.Values{
			"grant_type": {"authorization_code"}, "code": {said["authorization_code"]}, "code_verifier": {verifier},
		})
		if err != nil {
			return nil, err
		}
		all[i].token = said["access_token"]
		if all[i].session, err = sessionOf(all[i].token); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// sessionOf reads "sid", as the application that was given the token may.
func sessionOf(token string) (string, error) {
	part := strings.Split(token, ".")
	if len(part) != 3 {
		return "", errors.New("the access token is no JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(part[1])
	if err != nil {
		return "", err
	}
	var claims struct {
		SessionID string `json:"sid"`
	}
	return claims.SessionID, json.Unmarshal(text, &claims)
}

func (h *server) adminToken(ctx context.Context) (string, error) {
	said, err := h.post(ctx, "/token", h.admin, url.Values{"grant_type": {"client_credentials"}, "scope": {"ostiary:sessions"}})
	return said["access_token"], err
}

// post calls an endpoint as a client and returns the texts of its answer.
func (h *server) post(ctx context.Context, path string, c house.Client, form url.Values) (map[string]string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	res, err := h.web.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d %s", path, res.StatusCode, body)
	}
	var all map[string]any
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for name, value := range all {
		texts[name], _ = value.(string)
	}
	return texts, nil
}

// call makes a request with an access token and returns the status.
func (h *server) call(ctx context.Context, method, path, token string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, h.Issuer+path, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := h.web.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// process is an API that runs.
type process struct {
	number int
	opened float64 // seconds until it was ready
	run    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
}

// apis starts so many, in turn at the nodes.
func (h *server) apis(ctx context.Context, n int) ([]*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for i := range n {
		p := &process{number: i, run: exec.CommandContext(ctx, self, consumerMode)}
		p.run.Stderr = os.Stderr
		p.run.Env = append(os.Environ(), "GOMAXPROCS=1")
		if p.in, err = p.run.StdinPipe(); err != nil {
			return nil, err
		}
		out, err := p.run.StdoutPipe()
		if err != nil {
			return nil, err
		}
		p.out = bufio.NewScanner(out)
		p.out.Buffer(nil, 64<<20)
		if err := p.run.Start(); err != nil {
			return nil, err
		}
		h.apps = append(h.apps, p)
	}
	return h.apps, each(h.apps, func(p *process) error {
		a, err := p.ask(order{Issuer: h.Issuer, Audience: audience, ID: h.feed.ID, Secret: h.feed.Secret, Node: h.Nodes[p.number%len(h.Nodes)]})
		p.opened = a.Took
		return err
	})
}

// ask sends an order and waits for the answer.
func (p *process) ask(o order) (answer, error) {
	if err := json.NewEncoder(p.in).Encode(o); err != nil {
		return answer{}, err
	}
	if !p.out.Scan() {
		return answer{}, errors.Join(fmt.Errorf("API %d has ended", p.number), p.out.Err())
	}
	var a answer
	if err := json.Unmarshal(p.out.Bytes(), &a); err != nil {
		return answer{}, err
	}
	if a.Error != "" {
		return answer{}, fmt.Errorf("API %d: %s", p.number, a.Error)
	}
	return a, nil
}

func (p *process) end() {
	p.in.Close()
	p.run.Wait()
}

// each does something with all of them at once.
func each(all []*process, do func(*process) error) error {
	var work sync.WaitGroup
	failures := make([]error, len(all))
	for i, p := range all {
		work.Go(func() { failures[i] = do(p) })
	}
	work.Wait()
	return errors.Join(failures...)
}
