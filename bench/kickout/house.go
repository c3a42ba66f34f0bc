package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
)

const (
	audience = "https://api.example"
	login    = "olena"
	password = "correct horse battery"
)

// build makes the program.
func build(ctx context.Context, folder string) (string, error) {
	path := filepath.Join(folder, "ostiary")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/ostiary/ostiary/cmd/ostiary").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
}

// house is a server of one or more nodes, as an operator sets it up.
type house struct {
	program, folder  string
	issuer           string
	nodes            []string // host:port
	running          []*exec.Cmd
	apps             []*process
	web              *http.Client
	app, feed, admin secret
	drop             func() error // of what was made in the database
	env              []string
}

// secret is a client with its secret.
type secret struct{ id, value string }

func settle(ctx context.Context, o options, s setting) (_ *house, err error) {
	folder, err := os.MkdirTemp("", "kickout")
	if err != nil {
		return nil, err
	}
	h := &house{program: o.Binary, folder: folder, drop: func() error { return nil }, web: &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8},
	}}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	for range s.Nodes {
		address, err := free()
		if err != nil {
			return nil, err
		}
		h.nodes = append(h.nodes, address)
	}
	_, port, _ := net.SplitHostPort(h.nodes[0])
	h.issuer = "http://localhost:" + port
	h.env = append(os.Environ(),
		"OSTIARY_DATA="+filepath.Join(folder, "data"), "OSTIARY_ISSUER="+h.issuer, "OSTIARY_ACCESS_TOKEN_LIFE=1h",
		"OSTIARY_PASSWORD_MEMORY=8192", "OSTIARY_PASSWORD_PASSES=1") // what a password costs is not the question
	if s.Nodes > 1 {
		database, err := h.schema(ctx, o.Database)
		if err != nil {
			return nil, err
		}
		h.env = append(h.env, "OSTIARY_DATABASE="+database)
	}
	for _, node := range h.nodes {
		if err := h.start(ctx, node); err != nil {
			return nil, err
		}
	}
	return h, h.furnish(ctx)
}

// free finds a port that nothing listens on.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// schema makes a place of its own in a PostgreSQL database.
func (h *house) schema(ctx context.Context, database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", errors.New("-postgres is not a URL")
	}
	db, err := sql.Open("pgx", database)
	if err != nil {
		return "", err
	}
	name := "kickout_" + strconv.Itoa(os.Getpid())
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+name); err != nil {
		return "", errors.Join(err, db.Close())
	}
	h.drop = func() error {
		_, err := db.Exec("DROP SCHEMA " + name + " CASCADE")
		return errors.Join(err, db.Close())
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// start runs a node and waits until it serves.
func (h *house) start(ctx context.Context, address string) error {
	log, err := os.Create(filepath.Join(h.folder, strings.ReplaceAll(address, ":", "-")+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	node := exec.Command(h.program, "serve", "--listen", address)
	node.Env, node.Stdout, node.Stderr = h.env, log, log
	if err := node.Start(); err != nil {
		return err
	}
	h.running = append(h.running, node)
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		res, err := h.web.Get("http://" + address + "/readyz")
		if err != nil {
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
	}
	text, _ := os.ReadFile(log.Name())
	return fmt.Errorf("the node at %s does not start: %s", address, text)
}

// furnish makes the person and the clients with the command.
func (h *house) furnish(ctx context.Context) error {
	if _, err := h.command(ctx, password+"\n", "user", "create", login); err != nil {
		return err
	}
	for _, c := range []struct {
		into *secret
		args []string
	}{
		{&h.app, []string{"--id", "app", "--redirect-uri", "http://127.0.0.1:1/callback", "--first-party", "--challenge", "--scope", "openid", "--audience", audience}},
		{&h.feed, []string{"--id", "api", "--grant-type", "client_credentials", "--scope", "ostiary:feed", "--resource", audience}},
		{&h.admin, []string{"--id", "admin", "--grant-type", "client_credentials", "--scope", "ostiary:sessions"}},
	} {
		out, err := h.command(ctx, "", append([]string{"client", "create", "--json"}, c.args...)...)
		if err != nil {
			return err
		}
		var made struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
		}
		if err := json.Unmarshal(out, &made); err != nil {
			return err
		}
		*c.into = secret{made.ID, made.Secret}
	}
	return nil
}

func (h *house) command(ctx context.Context, input string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, h.program, args...)
	var out, failure bytes.Buffer
	c.Env, c.Stdin, c.Stdout, c.Stderr = h.env, strings.NewReader(input), &out, &failure
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("ostiary %s: %w: %s", strings.Join(args, " "), err, failure.String())
	}
	return out.Bytes(), nil
}

// stop ends the nodes in order.
func (h *house) stop() {
	for _, node := range h.running {
		node.Process.Signal(syscall.SIGTERM)
		node.Wait()
	}
	h.running = nil
}

// close ends what was started and removes what was made.
func (h *house) close() {
	for _, p := range h.apps {
		p.end()
	}
	h.stop()
	if err := h.drop(); err != nil {
		fmt.Fprintln(os.Stderr, "kickout:", err)
	}
	os.RemoveAll(h.folder)
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
func (h *house) signIn(ctx context.Context, n int) ([]signedIn, error) {
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

func (h *house) adminToken(ctx context.Context) (string, error) {
	said, err := h.post(ctx, "/token", h.admin, url.Values{"grant_type": {"client_credentials"}, "scope": {"ostiary:sessions"}})
	return said["access_token"], err
}

// post calls an endpoint as a client and returns the texts of its answer.
func (h *house) post(ctx context.Context, path string, c secret, form url.Values) (map[string]string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.value))
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
func (h *house) call(ctx context.Context, method, path, token string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, h.issuer+path, nil)
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

// processorTime is what the nodes have used up, in microseconds, by the hundredth of
// a second (proc_pid_stat(5): utime and stime).
func (h *house) processorTime() (float64, error) {
	total := 0.0
	for _, node := range h.running {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", node.Process.Pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		field := strings.Fields(rest)
		if len(field) < 13 {
			return 0, errors.New("/proc tells nothing")
		}
		for _, ticks := range field[11:13] {
			n, err := strconv.ParseFloat(ticks, 64)
			if err != nil {
				return 0, err
			}
			total += n * 1e4
		}
	}
	return total, nil
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
func (h *house) apis(ctx context.Context, n int) ([]*process, error) {
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
		a, err := p.ask(order{Issuer: h.issuer, Audience: audience, ID: h.feed.id, Secret: h.feed.value, Node: h.nodes[p.number%len(h.nodes)]})
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
