package keys

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
	"github.com/ostiary/ostiary/jwt"
)

// Ring holds the server's signing keys. Its methods may be called from many
// goroutines at once.
type Ring struct {
	store               *store.Store
	master              Master
	now                 func() time.Time
	log                 *slog.Logger
	make                func(jwa.Algorithm) (*jwk.Key, error)
	algorithms          []jwa.Algorithm
	rotate, ahead, keep int64 // seconds
	current             atomic.Pointer[snapshot]

	reloading  sync.Mutex // an older reading must not replace a younger one
	reloadedAt int64      // the second of the last reading, under reloading
	reloads    int        // readings in that second, under reloading
}

// snapshot is what the ring knows at one time. It is never changed.
type snapshot struct {
	entries []entry                       // by algorithm, then in the order in which they sign
	byID    map[model.KeyID]entry         // the same
	lines   map[string][]model.SigningKey // by algorithm: those that sign or will
	set     []byte                        // the published JWK set
	etag    string
}

type entry struct {
	row     model.SigningKey
	private *jwk.Key
	public  *jwk.Key
	signers *sync.Map // "typ" to *jwt.Signer: the few that the server's code names
}

var _ jwk.Source = (*Ring)(nil)

// Sign returns claims as a compact JWS with the given "typ", signed by the key
// that is active for alg now. The typ is a constant of the caller's, never
// taken from a request: what is made for it is kept. Claims without "iat" get
// the present time. It returns ErrNoKey when alg is not configured.
func (r *Ring) Sign(alg jwa.Algorithm, typ string, claims any) (string, error) {
	e, ok := r.current.Load().signer(alg, r.unix())
	if !ok {
		return "", fmt.Errorf("%w for %q", ErrNoKey, alg)
	}
	if s, ok := e.signers.Load(typ); ok {
		return s.(*jwt.Signer).Sign(claims)
	}
	s, err := jwt.NewSigner(e.private, jwt.SignOptions{Algorithm: alg, Type: typ, Now: r.now})
	if err != nil {
		return "", err
	}
	e.signers.Store(typ, s)
	return s.Sign(claims)
}

// Find returns the published key with the identifier kid, to verify the
// server's own tokens with. They all name their key, so an empty kid finds
// nothing. One that is not known is looked for in the database, at most once a
// second, because another node may have rotated a moment ago. The errors wrap
// jwk.ErrNotFound, or jwk.ErrUnavailable when the database does not answer.
func (r *Ring) Find(ctx context.Context, kid string) ([]*jwk.Key, error) {
	if kid == "" {
		return nil, fmt.Errorf("%w: the server's tokens name their key", jwk.ErrNotFound)
	}
	key, ok := r.current.Load().published(kid, r.unix())
	if !ok {
		if err := r.reload(ctx, false); err != nil {
			return nil, fmt.Errorf("%w: %w", jwk.ErrUnavailable, err)
		}
		key, ok = r.current.Load().published(kid, r.unix())
	}
	if !ok {
		return nil, fmt.Errorf("%w: kid %.64q", jwk.ErrNotFound, kid)
	}
	return []*jwk.Key{key}, nil
}

// Published returns the JWK set of all keys that a verifier may meet, RFC 7517
// §5, and its strong entity tag, RFC 9110 §8.8.3. The caller must not change
// the bytes.
func (r *Ring) Published() (set []byte, etag string) {
	s := r.current.Load()
	return s.set, s.etag
}

// List returns the keys that are not dropped, by algorithm and age, without
// their sealed part.
func (r *Ring) List() []model.SigningKey {
	s := r.current.Load()
	list := make([]model.SigningKey, 0, len(s.entries))
	for _, e := range s.entries {
		row := e.row
		row.Sealed = ""
		list = append(list, row)
	}
	return list
}

// settle is after how many seconds every node publishes a key that one of them
// has made: each of them follows every two.
const settle = 5

// Ready reports whether what is signed in an algorithm can be verified by whoever
// fetches the keys, from any node. It is not so for a moment after an upgrade has
// brought a new algorithm; the keys of a first start are ready at once, because
// nobody has fetched any before.
func (r *Ring) Ready(alg jwa.Algorithm) bool {
	entries, first, found := r.current.Load().entries, int64(math.MaxInt64), false
	for _, e := range entries {
		if e.row.Algorithm == string(alg) {
			first, found = min(first, e.row.CreatedAt), true
		}
	}
	younger := slices.ContainsFunc(entries, func(e entry) bool { return e.row.CreatedAt < first })
	return found && (!younger || first+settle <= r.unix())
}

// Derive returns 32 bytes for one use that label names, from the master key:
// the same on every node and after every start.
func (r *Ring) Derive(label string) []byte { return r.master.derive(labelDerive + label) }

// Reload reads the keys from the database: what another node or the command
// changed is in use when it returns. It returns ErrCorrupt, and then the ring
// goes on with what it has.
func (r *Ring) Reload(ctx context.Context) error { return r.reload(ctx, true) }

// maxReloads is how often in a second an unknown kid makes the ring read the
// database: enough to meet the key that another node made a moment ago, too few
// for a flood of invented kids to matter.
const maxReloads = 10

