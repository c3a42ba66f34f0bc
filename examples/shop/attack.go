package shop

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/client"
	"github.com/ostiary/ostiary/jwt"
)

// attack is one of the classic ones, with what the page tells about it.
type attack struct {
	Name  string
	Title string
	Idea  string  // what the thief does
	Twin  string  // what an honest customer does instead
	Stops []place // the lines that stop it
	run   func(ctx context.Context, s *Shop, t *thief) (outcome, error)
}

// outcome is what the answers say of an attack.
type outcome struct {
	attack, twin []exchange
	won          bool   // the thief got what they wanted
	fair         bool   // the honest twin did as well; if not, that the thief failed proves nothing
	reason       string // why, in the words of the answer
}

// Verdicts.
const (
	stopped = "stopped"
	worked  = "worked"
	untried = "untried"
)

// verdict never takes a shop that serves nobody for one that is safe.
func (o outcome) verdict() string {
	switch {
	case o.won:
		return worked
	case o.fair:
		return stopped
	default:
		return untried
	}
}

// attacks are all of them, in the order of the page. Those without a run go through the
// visitor's own browser. They are found once there is a shop.
var attacks = sync.OnceValue(func() []attack {
	return []attack{
		{
			Name: "strip", Title: "Strip the signature",
			Idea:  "The thief puts twenty lanterns into the cart and leaves its signature off. A careless reader takes what it cannot check.",
			Twin:  "The same browser sends the cart as the shop signed it.",
			Stops: []place{lineOf("cart.go", "token, err := c.reader.Verify("), lineOf("cart.go", "token, err := c.opener.Verify(")},
			run:   runStrip,
		},
		{
			Name: "none", Title: "Say “alg: none”",
			Idea:  "The thief writes a cart with the header “alg: none”, which says that no signature is needed, and sends it without one and with an old one. Libraries have believed it.",
			Twin:  "The same browser sends a cart whose algorithm is the one that the shop’s key is for.",
			Stops: []place{lineOf("cart.go", "Algorithms: []jwa.Algorithm{jwa.HS256}")},
			run:   runNone,
		},
		{
			Name: "price", Title: "Change the price",
			Idea:  "The thief writes a price of one cent into the cart, and then into the copy of it that the page’s script reads.",
			Twin:  "The same browser sends its cart untouched, and is asked for the price in the catalogue.",
			Stops: []place{lineOf("catalogue.go", "sum := item.Price * Cents(n)"), lineOf("cart.go", "token, err := c.reader.Verify(")},
			run:   runPrice,
		},
		{
			Name: "swap", Title: "Swap in another person’s cart",
			Idea:  "The thief sends a cart that the shop signed for somebody else. Its signature is perfect.",
			Twin:  "That other person sends it from their own browser.",
			Stops: []place{lineOf("cart.go", "return sub == o.name() ||"), lineOf("cart.go", "case !o.may(cart.Subject):")},
			run:   runSwap,
		},
		{
			Name: "expired", Title: "Replay an expired cart",
			Idea:  "The thief kept a cart for an hour and a minute. So that you need not wait, the shop signs this one with a clock that is slow; all else in it is in order.",
			Twin:  "The same browser sends the same cart, signed just now.",
			Stops: []place{lineOf("cart.go", "ExpiresIn: cartLife, Now:")},
			run:   runExpired,
		},
		{
			Name: "image", Title: "An image on another site",
			Idea:  "You visit a page of kittens at another site. Its image is the address that adds a lantern to your cart, and a hidden form tries the same by POST. Your own browser sends both.",
			Twin:  "A customer presses the button “Add”, here in the shop.",
			Stops: []place{lineOf("shop.go", `mux.HandleFunc("POST /cart"`), lineOf("shop.go", "protection := http.NewCrossOriginProtection()"), lineOf("cart.go", "HttpOnly: true, Secure: c.secure, SameSite:")},
		},
		{
			Name: "script", Title: "A script in a comment",
			Idea:  "The thief leaves a comment that is a script. Whoever reads it next is to run it, with all that they may do here.",
			Twin:  "An honest comment with an ampersand and a “<3” is shown just as it was typed.",
			Stops: []place{lineOf("templates/front.html", "<blockquote>{{.Text}}</blockquote>"), lineOf("shop.go", `s.policy = "default-src 'none'; script-src 'self'`)},
			run:   runScript,
		},
		{
			Name: "token", Title: "A stolen token after sign-out",
			Idea:  "The thief has a copy of your access token. You are signed out, for real; the token has minutes left, and its signature is good. The thief calls the API with it.",
			Twin:  "Before the sign-out, the same call with the same token is answered.",
			Stops: []place{lineOf("api.go", "Feed:     a.feed,"), lineOf("api.go", `mux.Handle("GET /me"`)},
		},
	}
})

