package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/store"
)

// Config says what is written beside the rows.
type Config struct {
	Version string // of the program
	// Derive is keys.Master.Derive, of the server whose database it is.
	Derive func(label string) []byte
	Key    *keys.Wrapped // nil: the master key stays out
	Now    func() time.Time
	// Progress is told how many of all rows are written; may be nil.
	Progress func(done, of int64)
}

// writer is a backup that is being written.
type writer struct {
	Config
	ctx      context.Context
	tar      *tar.Writer
	header   Header
	manifest Manifest
	done, of int64
}

// Write writes all that is in a database. It uses one processor, and little memory.
func Write(ctx context.Context, to io.Writer, from *store.Source, c Config) (Contents, error) {
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
	packed, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return Contents{}, err
	}
	w := &writer{Config: c, ctx: ctx, tar: tar.NewWriter(packed), header: Header{
		Format: format, Version: c.Version, Schema: from.Schema, Database: from.Kind, Issuer: from.Issuer, CreatedAt: c.Now().Unix(), Tables: from.Tables,
	}}
	contents, err := w.write(from)
	if err == nil {
		err = w.tar.Close()
	}
	if err == nil {
		err = packed.Close()
	}
	return contents, err
}

func (w *writer) write(from *store.Source) (c Contents, err error) {
	for _, t := range from.Tables {
		n, err := from.Count(w.ctx, t)
		if err != nil {
			return c, err
		}
		w.of += n
	}
	if _, err := w.document(nameHeader, w.header); err != nil {
		return c, err
	}
	if w.Key != nil {
		if _, err := w.document(nameKey, w.Key); err != nil {
			return c, err
		}
	}
	for _, t := range from.Tables {
		count, err := w.table(from, t)
		if err != nil {
			return c, err
		}
		w.manifest.Tables = append(w.manifest.Tables, count)
	}
	c = Contents{Header: w.header, Manifest: w.manifest, Key: w.Key}
	if c.raw, err = json.Marshal(w.manifest); err != nil {
		return c, err
	}
	if err := w.file(nameManifest, c.raw); err != nil {
		return c, err
	}
	c.mac = mac(w.Derive, c.raw)
	return c, w.file(nameMAC, hex.AppendEncode(nil, c.mac))
}

func (w *writer) document(name string, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return text, w.part(name, text)
}

// part is a file that the manifest knows.
func (w *writer) part(name string, data []byte) error {
	w.manifest.Parts = append(w.manifest.Parts, Part{name, int64(len(data)), hashOf(data)})
	return w.file(name, data)
}

func (w *writer) file(name string, data []byte) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	err := w.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o600, ModTime: time.Unix(w.header.CreatedAt, 0),
	})
	if err == nil {
		_, err = w.tar.Write(data)
	}
	return err
}

// table writes the rows of a table, one in a line.
func (w *writer) table(from *store.Source, t store.Table) (c Count, err error) {
	var sum store.Sum
	var part []byte
	number := 0
	flush := func() error {
		number++
		err := w.part(rowsName(t.Name, number), part)
		part = part[:0]
		w.Progress(w.done, w.of)
		return err
	}
	err = from.Rows(w.ctx, t, func(_ []any, text []byte) error {
		sum.Add(text)
		w.done++
		if len(part) > 0 && len(part)+len(text) > partSize {
			if err := flush(); err != nil {
				return err
			}
		}
		part = append(append(part, text...), '\n')
		if len(part) > maxPart {
			return fmt.Errorf("a row of %s is larger than %d bytes", t.Name, maxPart)
		}
		return nil
	})
	if err == nil && len(part) > 0 {
		err = flush()
	}
	if err != nil {
		return c, err
	}
	last, err := from.Last(w.ctx, t)
	return Count{t.Name, sum.Rows, sum.Digest, last}, err
}

func rowsName(table string, number int) string {
	return fmt.Sprintf("rows/%s/%06d.jsonl", table, number)
}
