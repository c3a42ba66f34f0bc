package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed static
var staticFS embed.FS

// staticTypes names every kind of file that may be embedded. The system's own
// table is not asked: it differs from machine to machine.
var staticTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".png": "image/png",
	".svg": "image/svg+xml",
}

// staticFile is an embedded file under the name that carries its checksum.
type staticFile struct {
	name string // style.0123456789ab.css
	kind string // Content-Type
	data []byte
}

// assets are the embedded files, by the name they have in the source tree.
var assets = sync.OnceValue(func() map[string]staticFile {
	files := map[string]staticFile{}
	err := fs.WalkDir(staticFS, "static", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := staticFS.ReadFile(p)
		if err != nil {
			return err
		}
		name, ext := path.Base(p), path.Ext(p)
		if staticTypes[ext] == "" {
			return fmt.Errorf("web: no content type for the static file %s", name)
		}
		files[name] = staticFile{name: hashed(strings.TrimSuffix(name, ext), ext, data), kind: staticTypes[ext], data: data}
		return nil
	})
	if err != nil {
		panic(err) // only a file added without its content type gets here
	}
	return files
})

// asset returns the path of a static file below the installation's base path:
// asset("style.css") is "/static/style.<checksum>.css". It is empty for a file
// that does not exist.
func asset(name string) string {
	f, ok := assets()[name]
	if !ok {
		return ""
	}
	return "/static/" + f.name
}

// staticFiles serves the embedded files under the names that asset gives them.
// A name is never used for another content, so browsers may keep it for ever.
// Only the last part of the request's path is looked at, and only whole names
// are known, so the handler may be mounted below any prefix.
func staticFiles() http.Handler {
	byName := map[string]staticFile{}
	for _, f := range assets() {
		byName[f.name] = f
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		f, ok := byName[path.Base(r.URL.Path)]
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		case !ok:
			h.Set("Cache-Control", "no-store")
			http.Error(w, "not found", http.StatusNotFound)
		default:
			f.serve(w, r)
		}
	})
}

// serve answers with the file, which a browser may keep for ever.
func (f staticFile) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	// An SVG opened by itself is a document; one that styles itself may.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.data))
}

// hashed is the name of a file that carries the checksum of its content.
func hashed(name, suffix string, data []byte) string {
	sum := sha256.Sum256(data)
	return name + "." + hex.EncodeToString(sum[:6]) + suffix
}
