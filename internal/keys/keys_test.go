package keys

import (
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

var operator = model.Actor{Kind: model.ActorShell, ID: "root"}

// clock is a time that moves when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newMaster(t *testing.T) Master {
	t.Helper()
	m, err := LoadMaster(MasterConfig{Path: filepath.Join(t.TempDir(), "master.key"), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// node is one server with its ring.
type node struct {
	*Ring
	t     *testing.T
	clock *clock
}

func openNode(t *testing.T, s *store.Store, m Master, c *clock) node {
	t.Helper()
	return openWith(t, c, Config{Store: s, Master: m, Algorithms: []jwa.Algorithm{jwa.ES256}})
}

func openWith(t *testing.T, c *clock, config Config) node {
	t.Helper()
	config.Now = c.now
	r, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return node{r, t, c}
}

// each runs fn with one node on each database.
func each(t *testing.T, fn func(n node)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *store.Store) { fn(openNode(t, s, newMaster(t), newClock())) })
}

// eachPair runs fn with two nodes that share each database and one clock.
func eachPair(t *testing.T, fn func(a, b node)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) {
		m, c := newMaster(t), newClock()
		fn(openNode(t, storetest.Open(t, url), m, c), openNode(t, storetest.Open(t, url), m, c))
	})
}

func (n node) ok(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n node) tick() {
	n.t.Helper()
	n.ok(n.Tick(n.t.Context()))
}

func (n node) sign() string {
	n.t.Helper()
	token, err := n.Sign(jwa.ES256, "at+jwt", map[string]any{"sub": "ada"})
	n.ok(err)
	return token
}

// signer returns the identifier of the key that signs ES256 now.
func (n node) signer() model.KeyID {
	n.t.Helper()
	token, err := jwt.DecodeUnverified[map[string]any](n.sign())
	n.ok(err)
	return model.KeyID(token.Header.KeyID)
}

func (n node) verifies(token string) bool {
	n.t.Helper()
	_, err := jwt.Verify[map[string]any](n.t.Context(), token, n.Ring, jwt.VerifyOptions{
		Types: []string{"at+jwt"}, AllowMissingExpiration: true, Now: n.clock.now,
	})
	if err != nil && !errors.Is(err, jwt.ErrKey) {
		n.t.Fatal(err)
	}
	return err == nil
}

// published returns the identifiers in the JWK set.
func (n node) published() (list []model.KeyID) {
	n.t.Helper()
	text, _ := n.Published()
	set, err := jwk.ParseSet(text)
	n.ok(err)
	for _, k := range set.All() {
		list = append(list, model.KeyID(k.ID()))
	}
	return list
}

func (n node) events() (list []model.Event) {
	n.t.Helper()
	n.ok(n.store.View(n.t.Context(), func(tx *store.Tx) (err error) {
		list, err = tx.Events(0, 1000)
		return err
	}))
	return list
}

func (n node) actions() (list []string) {
	n.t.Helper()
	for _, e := range n.events() {
		list = append(list, e.Action)
	}
	return list
}

func (n node) rows() (list []model.SigningKey) {
	n.t.Helper()
	n.ok(n.store.View(n.t.Context(), func(tx *store.Tx) (err error) {
		list, err = tx.SigningKeys()
		return err
	}))
	return list
}

