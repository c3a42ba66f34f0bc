package doctor_test

import (
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/doctor"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
	_ "modernc.org/sqlite"
)

// installation is a server behind a proxy with TLS, as it is in production, and what
// of it can be made wrong.
type installation struct {
	*servertest.House
	proxy   *httptest.Server
	backend *url.URL
	// What the proxy does to requests and answers, after what a good one does.
	request func(*httputil.ProxyRequest)
	answer  func(*http.Response) error
	instead http.HandlerFunc // answers in place of the server
	config  doctor.Config
}

// quiet: what is broken on purpose is not worth a line.
var quiet = log.New(io.Discard, "", 0)

// install builds one in which nothing is wrong.
func install(t *testing.T, change ...servertest.Option) *installation {
	t.Helper()
	in := &installation{}
	in.proxy = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if in.instead != nil {
			in.instead(w, r)
			return
		}
		(&httputil.ReverseProxy{
			ErrorLog: quiet,
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(in.backend)
				p.Out.Host = p.In.Host
				p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
				p.SetXForwarded()
				if in.request != nil {
					in.request(p)
				}
			},
			ModifyResponse: func(r *http.Response) error {
				if in.answer != nil {
					return in.answer(r)
				}
				return nil
			},
		}).ServeHTTP(w, r)
	}))
	in.proxy.Config.ErrorLog = quiet
	in.proxy.StartTLS()
	t.Cleanup(in.proxy.Close)
	roots := x509.NewCertPool()
	roots.AddCert(in.proxy.Certificate())
	in.House = servertest.Start(t, append([]servertest.Option{func(c *server.Config) {
		c.Issuer, c.OutgoingRoots = in.proxy.URL, roots
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		if err := os.Chmod(c.Data, 0o700); err != nil {
			t.Fatal(err)
		}
	}}, change...)...)
	in.backend, _ = url.Parse("http://" + in.Addr().String())
	c := in.Config
	c.Listener, c.Listen, c.Now, c.Password = nil, in.Addr().String(), time.Now, account.Params{}
	if c.Database == "" {
		c.Database = "sqlite:" + filepath.Join(c.Data, "ostiary.db")
	}
	in.config = doctor.Config{Server: c}
	return in
}

// finds fails unless one of the findings is of that state and has that text, and what
// is wrong has a cure.
func finds(t *testing.T, all []doctor.Finding, about string, state doctor.State, text string) {
	t.Helper()
	for _, f := range all {
		if f.About == about && f.State == state && strings.Contains(f.Text, text) {
			return
		}
	}
	t.Errorf("no finding %s %s %q among\n%s", about, state, text, told(all))
}

func told(all []doctor.Finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "%-10s %-8s %s → %s\n", f.About, f.State, f.Text, f.Next)
	}
	return b.String()
}

func (in *installation) examine(t *testing.T) []doctor.Finding {
	t.Helper()
	return doctor.Examine(t.Context(), in.config)
}

