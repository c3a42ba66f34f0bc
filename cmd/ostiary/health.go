package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

// healthTime is how long a server may take to say how it is.
const healthTime = 5 * time.Second

func (sh shell) health() *cli.Command {
	return &cli.Command{
		Name: "health", Usage: "ask the server on this machine whether it is ready",
		Description: "For whatever watches it, such as a container: the exit code is 0 when it is ready, and 1 otherwise. It is asked where its settings say that it listens.",
		Flags:       []cli.Flag{ofServer.configFlag(), &cli.BoolFlag{Name: "alive", Usage: "ask only whether it is alive: one whose database is away is"}},
		Action: func(ctx context.Context, c *cli.Command) error {
			s, err := sh.read(c)
			if err != nil {
				return err
			}
			path := "/readyz"
			if c.Bool("alive") {
				path = "/healthz"
			}
			said, err := askHealth(ctx, s, path)
			if err != nil {
				return err
			}
			return sh.say(c, map[string]string{"health": said}, "%s", said)
		},
	}
}

// askHealth returns what the server says, if it is well.
func askHealth(ctx context.Context, s settings, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	at := url.URL{Scheme: "http", Host: reachable(s.Listen), Path: path}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	switch {
	case s.HTTPListen != "":
		at.Host = reachable(s.HTTPListen)
	case s.TLS.ACME || s.TLS.Certificate != "":
		at.Scheme = "https"
		// Nothing is sent, and the answer is no secret: whether the certificate is good
		// is another question, which a certificate of a minute ago must not decide.
		client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: hostname(s.Issuer)}}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("the server does not answer at %s: %w", at.Host, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1024))
	if err != nil {
		return "", fmt.Errorf("the server does not answer at %s: %w", at.Host, err)
	}
	said := strings.TrimSpace(string(text))
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the server at %s says %d: %s", at.Host, res.StatusCode, said)
	}
	return said, nil
}

// reachable is how this machine reaches an address that a server listens on.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func hostname(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