func TestFirstStart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if found, err := Exist(t.Context(), s); found || err != nil {
			t.Fatalf("an empty database: %v, %v", found, err)
		}
		m, c := newMaster(t), newClock()
		n := openWith(t, c, Config{Store: s, Master: m})
		if found, err := Exist(t.Context(), s); !found || err != nil {
			t.Fatalf("after the first start: %v, %v", found, err)
		}
		for _, alg := range []jwa.Algorithm{jwa.EdDSA, jwa.ES256, jwa.PS256, jwa.RS256} {
			if !n.Ready(alg) {
				t.Errorf("%s is not ready at the first start", alg)
			}
			token, err := n.Sign(alg, "at+jwt", map[string]any{"sub": "ada"})
			n.ok(err)
			got, err := jwt.Verify[jwt.Registered](t.Context(), token, n, jwt.VerifyOptions{
				Algorithms: []jwa.Algorithm{alg}, Types: []string{"at+jwt"}, AllowMissingExpiration: true, Now: c.now,
			})
			n.ok(err)
			if got.Claims.Subject != "ada" || !got.Claims.IssuedAt.Equal(c.now()) {
				t.Errorf("%s: %+v", alg, got.Claims)
			}
		}
		if _, err := n.Sign(jwa.ES384, "JWT", nil); !errors.Is(err, ErrNoKey) || n.Ready(jwa.ES384) {
			t.Errorf("an algorithm that is not configured: %v", err)
		}

		again := openWith(t, c, Config{Store: s, Master: m})
		set, tag := n.Published()
		set2, tag2 := again.Published()
		if string(set) != string(set2) || tag != tag2 {
			t.Error("another start made other keys")
		}
		again.tick()
		if want := []string{"master.use", "key.create", "key.create", "key.create", "key.create"}; !slices.Equal(n.actions(), want) {
			t.Errorf("events %v, want %v", n.actions(), want)
		}
		for _, k := range n.List() {
			if k.Sealed != "" {
				t.Error("the list holds the sealed key")
			}
		}
	})
}

func TestPublished(t *testing.T) {
	n := openWith(t, newClock(), Config{Store: storetest.SQLite(t), Master: newMaster(t)})
	text, tag := n.Published()
	var set struct{ Keys []map[string]any }
	n.ok(json.Unmarshal(text, &set))
	if len(set.Keys) != 4 {
		t.Fatalf("published %s", text)
	}
	kinds := map[any]any{}
	for _, k := range set.Keys {
		for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} { // RFC 7518 §6.2.2, §6.3.2, §6.4.1
			if _, ok := k[member]; ok {
				t.Errorf("the private member %q is published", member)
			}
		}
		if k["use"] != "sig" || k["kid"] == "" {
			t.Errorf("published %v", k)
		}
		kinds[k["alg"]] = k["kty"]
	}
	if want := map[any]any{"EdDSA": "OKP", "ES256": "EC", "PS256": "RSA", "RS256": "RSA"}; !maps.Equal(kinds, want) {
		t.Errorf("published %v, want %v", kinds, want)
	}
	if len(tag) < 18 || tag[0] != '"' || tag[len(tag)-1] != '"' || strings.ContainsAny(tag[1:len(tag)-1], "\" \\") {
		t.Errorf("RFC 9110 §8.8.3: the entity tag is %s", tag)
	}
	n.ok(n.Rotate(t.Context(), operator, false))
	if _, changed := n.Published(); changed == tag {
		t.Error("another set has the same entity tag")
	}
}

// Nothing of a private key may be read in the database.
func TestSealedAtRest(t *testing.T) {
	n := openWith(t, newClock(), Config{Store: storetest.SQLite(t), Master: newMaster(t)})
	for _, row := range n.rows() {
		text, err := n.master.open(purposeSigningKey, string(row.ID), row.Sealed)
		n.ok(err)
		var private map[string]string
		n.ok(json.Unmarshal(text, &private))
		if private["d"] == "" {
			t.Fatal("what is sealed is no private key: the test proves nothing")
		}
		for _, stored := range []string{row.Sealed, string(mustDecode(t, row.Sealed))} {
			if strings.Contains(stored, private["d"]) || strings.Contains(stored, `"d"`) || strings.Contains(stored, `"kty"`) {
				t.Errorf("%s is stored in clear", row.Algorithm)
			}
		}
	}
}

