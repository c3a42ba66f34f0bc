package shop

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// copyName is the one cookie that scripts can read. The shop writes it and never reads
// it: whoever changes it fools nobody but their own screen.
const copyName = "cart-copy"

// cartCopy is what a script of the page shows of the cart, which it cannot read itself:
// its cookie is HttpOnly, and it may be encrypted.
type cartCopy struct {
	Pieces int        `json:"pieces"`
	Total  string     `json:"total"`
	Lines  []copyLine `json:"lines"`
}

type copyLine struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
	Price string `json:"price"`
}

func (c *carts) writeCopy(w http.ResponseWriter, cart Cart) {
	list, total, pieces := lines(cart.Items)
	shown := cartCopy{Pieces: pieces, Total: total.String()}
	for _, l := range list {
		shown.Lines = append(shown.Lines, copyLine{l.Item.Name, l.Count, l.Item.Price.String()})
	}
	http.SetCookie(w, &http.Cookie{
		Name: copyName, Value: shown.encode(), Path: "/", MaxAge: int(cartLife / time.Second),
		Secure: c.secure, SameSite: http.SameSiteLaxMode,
	})
}

func (c cartCopy) encode() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic("shop: a copy of a cart that is no JSON: " + err.Error()) // strings and numbers always are
	}
	return base64.RawURLEncoding.EncodeToString(text)
}
