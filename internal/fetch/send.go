package fetch

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
)

// Message is a request that Send makes.
type Message struct {
	Method        string // empty: POST
	URL           string
	Type          string      // media type of the body
	Accept        string      // media type of the answer
	Authorization string      // the header; empty: none
	Header        http.Header // further ones
	Body          string
	Most          int64 // the longest answer, in bytes; 0: 16 KiB
}

// Answer is what came back.
type Answer struct {
	Status int
	Body   []byte
	Cut    bool // there was more of it
}

// Send sends a message with a client that New made and returns the answer,
// whatever its status. It follows no redirect: what is said is for the address
// that was registered, and so is what it is said with.
func Send(ctx context.Context, client *http.Client, m Message) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, cmp.Or(m.Method, http.MethodPost), m.URL, strings.NewReader(m.Body))
	if err != nil {
		return Answer{}, errors.New("it is not a URL")
	}
	for name, values := range m.Header {
		req.Header[name] = values
	}
	if m.Type != "" {
		req.Header.Set("Content-Type", m.Type)
	}
	req.Header.Set("Accept", m.Accept)
	if m.Authorization != "" {
		req.Header.Set("Authorization", m.Authorization)
	}
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := once.Do(req)
	if err != nil {
		return Answer{}, &unreachable{err}
	}
	defer resp.Body.Close()
	most := m.Most
	if most == 0 {
		most = maxAnswer
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return Answer{}, &unreachable{err}
	}
	a := Answer{Status: resp.StatusCode, Body: body, Cut: int64(len(body)) > most}
	a.Body = a.Body[:min(int64(len(body)), most)]
	return a, nil
}