// reload reads the keys; unless it is forced, only if that was not done too often
// in this second.
func (r *Ring) reload(ctx context.Context, force bool) error {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	at := r.unix()
	if r.reloadedAt != at {
		r.reloadedAt, r.reloads = at, 0
	}
	if !force && r.reloads >= maxReloads {
		return nil
	}
	r.reloads++
	var rows []model.SigningKey
	err := r.store.View(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.SigningKeys()
		return err
	})
	if err != nil {
		return err
	}
	s, err := r.build(rows)
	if err != nil {
		return err
	}
	r.current.Store(s)
	return nil
}

// build makes a snapshot of rows, opening only what the current one has not.
func (r *Ring) build(rows []model.SigningKey) (*snapshot, error) {
	var known map[model.KeyID]entry
	if old := r.current.Load(); old != nil {
		known = old.byID
	}
	slices.SortFunc(rows, order)
	s := &snapshot{entries: make([]entry, len(rows)), byID: map[model.KeyID]entry{}, lines: map[string][]model.SigningKey{}}
	var opening errgroup.Group // an RSA key takes milliseconds, and a start waits for all
	opening.SetLimit(runtime.GOMAXPROCS(0))
	for i, row := range rows {
		e, ok := known[row.ID]
		if ok && e.row.Sealed == row.Sealed && e.row.Algorithm == row.Algorithm {
			s.entries[i] = e
			continue
		}
		opening.Go(func() (err error) { s.entries[i], err = r.open(row); return err })
	}
	if err := opening.Wait(); err != nil {
		return nil, err
	}
	for i, row := range rows {
		s.entries[i].row = row
		s.byID[row.ID] = s.entries[i]
		if row.DropAt == 0 {
			s.lines[row.Algorithm] = append(s.lines[row.Algorithm], row)
		}
	}
	if err := s.publish(); err != nil {
		return nil, err
	}
	return s, nil
}

// open unseals a stored key and makes sure that it is the one that its row
// says, so that a row changed by hand cannot make a key serve another purpose.
func (r *Ring) open(row model.SigningKey) (entry, error) {
	text, err := r.master.open(purposeSigningKey, string(row.ID), row.Sealed)
	if err != nil {
		return entry{}, fmt.Errorf("%w (key %s %w)", ErrCorrupt, row.ID, err)
	}
	defer clear(text)
	private, err := jwk.Parse(text)
	if err != nil {
		return entry{}, fmt.Errorf("%w (key %s: %w)", ErrCorrupt, row.ID, err)
	}
	if private.ID() != string(row.ID) || string(private.Algorithm()) != row.Algorithm || !private.Private() {
		return entry{}, fmt.Errorf("%w (key %s is another one inside)", ErrCorrupt, row.ID)
	}
	public, err := private.Public()
	if err != nil {
		return entry{}, fmt.Errorf("%w (key %s: %w)", ErrCorrupt, row.ID, err)
	}
	return entry{row: row, private: private, public: public, signers: &sync.Map{}}, nil
}

// maxPublished is how many keys a set has at most: those who verify take no larger one.
const maxPublished = 128

// publish makes the published set. Whoever rotates again and again gets more keys than
// it may hold: those that end first are left out, because without a set nothing works.
func (s *snapshot) publish() error {
	entries := s.entries
	if len(entries) > maxPublished {
		entries = slices.SortedStableFunc(slices.Values(entries), func(a, b entry) int { return cmp.Compare(ending(b.row), ending(a.row)) })[:maxPublished]
		slices.SortFunc(entries, func(a, b entry) int { return order(a.row, b.row) })
	}
	public := make([]*jwk.Key, 0, len(entries))
	for _, e := range entries {
		public = append(public, e.public)
	}
	set, err := jwk.NewSet(public...)
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrCorrupt, err)
	}
	if s.set, err = set.MarshalJSON(); err != nil {
		return err
	}
	sum := sha256.Sum256(s.set)
	s.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	return nil
}

func (s *snapshot) published(kid string, now int64) (*jwk.Key, bool) {
	e, ok := s.byID[model.KeyID(kid)]
	return e.public, ok && !dropped(e.row, now)
}

// signer decides by the clock, and so needs no reload when the time of a
// successor comes.
func (s *snapshot) signer(alg jwa.Algorithm, now int64) (entry, bool) {
	e, ok := s.byID[active(s.lines[string(alg)], now)]
	return e, ok
}

func (r *Ring) unix() int64 { return r.now().Unix() }

// order sorts keys by algorithm and then as they sign one after another.
func order(a, b model.SigningKey) int {
	return cmp.Or(cmp.Compare(a.Algorithm, b.Algorithm), cmp.Compare(a.ActiveAt, b.ActiveAt), cmp.Compare(a.ID, b.ID))
}

// ending is when a key ends, as far as that is set.
func ending(k model.SigningKey) int64 {
	if k.DropAt == 0 {
		return math.MaxInt64
	}
	return k.DropAt
}

func dropped(k model.SigningKey, now int64) bool { return k.DropAt != 0 && k.DropAt <= now }
