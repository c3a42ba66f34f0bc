package debugger

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"path"
)

//go:embed static
var staticFS embed.FS

// types names every kind of file that may be embedded. The system's own table is
// not asked: it differs from machine to machine.
var types = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8",
}

// assets are the embedded files, by name.
type assets struct {
	sum   string // of all of them
	files map[string][]byte
}

func readAssets() (*assets, error) {
	entries, err := staticFS.ReadDir("static") // sorted by name
	if err != nil {
		return nil, fmt.Errorf("debugger: %w", err)
	}
	a, sum := &assets{files: map[string][]byte{}}, sha256.New()
	for _, entry := range entries {
		name := entry.Name()
		if types[path.Ext(name)] == "" {
			return nil, fmt.Errorf("debugger: no content type for the static file %s", name)
		}
		data, err := staticFS.ReadFile(path.Join("static", name))
		if err != nil {
			return nil, fmt.Errorf("debugger: %w", err)
		}
		a.files[name] = data
		fmt.Fprintf(sum, "%s %d\n%s", name, len(data), data)
	}
	a.sum = hex.EncodeToString(sum.Sum(nil)[:6])
	return a, nil
}
