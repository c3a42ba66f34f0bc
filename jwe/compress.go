package jwe

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
)

// deflated is the one value of "zip", RFC 7516 §4.1.3.
const deflated = "DEF"

const (
	// DefaultMaxDecompressed is how long the text of a compressed message may be
	// unless MaxDecompressed says otherwise.
	DefaultMaxDecompressed = 256 << 10

	// Text that people or programs write shrinks to a tenth; what shrinks to less
	// than a hundredth was made to. Short texts are let off.
	maxRatio      = 100
	freeFromRatio = 16 << 10
)

// deflate compresses a plaintext, RFC 1951.
func deflate(plaintext []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err != nil {
		return nil, fmt.Errorf("jwe: compress: %w", err)
	}
	if _, err := w.Write(plaintext); err != nil {
		return nil, fmt.Errorf("jwe: compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("jwe: compress: %w", err)
	}
	return out.Bytes(), nil
}

// inflate expands a compressed plaintext and stops as soon as it is too long
// (RFC 8725 §3.6 and CVE-2024-28180): a kilobyte can hold a megabyte.
func inflate(compressed []byte, limit int) ([]byte, error) {
	limit = min(limit, max(freeFromRatio, maxRatio*len(compressed)))
	source := bytes.NewReader(compressed)
	r := flate.NewReader(source)
	defer r.Close()
	plaintext, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it does not decompress", ErrCompression)
	case len(plaintext) > limit:
		return nil, fmt.Errorf("%w: %d bytes expand to more than %d", ErrCompression, len(compressed), limit)
	case source.Len() != 0:
		return nil, fmt.Errorf("%w: %d bytes behind the compressed text", ErrCompression, source.Len())
	}
	return plaintext, nil
}
