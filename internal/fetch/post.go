package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswer is how much of the answer to a form is read before its connection is
// given up, in bytes.
const maxAnswer = 16 << 10

// Post sends a form with a client that New made and returns the status of the
// answer, of which nothing else is looked at. It follows no redirect: what is in
// the form is for the address that was registered.
func Post(ctx context.Context, client *http.Client, address string, form url.Values) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, errors.New("it is not a URL")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := once.Do(req)
	if err != nil {
		return 0, &unreachable{err}
	}
	defer resp.Body.Close()
	// Read to its end, a short answer leaves the connection for the next form.
	// One that breaks off has its status all the same.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	return resp.StatusCode, nil
}
