package keys

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// The whole life of a key: published, signing, kept, deleted.
func TestLife(t *testing.T) {
	each(t, func(n node) {
		old := n.signer()
		oldToken := n.sign()
		began := n.clock.now()
		to := func(d time.Duration) { n.clock.advance(began.Add(d).Sub(n.clock.now())) }

		to(DefaultRotate - DefaultAhead - time.Second)
		n.tick()
		if !slices.Equal(n.published(), []model.KeyID{old}) {
			n.t.Fatal("a successor before its time")
		}
		to(DefaultRotate - DefaultAhead)
		n.tick()
		n.tick()
		if len(n.published()) != 2 || n.signer() != old {
			n.t.Fatalf("the successor is not published ahead: %v", n.List())
		}
		to(DefaultRotate - time.Second)
		n.tick()
		lastToken := n.sign()
		if n.signer() != old || len(n.published()) != 2 {
			n.t.Fatal("the successor signs before its time")
		}
		to(DefaultRotate)
		young := n.signer() // without a reload
		if young == old {
			n.t.Fatal("the successor does not sign when its time has come")
		}
		if !n.verifies(oldToken) || !n.verifies(lastToken) || !n.verifies(n.sign()) {
			n.t.Error("tokens died at the change")
		}
		to(DefaultRotate + 5*time.Second) // a Tick comes a little late
		n.tick()
		if k := n.List()[0]; k.ID != old || k.DropAt != began.Add(DefaultRotate+DefaultKeep).Unix() {
			n.t.Errorf("the old key is %+v", k)
		}
		to(DefaultRotate + DefaultKeep - time.Second)
		n.tick()
		if !n.verifies(lastToken) {
			n.t.Error("a token died before its key")
		}
		to(DefaultRotate + DefaultKeep)
		if n.verifies(lastToken) {
			n.t.Error("a token outlives its key")
		}
		n.tick()
		if !slices.Equal(n.published(), []model.KeyID{young}) || len(n.rows()) != 1 {
			n.t.Errorf("the old key is still there: %v", n.List())
		}
		if want := []string{"master.use", "key.create", "key.create", "key.retire", "key.delete"}; !slices.Equal(n.actions(), want) {
			n.t.Errorf("events %v, want %v", n.actions(), want)
		}
	})
}

// A server that was off for long publishes first and signs later.
func TestLongStop(t *testing.T) {
	each(t, func(n node) {
		old := n.signer()
		n.clock.advance(100 * 24 * time.Hour)
		n.tick()
		if n.signer() != old || len(n.published()) != 2 {
			n.t.Error("signs with a key that nobody could have seen")
		}
		n.clock.advance(DefaultAhead)
		if n.signer() == old {
			n.t.Error("the old key signs on")
		}
	})
}

func TestClockSetBack(t *testing.T) {
	each(t, func(n node) {
		first := n.signer()
		n.clock.advance(-48 * time.Hour)
		if n.signer() != first {
			n.t.Error("no key signs before its time")
		}
		n.tick()
		n.ok(n.Rotate(n.t.Context(), operator, true))
		if n.signer() == first || !n.verifies(n.sign()) {
			n.t.Error("a rotation is lost")
		}
		if len(n.rows()) != 2 {
			n.t.Errorf("keys %v", n.List())
		}
	})
}

func TestRotateAhead(t *testing.T) {
	each(t, func(n node) {
		old := n.signer()
		n.ok(n.Rotate(n.t.Context(), operator, false))
		n.ok(n.Rotate(n.t.Context(), operator, false)) // one waits already
		if n.signer() != old || len(n.published()) != 2 {
			n.t.Errorf("keys %v", n.List())
		}
		if e := n.events()[len(n.events())-1]; e.Action != "key.create" || e.Actor != operator || len(n.events()) != 3 {
			n.t.Errorf("events %+v", n.events())
		}
		n.clock.advance(DefaultAhead)
		young := n.signer()
		if young == old {
			n.t.Error("the successor does not sign")
		}
		n.tick()
		n.clock.advance(DefaultRotate - DefaultAhead - time.Second)
		n.tick()
		if !slices.Equal(n.published(), []model.KeyID{young}) {
			n.t.Error("the schedule does not count from the last change")
		}
	})
}

