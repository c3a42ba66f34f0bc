package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwt"
)

// Bounds on one exchange with the authorization server.
const (
	answerTime  = 15 * time.Second
	answerBytes = 256 << 10
)

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send performs req, bounded in time and size. What keeps an answer from coming
// at all is ErrUnavailable; an answer that is too long is ErrResponse.
func (c *Client) send(req *http.Request, limit int64) (answer, error) {
	ctx, cancel := context.WithTimeout(req.Context(), answerTime)
	defer cancel()
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	res, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		return answer{}, unreachable(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return answer{}, unreachable(err)
	}
	if int64(len(body)) > limit {
		return answer{}, fmt.Errorf("%w: more than %d bytes", ErrResponse, limit)
	}
	return answer{status: res.StatusCode, header: res.Header, body: body}, nil
}

// unreachable wraps a failure of transport. The URL inside a *url.Error is left
// out: nothing of a request should find its way into a log by accident.
func unreachable(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// named returns the error that the server named, nil if it named none.
func (a answer) named() *Error {
	var named struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		AuthSession string `json:"auth_session"`
		Cause       string `json:"ostiary_cause"`
	}
	if a.isJSON() && json.Unmarshal(a.body, &named) == nil && named.Error != "" {
		return &Error{
			Code: printable(named.Error, 100), Description: printable(named.Description, 300), Status: a.status,
			Cause: printable(named.Cause, 100), AuthSession: named.AuthSession, RetryAfter: a.retryAfter(),
		}
	}
	return nil
}

// unexpected makes an error of an answer that is not a success: *Error where the
// server named one.
func (a answer) unexpected() error {
	if e := a.named(); e != nil {
		return e
	}
	if a.status >= 500 || a.status == http.StatusTooManyRequests {
		return fmt.Errorf("%w: status %d", ErrUnavailable, a.status)
	}
	return fmt.Errorf("%w: status %d", ErrResponse, a.status)
}

// retryAfter reads the header of RFC 9110 §10.2.3 where it is a number of seconds,
// up to a day.
func (a answer) retryAfter() time.Duration {
	n, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || n < 0 || n > 24*3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}

func (a answer) isJSON() bool {
	t, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// post sends form to an endpoint at which the client authenticates itself.
func (c *Client) post(ctx context.Context, endpoint string, form url.Values) (answer, error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if err := c.authenticate(header, form); err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, fmt.Errorf("client: %w", err)
	}
	req.Header = header
	return c.send(req, answerBytes)
}

// authenticate adds the client's proof to a request, by the one method that it
// is registered with.
func (c *Client) authenticate(header http.Header, form url.Values) error {
	id, secret := c.config.ClientID, c.config.ClientSecret
	switch c.config.AuthMethod {
	case AuthBasic, AuthPost:
		if c.config.NewSecret != nil {
			var err error
			if secret, err = c.config.NewSecret(); err != nil {
				return fmt.Errorf("client: secret: %w", err)
			}
		}
		if c.config.AuthMethod == AuthPost {
			form.Set("client_id", id)
			form.Set("client_secret", secret)
			return nil
		}
		// RFC 6749 §2.3.1: both halves are form-encoded first.
		req := http.Request{Header: header}
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	case AuthSecretJWT, AuthPrivateKey:
		// RFC 7523 §3. The audience is configured and nothing else: a token
		// endpoint's address can be the attacker's who published it.
		assertion, err := jwt.Sign(map[string]any{}, c.config.Key, jwt.SignOptions{
			Issuer: id, Subject: id, Audience: []string{c.config.AssertionAudience}, ID: random(),
			ExpiresIn: time.Minute, Now: c.now,
		})
		if err != nil {
			return fmt.Errorf("client: assertion: %w", err)
		}
		form.Set("client_id", id)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	default:
		form.Set("client_id", id)
	}
	return nil
}
