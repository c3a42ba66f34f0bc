package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/ostiary/ostiary/client"
)

// apiError is a refusal of the API, RFC 9457.
type apiError struct {
	status int
	detail string
}

func (e *apiError) Error() string { return fmt.Sprintf("the API answered %d", e.status) }

// order buys the cart at the API in the person's name. The cart's ID makes sure
// that the same cart is bought once.
func (s *Shop) order(ctx context.Context, person *client.Session, cart Cart, name string) (Order, error) {
	body, err := json.Marshal(map[string]any{"items": cart.Items, "name": name})
	if err != nil {
		return Order{}, fmt.Errorf("shop: order: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.api+"/orders", bytes.NewReader(body))
	if err != nil {
		return Order{}, fmt.Errorf("shop: order: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", cart.ID)
	return s.call(person, req)
}

// lookUp asks the API for an order of the person's.
func (s *Shop) lookUp(ctx context.Context, person *client.Session, id string) (Order, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.api+"/orders/"+url.PathEscape(id), nil)
	if err != nil {
		return Order{}, fmt.Errorf("shop: order: %w", err)
	}
	return s.call(person, req)
}

// call sends req with the person's access token.
func (s *Shop) call(person *client.Session, req *http.Request) (Order, error) {
	token, err := person.AccessToken()
	if err != nil {
		return Order{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := s.http.Do(req)
	if err != nil {
		return Order{}, fmt.Errorf("shop: the API: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return Order{}, fmt.Errorf("shop: the API: %w", err)
	}
	if res.StatusCode >= 400 {
		var said struct {
			Detail string `json:"detail"`
		}
		if json.Unmarshal(body, &said) != nil || said.Detail == "" {
			said.Detail = "The API refused this."
		}
		return Order{}, &apiError{status: res.StatusCode, detail: said.Detail}
	}
	var order Order
	if err := json.Unmarshal(body, &order); err != nil {
		return Order{}, fmt.Errorf("shop: the API: %w", err)
	}
	return order, nil
}