func TestRotateImmediately(t *testing.T) {
	each(t, func(n node) {
		old, oldToken := n.signer(), n.sign()
		n.clock.advance(time.Hour)
		n.ok(n.Rotate(n.t.Context(), operator, false))
		waiting := n.published()
		waiting = slices.DeleteFunc(waiting, func(id model.KeyID) bool { return id == old })
		n.ok(n.Rotate(n.t.Context(), operator, true))
		second := n.signer()
		if second == old || second == waiting[0] {
			n.t.Error("a key that may be known signs")
		}
		if !slices.Equal(n.published(), []model.KeyID{old, second}) || !n.verifies(oldToken) {
			n.t.Errorf("keys %v", n.List())
		}
		if k := n.List()[0]; k.DropAt != n.unix()+int64(DefaultKeep/time.Second) {
			n.t.Errorf("the old key is %+v", k)
		}
		n.ok(n.Rotate(n.t.Context(), operator, true)) // in the same second
		third := n.signer()
		if third == second || third == old || len(n.published()) != 3 {
			n.t.Errorf("keys %v", n.List())
		}
		if e := n.events()[len(n.events())-1]; e.Action != "key.rotate" || e.Actor != operator {
			n.t.Errorf("event %+v", e)
		}
		n.clock.advance(DefaultKeep + time.Second)
		n.tick()
		if !slices.Equal(n.published(), []model.KeyID{third}) || n.signer() != third {
			n.t.Errorf("keys %v", n.List())
		}
	})
}

func TestDrop(t *testing.T) {
	each(t, func(n node) {
		old, oldToken := n.signer(), n.sign()
		if err := n.Drop(n.t.Context(), operator, old); !errors.Is(err, ErrInUse) {
			n.t.Errorf("the key that signs: %v", err)
		}
		if err := n.Drop(n.t.Context(), operator, "unknown"); !errors.Is(err, ErrNoKey) {
			n.t.Errorf("a key that is none: %v", err)
		}
		n.ok(n.Rotate(n.t.Context(), operator, true))
		n.ok(n.Drop(n.t.Context(), operator, old))
		if n.verifies(oldToken) || !n.verifies(n.sign()) || len(n.published()) != 1 {
			n.t.Error("the dropped key is still there")
		}
		if e := n.events()[len(n.events())-1]; e.Action != "key.drop" || e.Actor != operator {
			n.t.Errorf("event %+v", e)
		}
	})
}

// A program that knows more algorithms than the one before it adds the keys that
// are missing. They are ready when every node has had the time to publish them,
// and signing with the others goes on as it was.
func TestNewAlgorithm(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		m, c := newMaster(t), newClock()
		old := openNode(t, storetest.Open(t, url), m, c)
		signer := old.signer()
		c.advance(time.Hour)
		n := openWith(t, c, Config{Store: storetest.Open(t, url), Master: m})
		if n.Ready(jwa.EdDSA) || n.Ready(jwa.PS256) || !n.Ready(jwa.ES256) {
			t.Error("ready before the other node can have published the key")
		}
		if _, err := n.Sign(jwa.EdDSA, "JWT", nil); err != nil {
			t.Error(err)
		}
		if n.signer() != signer || len(n.published()) != 4 {
			t.Errorf("keys %v", n.List())
		}
		c.advance(settle * time.Second)
		old.tick() // a node with the older configuration publishes all the same
		if len(old.published()) != 4 || !n.Ready(jwa.EdDSA) || !n.Ready(jwa.PS256) {
			t.Errorf("keys %v", old.List())
		}
		n.ok(n.Rotate(t.Context(), operator, true))
		if !n.Ready(jwa.EdDSA) {
			t.Error("a new key makes an old algorithm unready")
		}
	})
}

