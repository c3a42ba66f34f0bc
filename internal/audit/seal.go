package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

// What the first field of each MAC says, so that none can stand for another.
const (
	kindMark  = "ostiary audit mark 1"
	kindEntry = "ostiary audit entry 1"
	kindHead  = "ostiary audit head 1"
)

// nonceSize makes marks of entries that say the same differ, in bytes.
const nonceSize = 12

// mac computes HMAC-SHA-256 of fields, each with its length before it ("5:hello,",
// a netstring), so that nothing can move from one into the next.
type mac struct {
	hash   hash.Hash
	fields []byte
	sum    [sha256.Size]byte
}

func newMAC(key []byte) *mac { return &mac{hash: hmac.New(sha256.New, key)} }

func (m *mac) text(s string) {
	m.fields = strconv.AppendInt(m.fields, int64(len(s)), 10)
	m.fields = append(append(append(m.fields, ':'), s...), ',')
}

func (m *mac) number(n int64) {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	m.fields = strconv.AppendInt(m.fields, int64(len(text)), 10)
	m.fields = append(append(append(m.fields, ':'), text...), ',')
}

// finish returns the MAC of the fields, in base64url, and forgets them.
func (m *mac) finish() string {
	m.hash.Reset()
	m.hash.Write(m.fields)
	m.fields = m.fields[:0]
	return base64.RawURLEncoding.EncodeToString(m.hash.Sum(m.sum[:0]))
}

// words adds what an entry says.
func (m *mac) words(e model.Event) {
	m.number(e.At)
	m.text(string(e.Actor.Kind))
	m.text(e.Actor.ID)
	m.text(e.Actor.Address)
	m.text(e.Action)
	m.text(string(e.UserID))
	m.text(string(e.ClientID))
	m.text(e.Detail)
}

// seal is over everything that is stored of an entry and the seal before.
func (m *mac) seal(e model.Event, before string) string {
	m.text(kindEntry)
	m.text(before)
	m.number(e.Position)
	m.number(e.Sequence)
	m.words(e)
	m.text(e.Mark)
	return m.finish()
}

// mark is a nonce, a dot, and a MAC of it and of what the entry says.
func (m *mac) mark(e model.Event, nonce string) string {
	m.text(kindMark)
	m.text(nonce)
	m.words(e)
	return nonce + "." + m.finish()
}

// Marker returns a function that marks entries as they are written, for
// store.Store.Mark. It costs about a microsecond. derive is keys.Ring.Derive.
func Marker(derive func(label string) []byte) func(model.Event) string {
	key := derive(labelMark)
	return func(e model.Event) string {
		nonce := make([]byte, nonceSize)
		rand.Read(nonce) // never fails: crypto/rand aborts the program instead
		return newMAC(key).mark(e, base64.RawURLEncoding.EncodeToString(nonce))
	}
}

// marked reports whether the mark of an entry is its own.
func (m *mac) marked(e model.Event) bool {
	nonce, _, ok := strings.Cut(e.Mark, ".")
	return ok && same(m.mark(e, nonce), e.Mark)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Point is a place in the chain: a position and the seal there.
type Point struct {
	Position int64  `json:"position"`
	Seal     string `json:"seal"`
}

// String returns the position, a colon and the seal.
func (p Point) String() string { return strconv.FormatInt(p.Position, 10) + ":" + p.Seal }

// errPoint says that a text is not what String returns.
var errPoint = errors.New("it is a position, a colon and a seal, as ostiary audit head prints them")

// ParsePoint reads what String returns.
func ParsePoint(text string) (Point, error) {
	number, seal, ok := strings.Cut(text, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	sum, bad := base64.RawURLEncoding.Strict().DecodeString(seal)
	if !ok || err != nil || n < 1 || bad != nil || len(sum) != sha256.Size {
		return Point{}, errPoint
	}
	return Point{n, seal}, nil
}

// Head says what the chain is.
type Head struct {
	Begin    Point `json:"begin"`    // the entry before the first; its seal is empty where the chain begins
	End      Point `json:"end"`      // the last entry that was sealed
	Since    int64 `json:"since"`    // when the chain was begun
	Earlier  int64 `json:"earlier"`  // up to this position, entries are of an earlier chain; 0: there was none
	Unmarked int64 `json:"unmarked"` // up to this position, marks mean nothing: there are none, or of another master key
}

// headSetting holds the head as JSON, with its MAC.
const headSetting = "audit.head"

type storedHead struct {
	Head
	MAC string `json:"mac"`
}

func (l *Log) headMAC(h Head) string {
	m := newMAC(l.chain)
	m.text(kindHead)
	for _, p := range []Point{h.Begin, h.End} {
		m.number(p.Position)
		m.text(p.Seal)
	}
	m.number(h.Since)
	m.number(h.Earlier)
	m.number(h.Unmarked)
	return m.finish()
}

func (l *Log) formatHead(h Head) string {
	text, err := json.Marshal(storedHead{h, l.headMAC(h)})
	if err != nil {
		panic(err) // cannot be: numbers and texts always marshal
	}
	return string(text)
}

// parseHead returns a Broken if the text is not what formatHead returns.
func (l *Log) parseHead(text string) (Head, error) {
	var s storedHead
	if err := json.Unmarshal([]byte(text), &s); err != nil || !same(s.MAC, l.headMAC(s.Head)) {
		return Head{}, Broken{Reason: "the head of the chain is not what a server with this master key wrote"}
	}
	return s.Head, nil
}
