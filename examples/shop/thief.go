package shop

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// thief is a program that asks the running shop for things, over the network like
// everybody else. It has cookies of its own, and knows nothing that a customer does not.
type thief struct {
	http    *http.Client
	base    *url.URL
	prefix  string // of cookies
	cookies map[string]string
}

func (s *Shop) thief(r *http.Request) *thief {
	own := *s.http
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	return &thief{http: &own, base: s.base, prefix: s.carts.prefix, cookies: map[string]string{switchCookie: s.switches(r).String()}}
}

// exchange is a request and its answer, as the page shows them.
type exchange struct {
	Request string
	Token   string // what the token in it says
	Answer  string

	status int
	body   string
}

// maxPage bounds what the thief reads of an answer, in bytes.
const maxPage = 256 << 10

// ask sends a request with the thief's cookies and keeps those that come back.
func (t *thief) ask(ctx context.Context, method, path string, form url.Values) (exchange, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.base.Scheme+"://"+t.base.Host+path, strings.NewReader(form.Encode()))
	if err != nil {
		return exchange{}, fmt.Errorf("shop: attack: %w", err)
	}
	req.Header.Set("User-Agent", "thief/1.0")
	shown := []string{method + " " + path + " HTTP/1.1", "Host: " + t.base.Host}
	var sent, told []string
	for _, name := range slices.Sorted(maps.Keys(t.cookies)) {
		if value := t.cookies[name]; value != "" {
			sent, told = append(sent, name+"="+value), append(told, name+"="+short(value))
		}
	}
	if len(sent) > 0 {
		req.Header.Set("Cookie", strings.Join(sent, "; "))
		shown = append(shown, "Cookie: "+strings.Join(told, "; "))
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		shown = append(shown, "Content-Type: application/x-www-form-urlencoded", "", form.Encode())
	}
	e, header, err := send(t.http, req)
	if err != nil {
		return exchange{}, err
	}
	e.Request = strings.Join(shown, "\n")
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		t.cookies[cookie.Name] = cookie.Value
		if cookie.MaxAge < 0 {
			delete(t.cookies, cookie.Name)
		}
	}
	return e, nil
}

// send does a request and reads the answer.
func send(c *http.Client, req *http.Request) (exchange, http.Header, error) {
	res, err := c.Do(req)
	if err != nil {
		return exchange{}, nil, fmt.Errorf("shop: attack: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	if err != nil {
		return exchange{}, nil, fmt.Errorf("shop: attack: %w", err)
	}
	return exchange{Answer: statusLine(res.StatusCode), status: res.StatusCode, body: string(body)}, res.Header, nil
}

func statusLine(status int) string {
	return fmt.Sprintf("HTTP/1.1 %d %s", status, http.StatusText(status))
}

// fill puts one item into the thief's own cart, as any customer does.
func (t *thief) fill(ctx context.Context, item string) error {
	e, err := t.ask(ctx, http.MethodPost, "/cart", url.Values{"item": {item}})
	if err == nil && (e.status != http.StatusSeeOther || t.cart() == "") {
		err = fmt.Errorf("shop: attack: to fill a cart was answered %d", e.status)
	}
	return err
}

func (t *thief) cart() string    { return t.cookies[t.prefix+"cart"] }
func (t *thief) browser() string { return t.cookies[t.prefix+"browser"] }

// present shows a cart to the shop.
func (t *thief) present(ctx context.Context, cart string) (exchange, error) {
	t.cookies[t.prefix+"cart"] = cart
	e, err := t.ask(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return exchange{}, err
	}
	e.Token = spell(cart)
	for _, id := range []string{"cart-refused", "cart-count", "cart-total"} {
		if part := e.element(id); part != "" {
			e.Answer += "\n" + part
		}
	}
	return e, nil
}

// element returns the element with an id, as it stands in the answer.
func (e exchange) element(id string) string {
	return regexp.MustCompile(`<[a-z]+[^>]* id="` + id + `"[^>]*>[^<]*</[a-z]+>`).FindString(e.body)
}

// text returns what such an element says.
func (e exchange) text(id string) string {
	part := e.element(id)
	return html.UnescapeString(part[strings.Index(part, ">")+1 : max(strings.LastIndex(part, "<"), 0)])
}

// pieces is how many things the shop sees in the cart; -1 if it does not say.
func (e exchange) pieces() int {
	n, err := strconv.Atoi(e.text("cart-count"))
	if err != nil || e.status != http.StatusOK {
		return -1
	}
	return n
}

// short shortens what is too long to be read, part by part.
func short(value string) string {
	parts := strings.Split(value, ".")
	for i, p := range parts {
		if len(p) > 30 {
			parts[i] = p[:24] + "…"
		}
	}
	return strings.Join(parts, ".")
}

// spell tells what a token says. It believes nothing of it.
func spell(token string) string {
	parts := strings.Split(token, ".")
	out := []string{spellPart(parts[0])}
	switch {
	case len(parts) == 3:
		out = append(out, spellPart(parts[1]))
	case len(parts) == 5:
		out = append(out, fmt.Sprintf("(%d characters that only the shop can read)", len(parts[3])))
	default:
		return "no token"
	}
	if parts[len(parts)-1] == "" {
		return strings.Join(out, "\n") + "\n(no signature)"
	}
	return strings.Join(out, "\n")
}

func spellPart(part string) string {
	text, err := base64.RawURLEncoding.DecodeString(part)
	var v any
	if err != nil || json.Unmarshal(text, &v) != nil {
		return "(unreadable)"
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "(unreadable)"
	}
	return string(out)
}

var errNoCart = errors.New("shop: attack: the shop's cart is no token")

// alter rewrites what a signed cart says and leaves its signature as it was. An
// encrypted one nobody can read: of that it changes a character, blindly.
func alter(cart string, change func(claims map[string]any)) (string, error) {
	parts := strings.Split(cart, ".")
	switch len(parts) {
	case 3:
		text, err := base64.RawURLEncoding.DecodeString(parts[1])
		var claims map[string]any
		if err != nil || json.Unmarshal(text, &claims) != nil {
			return "", errNoCart
		}
		change(claims)
		if text, err = json.Marshal(claims); err != nil {
			return "", errNoCart
		}
		parts[1] = base64.RawURLEncoding.EncodeToString(text)
	case 5:
		other := "A"
		if strings.HasPrefix(parts[3], other) {
			other = "B"
		}
		parts[3] = other + parts[3][1:]
	default:
		return "", errNoCart
	}
	return strings.Join(parts, "."), nil
}

// cut takes the signature off, or of an encrypted cart what authenticates it.
func cut(cart string) string { return cart[:strings.LastIndex(cart, ".")+1] }
