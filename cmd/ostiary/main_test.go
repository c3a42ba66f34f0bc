package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v3"
	_ "modernc.org/sqlite"

	"github.com/ostiary/ostiary/internal/browsertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

func TestMain(m *testing.M) {
	testscript.Main(all{m}, map[string]func(){"ostiary": main})
}

// all runs the tests, and then ends the browser that they shared.
type all struct{ *testing.M }

func (a all) Run() int {
	code := a.M.Run()
	if chromium.stop != nil {
		chromium.stop()
	}
	return code
}

// TestScripts runs the command as people do: each file below testdata/script is
// a session in a shell, in a folder of its own.
func TestScripts(t *testing.T) {
	postgres, empty, empty2, empty3 := storetest.EmptyPostgresURL(t), storetest.EmptyPostgresURL(t), storetest.EmptyPostgresURL(t), storetest.EmptyPostgresURL(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"PORT", "PORT2", "PORT3"} {
				env.Setenv(name, freePort(t))
			}
			env.Setenv("POSTGRES", postgres)
			env.Setenv("EMPTY", empty)
			env.Setenv("EMPTY2", empty2)
			env.Setenv("EMPTY3", empty3)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("TZ", "UTC")
			// Cheap hashes: what they cost is tested where they are made.
			env.Setenv("OSTIARY_PASSWORD_MEMORY", "8192")
			env.Setenv("OSTIARY_PASSWORD_PASSES", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":  ready,
			"status": status,
			"sql":    execute,
			"occupy": occupy,

			"waitfor": waitFor,
			"loginat": loginAt,

			"mailserver": mailServer,
		},
	})
}

// freePort returns a port that nothing listens on.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// ready URL waits until a server answers with 200.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		answer, err := http.Get(args[0])
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("%s does not answer", args[0])
}

// status CODE URL checks how a page answers.
func status(ts *testscript.TestScript, neg bool, args []string) {
	answer, err := http.Get(args[1])
	ts.Check(err)
	answer.Body.Close()
	if got := answer.Status[:3]; got != args[0] {
		ts.Fatalf("%s answers %s, not %s", args[1], got, args[0])
	}
}

// waitfor FILE waits until there is a file.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(browsertest.Patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not come", args[0])
}

// loginat FOLDER LOGIN PASSWORD waits until a demo that keeps itself in a folder signs
// somebody in, at the port that its API had before.
func loginAt(ts *testscript.TestScript, neg bool, args []string) {
	var kept struct{ Ports map[string]int }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(args[0], "demo.json"))), &kept))
	body, err := json.Marshal(map[string]string{"login": args[1], "password": args[2]})
	ts.Check(err)
	address := fmt.Sprintf("http://localhost:%d/login", kept.Ports["notes"])
	for deadline := time.Now().Add(browsertest.Patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		answer, err := http.Post(address, "application/json", bytes.NewReader(body))
		if err != nil {
			continue
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
	}
	ts.Fatalf("%s signs nobody in", address)
}

// sql FILE STATEMENT changes a SQLite database behind everybody's back.
func execute(ts *testscript.TestScript, neg bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(args[1])
	ts.Check(err)
}

// occupy listens on $PORT until the script ends.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:"+ts.Getenv("PORT"))
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

// mailserver runs a mail server at $MAIL until the script ends. It has no TLS, and
// refuses whoever begins with "refused".
func mailServer(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return taker{}, nil }))
	s.Domain = "localhost"
	go s.Serve(l)
	ts.Defer(func() { s.Close() })
	ts.Setenv("MAIL", l.Addr().String())
}

type taker struct{}

func (taker) Mail(string, *smtp.MailOptions) error { return nil }
func (taker) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "refused") {
		return &smtp.SMTPError{Code: 550, Message: "no such mailbox"}
	}
	return nil
}
func (taker) Data(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
func (taker) Reset()                 {}
func (taker) Logout() error          { return nil }

// What is made for the arguments of a command is that command, and all are made where
// that is not plain.
func TestCommandAskedFor(t *testing.T) {
	var all []string
	for _, c := range commands {
		all = append(all, c.name)
	}
	for _, test := range []struct{ args, want []string }{
		{[]string{"ostiary"}, all},
		{[]string{"ostiary", "help"}, all},
		{[]string{"ostiary", "--json", "user"}, all},
		{[]string{"ostiary", "users", "user"}, all},
		{[]string{"ostiary", "user", "list"}, []string{"user"}},
		{[]string{"ostiary", "serve"}, []string{"serve"}},
	} {
		var made []string
		for _, c := range tree(shell{}, test.args...).Commands {
			made = append(made, c.Name)
		}
		if !slices.Equal(made, test.want) {
			t.Errorf("%q makes %q, want %q", test.args, made, test.want)
		}
	}
}

// The flags of a client or a user must not be taken for a setting of the
// server, which reads its flags by name.
func TestNamesOfFlags(t *testing.T) {
	everyCommand(tree(shell{}), func(c *cli.Command) {
		for _, f := range c.Flags {
			name := f.Names()[0]
			if slices.Contains(ofServer.names(), name) && len(f.(interface{ GetEnvVars() []string }).GetEnvVars()) == 0 {
				t.Errorf("%s --%s has the name of a setting", c.FullName(), name)
			}
		}
	})
}
