package tour

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// answer is what the sample API said to a request.
type answer struct {
	Status int
	Says   string // in words, where it refused
}

func (a answer) refused() bool {
	return a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// readNotes calls the API with a token.
func (c Config) readNotes(ctx context.Context, token string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.NotesURL+"/notes", nil)
	if err != nil {
		return answer{}, fmt.Errorf("tour: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return c.ask(r, nil)
}

// grant is what the API gives for a password or a refresh token.
type grant struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// post sends JSON to the API and reads what it grants.
func (c Config) post(ctx context.Context, path string, body any) (g grant, a answer, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return g, a, fmt.Errorf("tour: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.NotesURL+path, bytes.NewReader(text))
	if err != nil {
		return g, a, fmt.Errorf("tour: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	a, err = c.ask(r, &g)
	return g, a, err
}

// ask sends a request. What the API gave is read into v, unless that is nil.
func (c Config) ask(r *http.Request, v any) (answer, error) {
	got, err := c.HTTP.Do(r)
	if err != nil {
		return answer{}, fmt.Errorf("tour: the API does not answer: %w", err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, maxAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("tour: the API does not answer: %w", err)
	}
	a := answer{Status: got.StatusCode}
	if got.StatusCode != http.StatusOK {
		var problem struct {
			Detail string `json:"detail"`
		}
		if json.Unmarshal(text, &problem) == nil {
			a.Says = problem.Detail
		}
		return a, nil
	}
	if v == nil {
		return a, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return answer{}, fmt.Errorf("tour: the API is not understood: %w", err)
	}
	return a, nil
}