// together runs fn on both nodes at the same time.
func together(a, b node, fn func(n node) error) {
	a.t.Helper()
	errs := make([]error, 2)
	var group sync.WaitGroup
	for i, n := range []node{a, b} {
		group.Go(func() { errs[i] = fn(n) })
	}
	group.Wait()
	a.ok(errors.Join(errs...))
}

func TestTwoNodesStart(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		m, c := newMaster(t), newClock()
		var nodes [3]*Ring
		var group sync.WaitGroup
		for i := range nodes {
			s := storetest.Open(t, url)
			group.Go(func() {
				var err error
				nodes[i], err = Open(t.Context(), Config{Store: s, Master: m, Now: c.now})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
		set, _ := nodes[0].Published()
		for _, r := range nodes[1:] {
			if other, _ := r.Published(); string(other) != string(set) {
				t.Errorf("nodes have different keys: %s and %s", set, other)
			}
		}
		if n := len(nodes[0].List()); n != 4 {
			t.Errorf("%d keys, want 4", n)
		}
	})
}

func TestTwoNodes(t *testing.T) {
	eachPair(t, func(a, b node) {
		old := a.signer()
		if b.signer() != old {
			a.t.Fatal("two nodes sign with two keys")
		}
		a.clock.advance(DefaultRotate - DefaultAhead)
		together(a, b, func(n node) error { return n.Tick(n.t.Context()) })
		a.tick()
		b.tick()
		if len(a.published()) != 2 || !slices.Equal(a.published(), b.published()) {
			a.t.Fatalf("keys %v and %v", a.List(), b.List())
		}
		a.clock.advance(DefaultAhead)
		if a.signer() == old || a.signer() != b.signer() {
			a.t.Error("two nodes sign with two keys after the change")
		}
		together(a, b, func(n node) error { return n.Tick(n.t.Context()) })
		a.clock.advance(DefaultKeep)
		together(a, b, func(n node) error { return n.Tick(n.t.Context()) })
		if len(a.published()) != 1 || !slices.Equal(a.published(), b.published()) {
			a.t.Errorf("keys %v and %v", a.List(), b.List())
		}
		if want := []string{"master.use", "key.create", "key.create", "key.retire", "key.delete"}; !slices.Equal(a.actions(), want) {
			a.t.Errorf("events %v, want %v", a.actions(), want)
		}
	})
}

func TestTwoNodesRotate(t *testing.T) {
	eachPair(t, func(a, b node) {
		for _, immediately := range []bool{true, false} {
			before := len(a.rows())
			together(a, b, func(n node) error { return n.Rotate(n.t.Context(), operator, immediately) })
			a.ok(a.Reload(a.t.Context()))
			b.ok(b.Reload(b.t.Context()))
			if a.signer() != b.signer() || !slices.Equal(a.published(), b.published()) {
				a.t.Errorf("immediately %v: keys %v and %v", immediately, a.List(), b.List())
			}
			// Of two that ask one after the other both rotate; so many and no more.
			if grown := len(a.rows()) - before; grown < 1 || grown > 2 || !immediately && grown != 1 {
				a.t.Errorf("immediately %v: %d more keys", immediately, grown)
			}
			a.clock.advance(time.Minute)
		}
	})
}

// Whoever rotates at once decides with what they saw: the second, who saw the
// key that the first has replaced, has nothing left to do.
func TestRotateOnceForTwo(t *testing.T) {
	eachPair(t, func(a, b node) {
		seen := b.current.Load()
		a.ok(a.Rotate(a.t.Context(), operator, true))
		b.current.Store(seen)
		b.ok(b.replace(b.t.Context(), operator))
		if len(b.published()) != 2 || b.signer() != a.signer() {
			a.t.Errorf("keys %v", b.List())
		}
	})
}

// A token of the other node is good at once, though the key in it is younger
// than all that this node has read.
func TestOtherNodesNewKey(t *testing.T) {
	eachPair(t, func(a, b node) {
		a.ok(a.Rotate(a.t.Context(), operator, true))
		token := a.sign()
		if !b.verifies(token) {
			a.t.Error("the other node's key is not found")
		}
		if b.signer() != a.signer() {
			a.t.Error("the node does not sign with what it read")
		}
	})
}

// Invented kids make a node read only so often in a second; the next second it
// finds what it was too busy for.
func TestUnknownKidFlood(t *testing.T) {
	eachPair(t, func(a, b node) {
		b.clock.advance(time.Second)
		for range 100 {
			if _, err := b.Find(b.t.Context(), model.NewID()); !errors.Is(err, jwk.ErrNotFound) {
				b.t.Fatal(err)
			}
		}
		if b.reloads != maxReloads {
			b.t.Errorf("read %d times", b.reloads)
		}
		a.ok(a.Rotate(a.t.Context(), operator, true))
		token := a.sign()
		if b.verifies(token) {
			b.t.Error("read again within the same second")
		}
		b.clock.advance(time.Second)
		if !b.verifies(token) {
			b.t.Error("the other node's key is not found")
		}
	})
}

func TestUseDuringRotation(t *testing.T) {
	n := openNode(t, storetest.SQLite(t), newMaster(t), newClock())
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				token, err := n.Sign(jwa.ES256, "at+jwt", map[string]any{"sub": "ada"})
				if err != nil {
					t.Error(err)
					return
				}
				if !n.verifies(token) {
					t.Error("a token that was just signed is not valid")
					return
				}
				n.Published()
				n.List()
			}
		})
	}
	for range 5 {
		n.ok(n.Rotate(t.Context(), operator, true))
		n.clock.advance(time.Minute)
		n.tick()
	}
	close(stop)
	group.Wait()
}