func attackByName(name string) (attack, bool) {
	for _, a := range attacks() {
		if a.Name == name {
			return a, true
		}
	}
	return attack{}, false
}

// possible are the attacks that can be tried here.
func (s *Shop) possible() (list []attack) {
	for _, a := range attacks() {
		if a.Name != "image" || s.other != nil {
			list = append(list, a)
		}
	}
	return list
}

// report is what the page says of an attack that was tried.
type report struct {
	attack
	Verdict string
	Reason  string
	Attack  []exchange
	TwinDid []exchange
	Raw     template.HTML // the script, as it would be without escaping
	Next    *attack
}

func (s *Shop) showAttacks(w http.ResponseWriter, r *http.Request) {
	s.allowOther(w)
	s.render(w, http.StatusOK, "attacks", page{
		Title: "Attack me", Person: nameOf(client.SessionFrom(r.Context())), Attacks: s.possible(), Switches: s.switches(r),
	})
}

// allowOther lets the forms of a page lead to the other site, where one attack comes
// from.
func (s *Shop) allowOther(w http.ResponseWriter) {
	if s.other != nil {
		w.Header().Set("Content-Security-Policy", s.policy+" "+s.other.Scheme+"://"+s.other.Host)
	}
}

// attack performs one, and shows what came of it.
func (s *Shop) attack(w http.ResponseWriter, r *http.Request) {
	a, ok := attackByName(r.PathValue("name"))
	switch {
	case !ok, a.Name == "image" && s.other == nil:
		s.message(w, r, notice{http.StatusNotFound, "Nothing here", "There is no such attack."})
	case a.Name == "image":
		s.beginImage(w, r)
	case a.Name == "token":
		s.beginToken(w, r)
	default:
		o, err := a.run(r.Context(), s, s.thief(r))
		s.tell(w, r, a, o, err)
	}
}

// tell shows what came of an attack.
func (s *Shop) tell(w http.ResponseWriter, r *http.Request, a attack, o outcome, err error) {
	out := report{attack: a, Verdict: o.verdict(), Reason: o.reason, Attack: o.attack, TwinDid: o.twin}
	if err != nil {
		s.log.WarnContext(r.Context(), "an attack could not be tried", "attack", a.Name, "error", err)
		out.Verdict, out.Reason = untried, "The shop or its API did not answer."
	}
	if a.Name == "script" {
		out.Raw = script // a constant: what visitors type is never shown like this
	}
	list := s.possible()
	for i, other := range list {
		if other.Name == a.Name {
			out.Next = &list[(i+1)%len(list)]
		}
	}
	s.allowOther(w)
	s.render(w, http.StatusOK, "attack", page{Title: a.Title, Person: nameOf(client.SessionFrom(r.Context())), Report: out})
}

// pair makes the outcome of a cart that was shown to the shop, beside the one of the
// honest twin.
func pair(forged, honest exchange) outcome {
	return outcome{
		attack: []exchange{forged}, twin: []exchange{honest},
		won: forged.pieces() > 0, fair: forged.pieces() == 0 && honest.pieces() == 1,
		reason: forged.text("cart-refused"),
	}
}

// both presents a forged cart, and then the honest one.
func both(ctx context.Context, t *thief, forged, honest string) (outcome, error) {
	f, err := t.present(ctx, forged)
	if err != nil {
		return outcome{}, err
	}
	h, err := t.present(ctx, honest)
	if err != nil {
		return outcome{}, err
	}
	return pair(f, h), nil
}

func twentyLanterns(claims map[string]any) { claims["items"] = map[string]int{"lantern": 20} }

func runStrip(ctx context.Context, _ *Shop, t *thief) (outcome, error) {
	if err := t.fill(ctx, "lantern"); err != nil {
		return outcome{}, err
	}
	honest := t.cart()
	forged, err := alter(honest, twentyLanterns)
	if err != nil {
		return outcome{}, err
	}
	return both(ctx, t, cut(forged), honest)
}

func runNone(ctx context.Context, s *Shop, t *thief) (outcome, error) {
	if err := t.fill(ctx, "lantern"); err != nil {
		return outcome{}, err
	}
	// All that a cart says is known, or seen in one's own.
	forged, err := jwt.InsecureSignNone(map[string]any{"items": map[string]int{"lantern": 20}}, jwt.SignOptions{
		Type: cartType, Issuer: cartName, Audience: []string{cartName}, Subject: owner{browser: t.browser()}.name(), ID: "x",
		ExpiresIn: 24 * time.Hour, Now: s.now,
	})
	if err != nil {
		return outcome{}, err
	}
	honest := t.cart()
	o, err := both(ctx, t, forged, honest)
	if err != nil {
		return outcome{}, err
	}
	// Some readers want to see a signature, whatever it is of.
	second, err := t.present(ctx, forged+honest[strings.LastIndex(honest, ".")+1:])
	if err != nil {
		return outcome{}, err
	}
	o.attack = append(o.attack, second)
	o.won, o.fair = o.won || second.pieces() > 0, o.fair && second.pieces() == 0
	o.reason = o.reason + " With the old signature below it: " + second.text("cart-refused")
	return o, nil
}

