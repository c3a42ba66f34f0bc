package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/doctor"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store"
)

// issued makes a certificate that is as it is said to be, and its own authority.
func issued(t *testing.T, c *x509.Certificate) (der []byte, key *ecdsa.PrivateKey, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject, c.IsCA, c.BasicConstraintsValid = big.NewInt(1), pkix.Name{CommonName: "test"}, true, true
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Now().Add(-365 * 24 * time.Hour)
	}
	der, err = x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, _ := x509.ParseCertificate(der)
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return der, key, roots
}

// certified serves TLS with a certificate that is as it is said to be.
func certified(t *testing.T, c *x509.Certificate, versions ...uint16) (address string, roots *x509.CertPool) {
	t.Helper()
	der, key, roots := issued(t, c)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	if versions != nil {
		config.MinVersion = versions[0]
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: quiet}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "https://localhost:" + port, roots
}

func TestCertificates(t *testing.T) {
	day := 24 * time.Hour
	here := []string{"localhost"}
	for _, row := range []struct {
		name     string
		c        x509.Certificate
		versions []uint16
		unknown  bool // its authority
		state    doctor.State
		finding  string
	}{
		{"good", x509.Certificate{NotAfter: time.Now().Add(60 * day), DNSNames: here}, nil, false, doctor.Good, "good for 59 days more"},
		{"expired", x509.Certificate{NotAfter: time.Now().Add(-day), DNSNames: here}, nil, false, doctor.Wrong, "has expired on"},
		{"soon", x509.Certificate{NotAfter: time.Now().Add(10 * day), DNSNames: here}, nil, false, doctor.Warning, "expires in 9 days"},
		{"very soon", x509.Certificate{NotAfter: time.Now().Add(day), DNSNames: here}, nil, false, doctor.Wrong, "expires in 23 hours"},
		{"not yet", x509.Certificate{NotBefore: time.Now().Add(day), NotAfter: time.Now().Add(60 * day), DNSNames: here}, nil, false, doctor.Wrong, "not good before"},
		{"another name", x509.Certificate{NotAfter: time.Now().Add(60 * day), DNSNames: []string{"www.example.com"}}, nil, false, doctor.Wrong, "is for www.example.com"},
		{"nobody knows who issued it", x509.Certificate{NotAfter: time.Now().Add(60 * day), DNSNames: here}, nil, true, doctor.Wrong, "is alone"},
		{"an old protocol", x509.Certificate{NotAfter: time.Now().Add(60 * day), DNSNames: here}, []uint16{tls.VersionTLS10}, false, doctor.Warning, "still speaks TLS 1.1"},
		{"no old protocol", x509.Certificate{NotAfter: time.Now().Add(60 * day), DNSNames: here}, nil, false, doctor.Good, "speaks TLS 1.3, and nothing older than TLS 1.2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			address, roots := certified(t, &row.c, row.versions...)
			if row.unknown {
				roots = x509.NewCertPool()
			}
			h := servertest.Start(t, func(c *server.Config) { c.Issuer, c.OutgoingRoots = address, roots })
			c := h.Config
			c.Listener, c.Listen, c.Now, c.Database = nil, h.Addr().String(), time.Now, "sqlite:"+filepath.Join(c.Data, "ostiary.db")
			finds(t, doctor.Examine(t.Context(), doctor.Config{Server: c}), "tls", row.state, row.finding)
		})
	}
}

// An identity provider that is away, whose clock is off, or whose certificate expires.
func TestUpstreams(t *testing.T) {
	var late time.Duration
	expired := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-99 * 24 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, expired, expired, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	var provider *httptest.Server
	provider = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(late).UTC().Format(http.TimeFormat))
		fmt.Fprintf(w, `{"issuer": %[1]q, "authorization_endpoint": "%[1]s/a", "token_endpoint": "%[1]s/t", "jwks_uri": "%[1]s/k",
			"certificate": "<X509Certificate>%s</X509Certificate>"}`, provider.URL, base64.StdEncoding.EncodeToString(der))
	}))
	defer provider.Close()
	in := install(t)
	in.config.Server.OutgoingRoots = in.config.Server.OutgoingRoots.Clone()
	in.config.Server.OutgoingRoots.AddCert(provider.Certificate())
	add := func(id string, connection map[string]any) {
		text, _ := json.Marshal(connection)
		settings := model.UpstreamSettings{Kind: "oidc", Name: id, Connection: text}
		err := in.Store.Update(context.Background(), func(tx *store.Tx) error {
			if err := tx.InsertUpstream(model.Upstream{ID: model.UpstreamID(id), UpstreamSettings: settings}); err != nil {
				return err
			}
			return tx.Record(model.Event{Actor: servertest.Operator, Action: "upstream.create"})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("works", map[string]any{"issuer": provider.URL, "client_id": "us", "metadata_url": provider.URL + "/m"})
	add("away", map[string]any{"issuer": "https://127.0.0.1:1", "client_id": "us"})
	late = time.Minute
	all := in.examine(t)
	finds(t, all, "upstreams", doctor.Wrong, "away cannot be used")
	finds(t, all, "upstreams", doctor.Wrong, "The clock of works is ")
	finds(t, all, "upstreams", doctor.Warning, "The certificate with which works signs has expired")
}

// A server that speaks TLS itself is looked at as one.
func TestOwnTLS(t *testing.T) {
	der, key, roots := issued(t, &x509.Certificate{NotAfter: time.Now().Add(60 * 24 * time.Hour), DNSNames: []string{"localhost"}})
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificate, private := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)
	h := servertest.Start(t, func(c *server.Config) {
		_, port, _ := net.SplitHostPort(c.Listener.Addr().String())
		c.Issuer, c.OutgoingRoots = "https://localhost:"+port, roots
		c.TLS.Certificate, c.TLS.Key = certificate, private
	})
	c := h.Config
	c.Listener, c.Listen, c.Now, c.Database = nil, h.Addr().String(), time.Now, "sqlite:"+filepath.Join(c.Data, "ostiary.db")
	all := doctor.Examine(t.Context(), doctor.Config{Server: c})
	finds(t, all, "server", doctor.Good, "is ready")
	finds(t, all, "issuer", doctor.Good, "can be reached")
	finds(t, all, "tls", doctor.Good, "good for 59 days more")
	finds(t, all, "proxy", doctor.Good, "There is no proxy between here and the server")
}
