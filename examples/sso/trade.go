package sso

// Trade is which of the two applications one is.
type Trade string

// The two applications.
const (
	Almanac Trade = "almanac"
	Ledger  Trade = "ledger"
)

// trade is what they differ in.
type trade struct {
	Trade   Trade
	Other   Trade
	Name    string
	About   string
	Entries string // what its API keeps
	scope   string
	list    []Entry
}

// Entry is one thing that an API keeps.
type Entry struct {
	When string `json:"when"`
	What string `json:"what"`
}

var trades = map[Trade]trade{
	Almanac: {
		Trade: Almanac, Other: Ledger, Name: "Almanac", About: "What the days will bring", Entries: "The week", scope: "almanac:read",
		list: []Entry{{"Mon", "Oil the hinges"}, {"Tue", "Full moon, leave the lantern on"}, {"Thu", "The locksmith comes at ten"}, {"Sat", "Open until late"}},
	},
	Ledger: {
		Trade: Ledger, Other: Almanac, Name: "Ledger", About: "What the days have cost", Entries: "The books", scope: "ledger:read",
		list: []Entry{{"€24.00", "A brass key, cut twice"}, {"€8.50", "Lamp oil"}, {"€120.00", "A padlock for the gate"}, {"€3.20", "String"}},
	},
}

// Scopes are what an application asks for: who somebody is, and to read in its own API.
func Scopes(t Trade) []string { return []string{"openid", "profile", "email", trades[t].scope} }

// ClientName is what the server calls an application.
func ClientName(t Trade) string { return trades[t].Name }
