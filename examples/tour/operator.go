package tour

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/ostiary/ostiary/client"
)

// operator does what an operator does, by the server's API for programs.
type operator struct {
	issuer string
	tokens *client.Credentials
	http   *http.Client
}

func newOperator(c Config) (*operator, error) {
	k, err := client.New(client.Config{
		Issuer: c.Issuer, ClientID: c.OperatorID, ClientSecret: c.OperatorSecret, HTTP: c.HTTP, Now: c.Now, Logger: c.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("operator: %w", err)
	}
	return &operator{issuer: c.Issuer, tokens: k.Credentials(nil, OperatorScopes...), http: c.HTTP}, nil
}

// account is what the operator sees of a person.
type account struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

func (a account) locked() bool { return a.Status != "active" }

// find returns the account with a login.
func (o *operator) find(ctx context.Context, login string) (account, error) {
	var found struct {
		Users []account `json:"users"`
	}
	if err := o.call(ctx, http.MethodGet, "/api/users?"+url.Values{"login": {login}}.Encode(), &found); err != nil {
		return account{}, err
	}
	if len(found.Users) != 1 {
		return account{}, fmt.Errorf("tour: there is no user %q", login)
	}
	return found.Users[0], nil
}

func (o *operator) lock(ctx context.Context, id string) error {
	return o.call(ctx, http.MethodPost, "/api/users/"+url.PathEscape(id)+"/lock", nil)
}

func (o *operator) unlock(ctx context.Context, id string) error {
	return o.call(ctx, http.MethodPost, "/api/users/"+url.PathEscape(id)+"/unlock", nil)
}

// applications returns the IDs of those that have a part in a session.
func (o *operator) applications(ctx context.Context, session string) ([]string, error) {
	var found struct {
		Clients []string `json:"clients"`
	}
	err := o.call(ctx, http.MethodGet, "/api/sessions/"+url.PathEscape(session), &found)
	return found.Clients, err
}

// call sends one request and reads a JSON answer into v, unless that is nil.
func (o *operator) call(ctx context.Context, method, path string, v any) error {
	token, err := o.tokens.Token(ctx)
	if err != nil {
		return fmt.Errorf("tour: operator: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, method, o.issuer+path, nil)
	if err != nil {
		return fmt.Errorf("tour: operator: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := o.http.Do(r)
	if err != nil {
		return fmt.Errorf("tour: operator: %w", err)
	}
	defer answer.Body.Close()
	body := io.LimitReader(answer.Body, 1<<20)
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("tour: operator: %s %s answered %s", method, path, answer.Status)
	}
	if v == nil {
		_, err = io.Copy(io.Discard, body) // so that the connection goes on
		return err
	}
	if err := json.NewDecoder(body).Decode(v); err != nil {
		return fmt.Errorf("tour: operator: %s is not understood: %w", path, err)
	}
	return nil
}