func TestFind(t *testing.T) {
	each(t, func(n node) {
		for _, kid := range []string{"", "unknown", "../../etc/passwd", strings.Repeat("x", 1<<20), "\x00\xff"} {
			found, err := n.Find(n.t.Context(), kid)
			if !errors.Is(err, jwk.ErrNotFound) || found != nil {
				n.t.Errorf("kid %.20q: %v, %v", kid, found, err)
			}
		}
		found, err := n.Find(n.t.Context(), string(n.signer()))
		n.ok(err)
		if len(found) != 1 || found[0].Private() {
			n.t.Errorf("found %v", found)
		}
	})
}

func TestFindWithoutDatabase(t *testing.T) {
	s := storetest.SQLite(t)
	n := openNode(t, s, newMaster(t), newClock())
	n.clock.advance(time.Minute)
	token := n.sign()
	n.ok(s.Close())
	if !n.verifies(token) || n.sign() == "" {
		t.Error("signing and verifying need the database")
	}
	if _, err := n.Find(t.Context(), "unknown"); !errors.Is(err, jwk.ErrUnavailable) {
		t.Errorf("unknown key without a database: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	s, m := storetest.SQLite(t), newMaster(t)
	for name, c := range map[string]Config{
		"no store":                 {Master: m},
		"no master key":            {Store: s},
		"RFC 7518 §3.6: none":      {Store: s, Master: m, Algorithms: []jwa.Algorithm{"none"}},
		"a secret cannot be known": {Store: s, Master: m, Algorithms: []jwa.Algorithm{jwa.HS256}},
		"unknown algorithm":        {Store: s, Master: m, Algorithms: []jwa.Algorithm{"XX"}},
		"negative":                 {Store: s, Master: m, Keep: -time.Hour},
		"ahead as long as rotate":  {Store: s, Master: m, Rotate: time.Hour, Ahead: time.Hour},
		"more keys than are taken": {Store: s, Master: m, Rotate: 50 * time.Minute, Ahead: MinAhead},
		"ahead less than a cache":  {Store: s, Master: m, Rotate: 24 * time.Hour, Ahead: MinAhead - time.Second},
	} {
		if r, err := Open(t.Context(), c); err == nil || r != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A stored key that was put in the place of another must not be used.
func TestMovedKey(t *testing.T) {
	s, m := storetest.SQLite(t), newMaster(t)
	n := openNode(t, s, m, newClock())
	row := n.rows()[0]
	for name, change := range map[string]func(*model.SigningKey){
		"another name":      func(k *model.SigningKey) { k.ID = "other" },
		"another algorithm": func(k *model.SigningKey) { k.Algorithm = "RS256" },
		"cut":               func(k *model.SigningKey) { k.Sealed = k.Sealed[:40] },
		"in clear":          func(k *model.SigningKey) { k.Sealed = `{"kty":"EC"}` },
		"empty":             func(k *model.SigningKey) { k.Sealed = "" },
	} {
		moved := row
		change(&moved)
		set := func(old, new model.SigningKey) {
			n.ok(s.Upkeep(t.Context(), func(tx *store.Tx) error {
				if err := tx.DeleteSigningKey(old.ID); err != nil {
					return err
				}
				return tx.InsertSigningKey(new)
			}))
		}
		set(row, moved)
		if _, err := Open(t.Context(), Config{Store: s, Master: m, Now: n.now}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if err := n.Reload(t.Context()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: on a running server: %v", name, err)
		}
		n.sign() // which goes on
		set(moved, row)
	}
}

func TestDerive(t *testing.T) {
	eachPair(t, func(a, b node) {
		one := a.Derive("refresh tokens")
		if len(one) != 32 || string(one) != string(b.Derive("refresh tokens")) {
			a.t.Error("two nodes derive two things")
		}
		for _, label := range []string{"", "refresh", "refresh tokens ", labelSeal} {
			if string(one) == string(a.Derive(label)) {
				a.t.Errorf("label %q derives the same", label)
			}
		}
		if key := a.master.key(); string(a.Derive("")) == string(a.master.derive(labelSeal)) || string(one) == string(key[:]) {
			a.t.Error("a derived key is one that is in use")
		}
	})
}
