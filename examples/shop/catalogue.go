package shop

import "fmt"

// Item is something that the shop sells.
type Item struct {
	ID    string
	Name  string
	About string
	Price Cents
}

// Cents is an amount of euros, in hundredths.
type Cents int64

func (c Cents) String() string { return fmt.Sprintf("€%d.%02d", c/100, c%100) }

// catalogue is read by the shop to draw its page and by the API to work out what
// an order costs. A cart never names a price.
var catalogue = []Item{
	{"key", "Brass key", "Fits one door, and you choose which.", 1200},
	{"lantern", "Lantern", "To see who is there.", 4800},
	{"knocker", "Door knocker", "A lion, patient, holding a ring.", 3500},
	{"bell", "Hand bell", "For guests who do not knock.", 2200},
	{"mat", "Doormat", "Says welcome, and means most people.", 1800},
	{"padlock", "Padlock", "For all the others.", 1500},
}

func itemByID(id string) (Item, bool) {
	for _, item := range catalogue {
		if item.ID == id {
			return item, true
		}
	}
	return Item{}, false
}

// Bounds of a cart and of an order.
const (
	maxOfOne = 20
	maxOrder = Cents(50_000) // what one order may cost: the API's own rule
)

// Line is one kind of item in a cart or an order.
type Line struct {
	Item  Item
	Count int
	Sum   Cents
}

// lines lists what counts holds in the order of the catalogue, and its total.
// Unknown items and senseless counts are left out.
func lines(counts map[string]int) (list []Line, total Cents, pieces int) {
	for _, item := range catalogue {
		n := counts[item.ID]
		if n < 1 || n > maxOfOne {
			continue
		}
		sum := item.Price * Cents(n)
		list = append(list, Line{Item: item, Count: n, Sum: sum})
		total += sum
		pieces += n
	}
	return list, total, pieces
}
