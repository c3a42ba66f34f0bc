package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// worker is a user of the server, with a connection and cookies of its own. The name
// of the issuer leads it to one of the nodes.
type worker struct {
	*server
	login string
	web   *http.Client
}

func (s *server) worker(number int) *worker {
	node := s.Nodes[number%len(s.Nodes)]
	w := &worker{server: s, login: login(number)}
	w.web = &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 1,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, node)
			},
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if !strings.HasPrefix(next.URL.String(), s.Issuer+"/") || len(via) > 10 {
				return http.ErrUseLastResponse // to the application
			}
			return nil
		},
	}
	w.forget()
	return w
}

func (w *worker) close() { w.web.CloseIdleConnections() }

// forget is a browser in which nobody has been yet.
func (w *worker) forget() {
	w.web.Jar, _ = cookiejar.New(nil) // never fails without options
}

// answer is what the server said.
type answer struct {
	status int
	body   []byte
	at     *url.URL
	left   *url.URL // where a redirect leads out of the server
}

func (w *worker) do(r *http.Request) (answer, error) {
	res, err := w.web.Do(r)
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
	return a, nil
}

func (w *worker) get(ctx context.Context, address string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, err
	}
	return w.do(r)
}

// send sends a form as a browser does.
func (w *worker) send(ctx context.Context, address string, form url.Values) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", w.Issuer)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.do(r)
}

// ask calls an endpoint as a client does; the answer is JSON, or nothing.
func (w *worker) ask(ctx context.Context, path string, c client, form url.Values) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	a, err := w.do(r)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d %.300s", path, a.status, a.body)
	}
	if len(a.body) == 0 {
		return nil, nil
	}
	var said map[string]any
	return said, json.Unmarshal(a.body, &said)
}

func text(said map[string]any, name string) (string, error) {
	value, _ := said[name].(string)
	if value == "" {
		return "", fmt.Errorf("the answer has no %s", name)
	}
	return value, nil
}

// passwordForm finds the form of a page that asks for a password, and says which of
// its fields take the login and the password.
func passwordForm(page []byte) (action string, form url.Values, login, password string, err error) {
	doc, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		return "", nil, "", "", err
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		name, value, kind := attribute(n, "name"), attribute(n, "value"), attribute(n, "type")
		switch {
		case n.Data == "form":
			if password != "" {
				return action, form, login, password, nil
			}
			action, form, login = attribute(n, "action"), url.Values{}, ""
		case n.Data != "input" || name == "" || form == nil || kind == "checkbox":
			continue
		case kind == "password":
			password = name
		case kind == "hidden":
			form.Set(name, value)
		default:
			login = name
		}
	}
	if password == "" || login == "" {
		return "", nil, "", "", errors.New("the page does not ask for a password")
	}
	return action, form, login, password, nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
