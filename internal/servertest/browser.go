package servertest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Browser keeps cookies, follows redirects inside the house, and stops where a
// redirect leads out of it: at the client.
type Browser struct {
	t      testing.TB
	house  string
	roams  bool
	client *http.Client
}

// Roam makes the browser follow redirects out of the house as well: where the
// client is a running program.
func (b *Browser) Roam() *Browser {
	b.roams = true
	return b
}

// Browser opens a new browser without cookies.
func (h *House) Browser() *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	b := &Browser{t: h.t, house: h.Issuer}
	b.client = &http.Client{
		Jar: jar,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if !b.roams && !b.inside(next.URL) || len(via) > 20 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
	return b
}

func (b *Browser) inside(u *url.URL) bool {
	return strings.HasPrefix(b.house+"/", u.Scheme+"://"+u.Host+"/")
}

// HTTP is the client behind the browser, cookies and all.
func (b *Browser) HTTP() *http.Client { return b.client }

// Page is what the browser shows.
type Page struct {
	b      *Browser
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
	Left   *url.URL // where a redirect leads out of the house; nil: it does not
}

// Get visits an address; a path is one inside the house.
func (b *Browser) Get(address string) *Page {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.house + address
	}
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Do(req)
}

// Post sends a form, as a form on page from would ("" for none).
func (b *Browser) Post(address string, form url.Values) *Page {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.house + address
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.Do(req)
}

// Do sends any request, as one that is to be shown.
func (b *Browser) Do(req *http.Request) *Page {
	b.t.Helper()
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	return b.Read(res)
}

// Read shows an answer that was got elsewhere: what another site made the
// browser ask for.
func (b *Browser) Read(res *http.Response) *Page {
	b.t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &Page{b: b, URL: res.Request.URL, Status: res.StatusCode, Header: res.Header, Body: string(body)}
	if to, err := res.Location(); err == nil && !b.inside(to) {
		p.Left = to
	}
	return p
}

// Form is one form of a page, ready to be sent.
type Form struct {
	Action string
	Values url.Values
	Button map[string]url.Values // by class: what the button adds
}

// Form returns the only form of the page, beside the one of the languages and that
// of a passkey, which a script sends.
func (p *Page) Form() Form {
	p.b.t.Helper()
	doc, err := html.Parse(strings.NewReader(p.Body))
	if err != nil {
		p.b.t.Fatal(err)
	}
	var forms []Form
	walk(doc, func(n *html.Node) {
		if n.Data == "form" && attr(n, "class") != "languages" && attr(n, "class") != "passkey" {
			forms = append(forms, readForm(n))
		}
	})
	if len(forms) != 1 {
		p.b.t.Fatalf("%s has %d forms, want 1: %s", p.URL, len(forms), p.Body)
	}
	return forms[0]
}

func readForm(n *html.Node) Form {
	f := Form{Action: attr(n, "action"), Values: url.Values{}, Button: map[string]url.Values{}}
	walk(n, func(n *html.Node) {
		switch {
		case n.Data == "input" && attr(n, "type") == "radio" && !hasAttr(n, "checked"):
		case n.Data == "input" && attr(n, "type") != "checkbox":
			f.Values.Set(attr(n, "name"), attr(n, "value"))
		case n.Data == "textarea":
			f.Values.Set(attr(n, "name"), text(n))
		case n.Data == "select":
			walk(n, func(o *html.Node) {
				if o.Data == "option" && (hasAttr(o, "selected") || !f.Values.Has(attr(n, "name"))) {
					f.Values.Set(attr(n, "name"), attr(o, "value"))
				}
			})
		case n.Data == "button":
			v := url.Values{}
			if name := attr(n, "name"); name != "" {
				v.Set(name, attr(n, "value"))
			}
			for _, class := range strings.Fields(attr(n, "class")) {
				f.Button[class] = v
			}
		}
	})
	return f
}

// Submit presses the button of a class after filling in fields (name, value,
// name, value, …).
func (p *Page) Submit(class string, fields ...string) *Page {
	p.b.t.Helper()
	f := p.Form()
	button, ok := f.Button[class]
	if !ok {
		p.b.t.Fatalf("%s has no button of class %q: %s", p.URL, class, p.Body)
	}
	for i := 0; i < len(fields); i += 2 {
		f.Values.Set(fields[i], fields[i+1])
	}
	for name, v := range button {
		f.Values[name] = v
	}
	to, err := p.URL.Parse(f.Action)
	if err != nil {
		p.b.t.Fatal(err)
	}
	return p.b.Post(to.String(), f.Values)
}

// SubmitIf is Submit if the page has a form with that button, else the page.
func (p *Page) SubmitIf(class string) *Page {
	p.b.t.Helper()
	if !strings.Contains(p.Body, "<form method") || p.Form().Button[class] == nil {
		return p
	}
	return p.Submit(class)
}

// Attributes lists an attribute of all elements of a kind.
func (p *Page) Attributes(element, name string) (list []string) {
	p.b.t.Helper()
	doc, err := html.Parse(strings.NewReader(p.Body))
	if err != nil {
		p.b.t.Fatal(err)
	}
	walk(doc, func(n *html.Node) {
		if n.Data == element {
			list = append(list, attr(n, name))
		}
	})
	return list
}

func walk(n *html.Node, visit func(*html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for c := range n.ChildNodes() {
		walk(c, visit)
	}
}

func text(n *html.Node) string {
	var all strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			all.WriteString(c.Data)
		}
	}
	return all.String()
}

func hasAttr(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