// Keys that sign for as short as may be are never more than verifiers take.
func TestShortLives(t *testing.T) {
	c := Config{Store: storetest.SQLite(t), Master: newMaster(t), Algorithms: []jwa.Algorithm{jwa.ES256}, Rotate: 12 * time.Minute, Ahead: 11 * time.Minute}
	n := openWith(t, newClock(), c)
	most := 0
	for range int((DefaultKeep + time.Hour) / (4 * time.Minute)) {
		n.clock.advance(4 * time.Minute)
		n.tick()
		most = max(most, len(n.List()))
	}
	if most < 100 || most > maxPublished {
		t.Errorf("%d keys", most)
	}
}

// Whoever rotates at once, again and again, has more keys than verifiers take: the set
// holds those that count, and a server starts.
func TestRotateOften(t *testing.T) {
	s, m, c := storetest.SQLite(t), newMaster(t), newClock()
	n := openNode(t, s, m, c)
	var tokens []string
	for range maxPublished + 10 {
		tokens = append(tokens, n.sign())
		c.advance(time.Second)
		n.ok(n.Rotate(t.Context(), operator, true))
	}
	again := openNode(t, s, m, c)
	if list := again.published(); len(list) != maxPublished || !slices.Contains(list, again.signer()) {
		t.Errorf("%d keys, and the one that signs is %s", len(list), again.signer())
	}
	text, _ := again.Published()
	set, err := jwk.ParseSet(text)
	n.ok(err)
	for i, token := range tokens {
		_, err := jwt.Verify[map[string]any](t.Context(), token, set, jwt.VerifyOptions{Types: []string{"at+jwt"}, AllowMissingExpiration: true, Now: c.now})
		if published := i >= 11; (err == nil) != published {
			t.Errorf("token %d: %v", i, err)
		}
	}
	c.advance(DefaultKeep)
	again.tick()
	if len(again.rows()) != 1 {
		t.Errorf("%d keys are left", len(again.rows()))
	}
}
