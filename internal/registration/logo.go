package registration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"image"
	_ "image/gif" // the formats whose size DecodeConfig tells
	_ "image/jpeg"
	_ "image/png"
	"net/http"
	"sync"

	"github.com/ostiary/ostiary/internal/fetch"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// A person's browser never fetches a logo from where the client has it: that
// would tell its owner who is signing in, and when. The server fetches it in the
// background, keeps it and shows its own copy; until then, and if it is of no
// use, the page shows an initial.
const (
	maxLogo      = 256 << 10 // bytes
	maxLogoSide  = 2048      // pixels
	maxLogos     = 1000      // rows; the oldest goes
	logoLife     = 24 * hour // after which it is fetched again, in seconds
	logoPause    = 10 * 60   // between two attempts for one client, in seconds
	logosWaiting = 64
	logosTried   = 10_000
)

// logos is what waits to be fetched on this node.
type logos struct {
	queue chan model.Client
	mu    sync.Mutex
	tried map[string]int64 // by client and address: when
}

func newLogos() logos { return logos{queue: make(chan model.Client, logosWaiting)} }

// wantLogo asks for the logo of a client, if it has one; nobody waits for it.
func (r *Registrar) wantLogo(c model.Client) {
	if c.LogoURI == "" {
		return
	}
	l, now, key := &r.logos, r.unix(), string(c.ID)+" "+c.LogoURI
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.tried[key]; ok && now-at < logoPause {
		return
	}
	select {
	case l.queue <- c:
		if l.tried == nil || len(l.tried) >= logosTried {
			l.tried = map[string]int64{}
		}
		l.tried[key] = now
	default: // later, when it is shown again
	}
}

// ShownLogo is the hash of the logo that a page can show, "" for none yet.
func (r *Registrar) ShownLogo(c *Client) string {
	if c.logo.Hash == "" || r.unix()-c.logo.FetchedAt > logoLife {
		r.wantLogo(c.Client)
	}
	return c.logo.Hash
}

// FetchLogos fetches the logos that are asked for, until ctx is done.
func (r *Registrar) FetchLogos(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-r.logos.queue:
			if err := r.fetchLogo(ctx, c); err != nil && ctx.Err() == nil {
				r.Logger.InfoContext(ctx, "a logo is not shown", "client", c.ID, "error", err)
			}
		}
	}
}

func (r *Registrar) fetchLogo(ctx context.Context, c model.Client) error {
	d, err := fetch.Get(ctx, r.Fetch, c.LogoURI, fetch.Limits{Bytes: maxLogo})
	if err != nil {
		return err
	}
	kind, err := picture(d.Body)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(d.Body)
	l := model.Logo{
		ClientID: c.ID, URI: c.LogoURI, Type: kind, Body: d.Body, FetchedAt: r.unix(),
		Hash: base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	err = r.Store.Upkeep(ctx, func(tx *store.Tx) error {
		if _, err := tx.Client(c.ID); err != nil { // it may have gone
			return err
		}
		return tx.PutLogo(l, maxLogos)
	})
	r.clients.forget(c.ID)
	return err
}

// picture returns the media type of an image of a kind and size that is shown, by
// what its bytes are and not by what their server calls them. SVG is of no such
// kind: it is a document that can hold a script.
func picture(body []byte) (string, error) {
	kind := http.DetectContentType(body)
	var width, height int
	switch kind {
	case "image/webp":
		width, height = sizeOfWebP(body)
	case "image/png", "image/jpeg", "image/gif":
		c, _, err := image.DecodeConfig(bytes.NewReader(body))
		if err != nil {
			return "", errors.New("it is a broken image")
		}
		width, height = c.Width, c.Height
	default:
		return "", errors.New("it is no PNG, JPEG, GIF or WebP")
	}
	// A few bytes can stand for an image that fills a browser's memory.
	if width < 1 || height < 1 || width > maxLogoSide || height > maxLogoSide {
		return "", errors.New("it must be 1 to 2048 pixels wide and high")
	}
	return kind, nil
}

// sizeOfWebP reads the size of an image, RFC 9649 §2.5 to §2.7; zero for none.
func sizeOfWebP(b []byte) (width, height int) {
	if len(b) < 30 {
		return 0, 0
	}
	switch string(b[12:16]) {
	case "VP8X":
		return 1 + int(b[24]) + int(b[25])<<8 + int(b[26])<<16, 1 + int(b[27]) + int(b[28])<<8 + int(b[29])<<16
	case "VP8L":
		if b[20] == 0x2f {
			return 1 + int(b[21]) + int(b[22]&0x3f)<<8, 1 + int(b[22])>>6 + int(b[23])<<2 + int(b[24]&0x0f)<<10
		}
	case "VP8 ":
		if b[23] == 0x9d && b[24] == 0x01 && b[25] == 0x2a {
			return int(b[26]) + int(b[27]&0x3f)<<8, int(b[28]) + int(b[29]&0x3f)<<8
		}
	}
	return 0, 0
}

// ErrNoLogo says that no logo with that hash is kept.
var ErrNoLogo = errors.New("there is no such logo")

// Logo returns a logo that is kept, by its hash.
//
// Errors: ErrNoLogo.
func (r *Registrar) Logo(ctx context.Context, hash string) (l model.Logo, err error) {
	if sum, err := base64.RawURLEncoding.DecodeString(hash); err != nil || len(sum) != sha256.Size {
		return l, ErrNoLogo
	}
	err = r.Store.View(ctx, func(tx *store.Tx) (err error) { l, err = tx.Logo(hash); return err })
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoLogo
	}
	return l, err
}
