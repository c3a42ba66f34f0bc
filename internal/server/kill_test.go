package server_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/limit"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// How often, and under how many renewals at once, the process is killed.
const (
	kills    = 20
	renewals = 1000
)

// childVariable makes this test binary run a server instead of the tests, as a
// process that can be killed.
const childVariable = "OSTIARY_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		runChild(os.Getenv(childVariable))
		return
	}
	os.Exit(m.Run())
}

// childConfig is the configuration of the killed server. The race window is
// long, because a slow machine takes its time between two rounds.
func childConfig(data string) server.Config {
	return server.Config{
		Listen: "127.0.0.1:0", Data: data, RefreshRace: 5 * time.Minute,
		Password: account.Params{Memory: 8 << 10, Time: 1, Threads: 1},
		Logger:   slog.New(slog.DiscardHandler),
		Limits:   limit.Rates{Account: limit.Off}, // it is one account that does all of it

		Observation: server.Observation{AuditFile: filepath.Join(data, "audit.jsonl")},
	}
}

func runChild(data string) {
	s, err := server.New(context.Background(), childConfig(data))
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString(s.Addr().String() + "\n")
	if err := s.Run(context.Background()); err != nil {
		os.Exit(1)
	}
}

// family is a client's view of one family of refresh tokens: the youngest token
// that was acknowledged to it.
type family struct {
	grant model.GrantID
	token string
}

// TestKill ends the server with SIGKILL in the middle of 1,000 renewals, twenty
// times. Nothing that was acknowledged may be lost: each family goes on from
// the token that its client holds, whether or not the lost answer had been
// committed; and no grant is left half done.
func TestKill(t *testing.T) {
	data := t.TempDir()
	client, secret, families := prepareFamilies(t, data)
	for round := range kills {
		child, address := startChild(t, data)
		killed := make(chan struct{})
		time.AfterFunc(time.Duration(5+rand.IntN(200))*time.Millisecond, func() {
			child.Process.Kill() // SIGKILL: nothing is flushed, nothing is said
			close(killed)
		})
		renewAll(address, client, secret, families)
		<-killed
		child.Wait() // says that it was killed

		child, address = startChild(t, data)
		for _, err := range renewAll(address, client, secret, families) {
			if err != nil {
				t.Fatalf("round %d: a family did not survive: %v", round, err)
			}
		}
		child.Process.Kill()
		child.Wait()
	}
	checkFamilies(t, data, families)
	checkStream(t, data)
}

func prepareFamilies(t *testing.T, data string) (model.Client, model.Secret, []*family) {
	t.Helper()
	ctx := t.Context()
	p, err := server.Open(ctx, childConfig(data))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Accounts.Create(ctx, servertest.Operator, account.NewUser{Login: "olena", Password: "correct horse battery"}); err != nil {
		t.Fatal(err)
	}
	in, err := sessionOf(ctx, p.Accounts, "olena", "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	s := web
	s.FirstParty = true
	client, secret, err := p.Registrar.CreateClient(ctx, servertest.Operator, s, "shop")
	if err != nil {
		t.Fatal(err)
	}
	families := make([]*family, renewals)
	errs := make(chan error, renewals)
	for i := range families {
		families[i] = &family{}
		go func() { errs <- families[i].begin(ctx, p.Authority, client, secret, in.Session) }()
	}
	for range families {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	return client, secret, families
}

func (f *family) begin(ctx context.Context, a *oauth.Authority, c model.Client, secret model.Secret, s model.Session) error {
	z, err := a.Begin(ctx, url.Values{"client_id": {string(c.ID)}, "redirect_uri": {c.RedirectURIs[0]}, "response_type": {"code"}, "scope": {"orders:write"}})
	if err != nil {
		return err
	}
	answer, err := a.Issue(ctx, z, s, "")
	if err != nil {
		return err
	}
	at, err := url.Parse(answer.Location())
	if err != nil {
		return err
	}
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(string(c.ID), secret.Reveal())
	tokens, err := a.Token(ctx, oauth.Call{Authorization: r.Header.Get("Authorization"), Form: url.Values{
		"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": {c.RedirectURIs[0]},
	}})
	if err != nil {
		return err
	}
	f.token = tokens.RefreshToken
	grant, _, _ := strings.Cut(strings.TrimPrefix(f.token, "ost_rt_"), ".")
	f.grant = model.GrantID(grant)
	return nil
}

func startChild(t *testing.T, data string) (*exec.Cmd, string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+data)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill() })
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	return child, strings.TrimSpace(string(line[:n]))
}

// renewAll renews all families at once, each from the token that its client
// holds, which moves on where the answer arrives.
func renewAll(address string, c model.Client, secret model.Secret, families []*family) []error {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 200, MaxConnsPerHost: 200,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	errs := make([]error, len(families))
	var wg sync.WaitGroup
	for i, f := range families {
		wg.Go(func() { errs[i] = f.renew(client, address, c, secret) })
	}
	wg.Wait()
	return errs
}

func (f *family) renew(client *http.Client, address string, c model.Client, secret model.Secret) error {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {f.token}}
	req, err := http.NewRequest(http.MethodPost, "http://"+address+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(string(c.ID), secret.Reveal())
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err // cut off: not acknowledged
	}
	var tokens oauth.Tokens
	if err := json.Unmarshal(body, &tokens); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(string(body))
	}
	f.token = tokens.RefreshToken
	return nil
}

// checkFamilies looks into the database: it is sound, each grant lives, and
// each rise of a generation has its audit event from the same transaction.
func checkFamilies(t *testing.T, data string, families []*family) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, "ostiary.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var sound string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Fatalf("integrity_check: %s %v", sound, err)
	}
	for _, f := range families {
		var generation, ended, events int64
		err := db.QueryRow(`SELECT generation, ended_at, (SELECT count(*) FROM events WHERE action = 'grant.renew' AND detail = 'grant=' || $1)
			FROM grants WHERE id = $1`, f.grant).Scan(&generation, &ended, &events)
		if err != nil {
			t.Fatal(err)
		}
		if ended != 0 || generation < kills+1 || events < generation-1 {
			t.Fatalf("grant %s: generation %d, ended %d, %d events", f.grant, generation, ended, events)
		}
	}
}
