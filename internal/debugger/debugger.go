// Package debugger is the token debugger: one page on which a developer pastes a
// JSON Web Token, reads what is in it, verifies, decrypts, changes and signs it.
//
// The page computes in the browser. Its policy lets it connect to nothing, and
// this package has no address that takes a token or a key. The one thing that a
// browser tells it is the origin of a key set that a person asked to fetch, so
// that the answer can permit exactly that origin (fetch.go).
package debugger

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// Path is where the page is, below the base path of an installation.
const Path = "/debugger"

// Config is what an installation may say about the page.
type Config struct {
	Name string // of the installation; empty: "Ostiary"
	Base string // path of the issuer, "" or like "/auth"
}

// Debugger serves the page and its files. It is safe for concurrent use.
type Debugger struct {
	page []byte
	mux  *http.ServeMux
}

//go:embed page.html
var pageFS embed.FS

// New returns the page, or an error where the base path is none.
func New(c Config) (*Debugger, error) {
	if c.Name == "" {
		c.Name = "Ostiary"
	}
	c.Base = strings.TrimRight(c.Base, "/")
	if c.Base != "" && (c.Base[0] != '/' || strings.HasPrefix(c.Base, "//")) {
		return nil, fmt.Errorf("debugger: the base path %q must begin with one slash", c.Base)
	}
	assets, err := readAssets()
	if err != nil {
		return nil, err
	}
	view, err := template.ParseFS(pageFS, "page.html")
	if err != nil {
		return nil, fmt.Errorf("debugger: %w", err)
	}
	var page bytes.Buffer
	files := c.Base + Path + "/" + assets.sum
	if err := view.Execute(&page, map[string]string{"Name": c.Name, "Home": c.Base + "/", "Files": files}); err != nil {
		return nil, fmt.Errorf("debugger: %w", err)
	}
	d := &Debugger{page: page.Bytes(), mux: http.NewServeMux()}
	d.mux.HandleFunc("GET "+c.Base+Path, d.show)
	d.mux.HandleFunc("GET "+c.Base+Path+"/fetch", serveWorker)
	d.mux.Handle("GET "+files+"/{name}", assets)
	d.mux.HandleFunc("GET "+c.Base+Path+"/", notFound)
	return d, nil
}

// ServeHTTP answers for Path and all that is below it.
func (d *Debugger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	d.mux.ServeHTTP(w, r)
}

// pagePolicy is the Content-Security-Policy of the page. Whatever happens on it,
// it sends nothing anywhere: it may not connect, post a form or load an image
// from another host. Trusted Types turn off every way to make markup or a script
// from a text, except for the address of the worker that fetches a key set.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; worker-src 'self'; connect-src 'none'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types ostiary-debugger"

// featurePolicy takes away what the page does not use.
const featurePolicy = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), " +
	"publickey-credentials-create=(), publickey-credentials-get=(), usb=()"

func (d *Debugger) show(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(d.page)))
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", featurePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Cache-Control", "no-store")
	w.Write(d.page) // a browser that went away is nobody's error
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "not found", http.StatusNotFound)
}

// ServeHTTP serves a file. Its address holds the checksum of all files together,
// since they import each other by their plain names; so it is never used for
// another content, and browsers may keep it for ever.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	data, ok := a.files[name]
	if !ok {
		notFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", types[path.Ext(name)])
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Security-Policy", "default-src 'none'") // an SVG opened by itself is a document
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}