func runPrice(ctx context.Context, _ *Shop, t *thief) (outcome, error) {
	if err := t.fill(ctx, "lantern"); err != nil {
		return outcome{}, err
	}
	honest := t.cart()
	forged, err := alter(honest, func(claims map[string]any) { claims["prices"] = map[string]int{"lantern": 1} })
	if err != nil {
		return outcome{}, err
	}
	o, err := both(ctx, t, forged, honest)
	if err != nil {
		return outcome{}, err
	}
	forged = cartCopy{Pieces: 1, Total: "€0.01", Lines: []copyLine{{"Lantern", 1, "€0.01"}}}.encode()
	t.cookies[copyName] = forged
	second, err := t.present(ctx, honest)
	if err != nil {
		return outcome{}, err
	}
	second.Token += "\n" + copyName + ":\n" + spellPart(forged)
	o.attack = append(o.attack, second)
	price := o.twin[0].text("cart-total")
	item, _ := itemByID("lantern")
	o.won = cheaper(o.attack[0], price) || cheaper(second, price)
	o.fair = price == item.Price.String() && second.text("cart-total") == price
	o.reason = strings.TrimSpace(o.reason + " The changed copy changes nothing: the lantern costs " + second.text("cart-total") + ".")
	return o, nil
}

// cheaper reports whether the shop asks for something, and for another price.
func cheaper(e exchange, price string) bool {
	return e.pieces() > 0 && e.text("cart-total") != price
}

func runSwap(ctx context.Context, _ *Shop, t *thief) (outcome, error) {
	victim := *t
	victim.cookies = map[string]string{switchCookie: t.cookies[switchCookie]}
	if err := victim.fill(ctx, "bell"); err != nil {
		return outcome{}, err
	}
	if err := t.fill(ctx, "lantern"); err != nil { // so that the thief is somebody as well
		return outcome{}, err
	}
	stolen := victim.cart()
	f, err := t.present(ctx, stolen)
	if err != nil {
		return outcome{}, err
	}
	h, err := victim.present(ctx, stolen)
	if err != nil {
		return outcome{}, err
	}
	return pair(f, h), nil
}

func runExpired(ctx context.Context, s *Shop, t *thief) (outcome, error) {
	if err := t.fill(ctx, "lantern"); err != nil {
		return outcome{}, err
	}
	o, cart := owner{browser: t.browser()}, Cart{Items: map[string]int{"lantern": 1}}
	encrypted := strings.Count(t.cart(), ".") == 4
	old, err := s.carts.make(o, cart, encrypted, s.now().Add(-cartLife-time.Minute))
	if err != nil {
		return outcome{}, err
	}
	fresh, err := s.carts.make(o, cart, encrypted, s.now())
	if err != nil {
		return outcome{}, err
	}
	return both(ctx, t, old, fresh)
}

const (
	script = `<script>document.documentElement.dataset.robbed = "yes"</script>`
	polite = `A fine door & a patient lion <3`
)

func runScript(ctx context.Context, _ *Shop, t *thief) (outcome, error) {
	comment := func(text string) (said, seen exchange, err error) {
		if said, err = t.ask(ctx, http.MethodPost, "/comments", url.Values{"text": {text}}); err != nil {
			return said, seen, err
		}
		seen, err = t.ask(ctx, http.MethodGet, "/", nil)
		for line := range strings.SplitSeq(seen.body, "\n") {
			if strings.Contains(line, text) || strings.Contains(line, template.HTMLEscapeString(text)) {
				seen.Answer += "\n" + strings.TrimSpace(line)
				break
			}
		}
		return said, seen, err
	}
	said, seen, err := comment(script)
	if err != nil {
		return outcome{}, err
	}
	politely, read, err := comment(polite)
	if err != nil {
		return outcome{}, err
	}
	return outcome{
		attack: []exchange{said, seen}, twin: []exchange{politely, read},
		won:    strings.Contains(seen.body, script),
		fair:   strings.Contains(seen.body, template.HTMLEscapeString(script)) && strings.Contains(read.body, template.HTMLEscapeString(polite)),
		reason: "The page says “&lt;script>” where the thief wrote “<script>”: a text to read, not a script to run.",
	}, nil
}