// raw changes the database behind the server's back.
func (in *installation) raw(t *testing.T, statement string) {
	t.Helper()
	driver, name := "pgx", in.config.Server.Database
	if path, ok := strings.CutPrefix(name, "sqlite:"); ok {
		driver, name = "sqlite", path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// Where nothing is wrong, nothing is found, on both databases.
func TestWell(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			in := install(t, func(c *server.Config) {
				if kind == "postgres" {
					c.Database = storetest.PostgresURL(t)
				}
				c.Mail.Server, c.Mail.From, c.Mail.Insecure = "smtp://"+mailServer(t), "a@example.com", true
			})
			in.User("alice", "correct horse battery")
			in.User("bob", "correct horse battery")
			in.raw(t, `UPDATE users SET admin = 1`)
			all := in.examine(t)
			for _, f := range all {
				if f.State != doctor.Good && !strings.Contains(f.Text, "Letters, with links") {
					t.Errorf("%+v", f)
				}
			}
			for _, about := range []string{"files", "database", "server", "issuer", "tls", "proxy", "headers", "cookies", "clocks", "feed", "keys", "mail", "waiting", "upstreams"} {
				finds(t, all, about, doctor.Good, "")
			}
			finds(t, all, "proxy", doctor.Good, "says who calls, and is believed: this command came from 127.0.0.1")
			// And with the server stopped, it says what it could not look at.
			in.Stop()
			in.instead = func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
			all = in.examine(t)
			for _, about := range []string{"server", "issuer", "proxy", "clocks", "feed"} {
				finds(t, all, about, doctor.Unknown, "")
			}
			for _, f := range all {
				if f.State == doctor.Wrong {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// Without a proxy this command may speak for others where its own address is that of
// one, and that is no fault.
func TestWithoutProxy(t *testing.T) {
	h := servertest.Start(t, func(c *server.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	c := h.Config
	c.Listener, c.Listen, c.Now, c.Database = nil, h.Addr().String(), time.Now, "sqlite:"+filepath.Join(c.Data, "ostiary.db")
	finds(t, doctor.Examine(t.Context(), doctor.Config{Server: c}), "proxy", doctor.Good, "There is no proxy between here and the server")
}

// Each row makes something wrong for real, between people and the server.
func TestFaultsOnTheWay(t *testing.T) {
	minute := func(h http.Header) { h.Set("Date", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat)) }
	for _, row := range []struct {
		name    string
		fault   func(*installation)
		about   string
		state   doctor.State
		finding string
	}{
		{"the proxy says nothing of who calls", func(in *installation) {
			in.request = func(p *httputil.ProxyRequest) {
				delete(p.Out.Header, "X-Forwarded-For")
				p.Out.Header["X-Forwarded-For"] = nil
			}
		}, "proxy", doctor.Wrong, "does not say who calls"},
		{"the proxy passes on what a caller says of himself", func(in *installation) {
			in.request = func(p *httputil.ProxyRequest) {
				p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
			}
		}, "proxy", doctor.Wrong, "Whoever calls can pass for anybody"},
		{"the proxy passes on another name", func(in *installation) {
			in.request = func(p *httputil.ProxyRequest) { p.Out.Host = "backend.internal" }
		}, "proxy", doctor.Warning, "asked for as backend.internal"},
		{"the proxy takes headers away", func(in *installation) {
			in.answer = func(r *http.Response) error {
				r.Header.Del("Content-Security-Policy")
				r.Header.Del("Strict-Transport-Security")
				return nil
			}
		}, "headers", doctor.Wrong, "get lost, which protect the pages: Content-Security-Policy, Strict-Transport-Security."},
		{"the proxy doubles a header", func(in *installation) {
			in.answer = func(r *http.Response) error { r.Header.Add("X-Frame-Options", "SAMEORIGIN"); return nil }
		}, "headers", doctor.Warning, "X-Frame-Options"},
		{"the proxy gives cookies a domain", func(in *installation) {
			in.answer = func(r *http.Response) error {
				for i, c := range r.Header["Set-Cookie"] {
					r.Header["Set-Cookie"][i] = c + "; Domain=example.com"
				}
				return nil
			}
		}, "cookies", doctor.Wrong, `Domain "example.com"`},
		{"the proxy takes Secure from cookies", func(in *installation) {
			in.answer = func(r *http.Response) error {
				for i, c := range r.Header["Set-Cookie"] {
					r.Header["Set-Cookie"][i] = strings.ReplaceAll(c, "; Secure", "")
				}
				return nil
			}
		}, "cookies", doctor.Wrong, "Secure false"},
		{"the proxy takes cookies away", func(in *installation) {
			in.answer = func(r *http.Response) error { r.Header.Del("Set-Cookie"); return nil }
		}, "cookies", doctor.Wrong, "does not arrive"},
		{"the proxy takes no long addresses", func(in *installation) {
			in.request = func(p *httputil.ProxyRequest) {}
			in.answer = func(r *http.Response) error {
				if len(r.Request.URL.RawQuery) > 8<<10 {
					r.StatusCode = http.StatusRequestURITooLong
				}
				return nil
			}
		}, "proxy", doctor.Warning, "the answer is 414"},
		{"the proxy is not trusted", func(in *installation) { in.Restart(func(c *server.Config) { c.TrustedProxies = nil }) }, "proxy", doctor.Wrong, "the server does not believe it"},
		{"the proxy redirects", func(in *installation) {
			in.instead = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://www.example.com/", http.StatusFound)
			}
		}, "issuer", doctor.Wrong, "is redirected to https://www.example.com/"},
		{"the proxy has no server", func(in *installation) {
			in.instead = func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		}, "issuer", doctor.Wrong, "answers with 502"},
		{"the proxy shows a page of its own", func(in *installation) {
			in.instead = func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>Welcome to nginx!</html>")) }
		}, "issuer", doctor.Wrong, "not with JSON"},
		{"the proxy does not pass on the feed", func(in *installation) {
			in.answer = func(r *http.Response) error {
				if r.Request.URL.Path == "/revocations" {
					r.StatusCode = http.StatusNotFound
				}
				return nil
			}
		}, "feed", doctor.Wrong, "answers a stranger with 404"},
		{"the name leads to another server", func(in *installation) {
			in.instead = func(w http.ResponseWriter, r *http.Request) {
				w.Write([]byte(`{"issuer": "https://other.example.com"}`))
			}
		}, "issuer", doctor.Wrong, "calls itself https://other.example.com: it is another server"},
		{"an old answer with other keys", func(in *installation) {
			in.instead = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/jwks" {
					w.Write([]byte(`{"keys": [{"kid": "old"}]}`))
					return
				}
				fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": "%s/jwks"}`, in.proxy.URL, in.proxy.URL)
			}
		}, "issuer", doctor.Wrong, "publishes none of the keys in this database"},
		{"the clock of the issuer is a minute behind", func(in *installation) {
			in.answer = func(r *http.Response) error { minute(r.Header); return nil }
		}, "clocks", doctor.Wrong, "The clock of the issuer is "},
		{"a proxy answers in place of the server", func(in *installation) {
			in.request = func(p *httputil.ProxyRequest) { p.Out.Header.Del(server.ProbeHeader) }
		}, "proxy", doctor.Unknown, "does not say how it sees a request"},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := install(t)
			row.fault(in)
			finds(t, in.examine(t), row.about, row.state, row.finding)
		})
	}
}

// Each row makes something wrong in the house itself.
func TestFaultsAtHome(t *testing.T) {
	for _, row := range []struct {
		name    string
		fault   func(*testing.T, *installation)
		about   string
		state   doctor.State
		finding string
	}{
		{"others read the database", func(t *testing.T, in *installation) {
			os.Chmod(filepath.Join(in.config.Server.Data, "ostiary.db"), 0o644)
		}, "files", doctor.Wrong, "Others on this machine can read"},
		{"others read the master key", func(t *testing.T, in *installation) {
			os.Chmod(filepath.Join(in.config.Server.Data, "master.key"), 0o640)
		}, "files", doctor.Wrong, "The master key can be read by others"},
		{"others read the password of the database", func(t *testing.T, in *installation) {
			in.config.SettingsFile = filepath.Join(t.TempDir(), "ostiary.yaml")
			os.WriteFile(in.config.SettingsFile, []byte("database: postgres://ostiary:secret@db/ostiary\n"), 0o644)
		}, "files", doctor.Wrong, "ostiary.yaml (mode 0644)"},
		{"another issuer in the settings", func(t *testing.T, in *installation) { in.config.Server.Issuer = "https://new.example.com" },
			"database", doctor.Wrong, "the settings say https://new.example.com"},
		{"a newer schema", func(t *testing.T, in *installation) {
			in.raw(t, `INSERT INTO ostiary_schema (version_id, is_applied) VALUES (99999, 1)`)
		},
			"database", doctor.Wrong, "The schema of the database is 99999"},
		{"a newer schema that we may use", func(t *testing.T, in *installation) {
			in.raw(t, `INSERT INTO ostiary_schema (version_id, is_applied) VALUES (99999, 1)`)
			in.raw(t, `UPDATE settings SET value = '99999 1' WHERE name = 'oldest_schema'`)
		}, "database", doctor.Warning, "works beside it, for now"},
		{"an older schema", func(t *testing.T, in *installation) { in.raw(t, `DELETE FROM ostiary_schema WHERE version_id > 20`) },
			"database", doctor.Warning, "The schema of the database is 20"},
		{"moved", func(t *testing.T, in *installation) {
			in.raw(t, `INSERT INTO settings VALUES ('moved', 'PostgreSQL at db')`)
		},
			"database", doctor.Wrong, "has been moved to PostgreSQL at db"},
		{"restored by half", func(t *testing.T, in *installation) { in.raw(t, `INSERT INTO settings VALUES ('restoring', 'yes')`) },
			"database", doctor.Wrong, "what must follow was not done"},
		{"another master key", func(t *testing.T, in *installation) {
			in.config.Server.MasterKey = model.Secret(base64.RawURLEncoding.EncodeToString(make([]byte, 32)))
		}, "database", doctor.Wrong, "the master key does not fit the database"},
		{"one administrator", func(t *testing.T, in *installation) {}, "database", doctor.Warning, "There are 0 administrators"},
		{"a damaged file", func(t *testing.T, in *installation) {
			in.Stop()
			path := filepath.Join(in.config.Server.Data, "ostiary.db")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 3 * 4096; i < len(data); i += 4096 {
				copy(data[i:], "this is no page of a database")
			}
			os.WriteFile(path, data, 0o600)
		}, "database", doctor.Wrong, "damaged"},
		{"keys that do not rotate", func(t *testing.T, in *installation) {
			in.Stop()
			in.config.Server.Now = func() time.Time { return time.Now().Add(40 * 24 * time.Hour) }
		}, "keys", doctor.Wrong, "and should have been replaced after 30 days"},
		{"notices that nobody takes", func(t *testing.T, in *installation) {
			in.raw(t, fmt.Sprintf(`INSERT INTO outbox (kind, destination, user_id, session_id, cause, at, attempts, next_at, expires_at)
				VALUES ('logout', 'nobody', '', '', 'admin', %d, 3, %d, %d)`, time.Now().Unix()-3600, time.Now().Unix()+3000, time.Now().Unix()+9999))
		}, "waiting", doctor.Warning, "1 notices that a session is over wait"},
		{"a log that is not sealed", func(t *testing.T, in *installation) {
			in.raw(t, `UPDATE settings SET value = 'broken' WHERE name = 'audit.head'`)
			in.raw(t, fmt.Sprintf(`INSERT INTO events (at, actor_kind, actor_id, actor_address, action, user_id, client_id, detail)
				VALUES (%d, 'system', '', '', 'x.y', '', '', '')`, time.Now().Unix()-600))
		}, "waiting", doctor.Wrong, "entries of the audit log are not sealed, the oldest for 10 minutes"},
		{"no mail server", func(t *testing.T, in *installation) {}, "mail", doctor.Warning, "There is no mail server"},
		{"a mail server that is away", func(t *testing.T, in *installation) {
			in.config.Server.Mail.Server, in.config.Server.Mail.From = "smtp://127.0.0.1:1", "a@example.com"
		}, "mail", doctor.Wrong, "cannot be used"},
		{"a mail server without TLS", func(t *testing.T, in *installation) {
			in.config.Server.Mail.Server, in.config.Server.Mail.From = "smtp://"+mailServer(t), "a@example.com"
		}, "mail", doctor.Wrong, "STARTTLS"},
		{"everybody is a proxy", func(t *testing.T, in *installation) {
			in.config.Server.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
		}, "settings", doctor.Warning, "so large that strangers can be in it"},
		{"second factors off", func(t *testing.T, in *installation) { in.config.Server.SecondFactor = model.SecondOff }, "settings", doctor.Warning, "Second factors are off"},
		{"another program listens", func(t *testing.T, in *installation) {
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }))
			t.Cleanup(other.Close)
			in.config.Server.Listen = strings.TrimPrefix(other.URL, "http://")
		}, "server", doctor.Warning, "is not this server"},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := install(t)
			row.fault(t, in)
			finds(t, in.examine(t), row.about, row.state, row.finding)
		})
	}
}

// PostgreSQL has a clock of its own, and only so many connections.
func TestClockOfPostgres(t *testing.T) {
	in := install(t, func(c *server.Config) { c.Database = storetest.PostgresURL(t) })
	in.config.Server.Now = func() time.Time { return time.Now().Add(time.Minute) }
	all := in.examine(t)
	finds(t, all, "clocks", doctor.Wrong, "The clock of PostgreSQL is ")
	finds(t, all, "clocks", doctor.Wrong, "The clock of the issuer is ")
	finds(t, all, "clocks", doctor.Wrong, "behind ours")
}

// mailServer is one without TLS.
func mailServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return nil, nil }))
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// A master key that the operator has put elsewhere is looked at there.
func TestGivenMaster(t *testing.T) {
	in := install(t)
	in.config.Server.MasterKeyFile = filepath.Join(t.TempDir(), "key")
	if err := os.Rename(filepath.Join(in.config.Server.Data, "master.key"), in.config.Server.MasterKeyFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(in.config.Server.MasterKeyFile, 0o640); err != nil {
		t.Fatal(err)
	}
	finds(t, in.examine(t), "files", doctor.Good, "The master key "+in.config.Server.MasterKeyFile)
}
