package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/store"
)

// Verify reads a backup from its beginning to its end, and returns what is in it: each
// part has its hash, each row fits its table, and each table has its sum. That nobody
// has made all of it up, Genuine tells.
//
// It returns ErrDamaged and ErrNewer.
func Verify(ctx context.Context, from io.Reader) (Contents, error) {
	return read(ctx, from, func(store.Table, [][]any) error { return nil })
}

// Load puts a backup that was verified into a database that is empty, and commits. It
// reads it again, and holds it to what was verified.
func Load(ctx context.Context, from io.Reader, verified Contents, into *store.Target, progress func(done, of int64)) error {
	if err := into.Expect(verified.Tables); err != nil {
		return errors.Join(err, into.Undo(ctx))
	}
	done, of := int64(0), verified.Rows()
	again, err := read(ctx, from, func(t store.Table, rows [][]any) error {
		done += int64(len(rows))
		progress(done, 2*of)
		return into.Add(ctx, t, rows)
	})
	if err == nil && !bytes.Equal(again.raw, verified.raw) {
		err = fmt.Errorf("%w: it was changed while it was read", ErrDamaged)
	}
	if err != nil {
		return errors.Join(err, into.Undo(ctx))
	}
	var want []store.Filled
	for i, c := range verified.Manifest.Tables {
		want = append(want, store.Filled{Table: verified.Tables[i], Sum: store.Sum{Rows: c.Rows, Digest: c.Digest}, Last: c.Last})
	}
	return into.Commit(ctx, want, func() {
		if done++; done%1000 == 0 {
			progress(done, 2*of)
		}
	})
}

// rowsAtOnce is how many rows are handed on together.
const rowsAtOnce = 1000

// reader is a backup that is being read.
type reader struct {
	Contents
	tar   *tar.Reader
	found Manifest
	each  func(store.Table, [][]any) error
	table int // that of the next rows
	part  int // the number of the next part of it
	sum   store.Sum
}

func read(ctx context.Context, from io.Reader, each func(store.Table, [][]any) error) (Contents, error) {
	source := bufio.NewReaderSize(from, 1<<20)
	unpacked, err := gzip.NewReader(source)
	if err != nil {
		return Contents{}, damaged("it is not a backup of Ostiary's (%v)", err)
	}
	unpacked.Multistream(false)
	r := &reader{tar: tar.NewReader(unpacked), each: each, part: 1}
	if err := r.read(ctx); err != nil {
		return Contents{}, err
	}
	// Nothing may come after the end: nobody has vouched for it.
	if n, err := io.Copy(io.Discard, io.LimitReader(unpacked, maxPart)); err != nil || n > 1<<20 {
		return Contents{}, damaged("something follows its end (%v)", err)
	}
	if _, err := source.ReadByte(); !errors.Is(err, io.EOF) {
		return Contents{}, damaged("something follows its end")
	}
	return r.Contents, nil
}

func damaged(reason string, args ...any) error {
	return fmt.Errorf("%w: "+reason, append([]any{ErrDamaged}, args...)...)
}

// read goes through the files in their order.
func (r *reader) read(ctx context.Context) error {
	if err := r.readHeader(ctx); err != nil {
		return err
	}
	for first := true; ; first = false {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, data, err := r.next()
		switch {
		case err != nil:
			return err
		case name == nameManifest:
			return r.readManifest(data)
		case name == nameKey && first:
			r.Key = &keys.Wrapped{}
			if err := strict(data, r.Key); err != nil {
				return damaged("the master key in it cannot be read")
			}
		default:
			if err := r.readRows(name, data); err != nil {
				return err
			}
		}
		if len(r.found.Parts) == maxParts {
			return damaged("it has too many parts")
		}
		r.found.Parts = append(r.found.Parts, Part{name, int64(len(data)), hashOf(data)})
	}
}

// next returns the next file of the tar.
func (r *reader) next() (string, []byte, error) {
	h, err := r.tar.Next()
	if err != nil {
		return "", nil, damaged("it ends too early (%v)", err)
	}
	if h.Typeflag != tar.TypeReg || h.Size < 0 || h.Size > maxPart {
		return "", nil, damaged("there is something in it that does not belong there")
	}
	data, err := io.ReadAll(io.LimitReader(r.tar, h.Size+1))
	if err != nil || int64(len(data)) != h.Size {
		return "", nil, damaged("it ends too early, or was changed (%v)", err)
	}
	return h.Name, data, nil
}

func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func (r *reader) readHeader(ctx context.Context) error {
	name, data, err := r.next()
	if err != nil {
		return err
	}
	if name != nameHeader {
		return damaged("it does not begin as a backup of Ostiary's")
	}
	// Of a newer form nothing but its number and who made it is sure to be there.
	if err := json.Unmarshal(data, &r.Header); err != nil {
		return damaged("what it says of itself cannot be read")
	}
	if r.Format != format {
		return fmt.Errorf("%w (%s): restore it with that version", ErrNewer, r.Version)
	}
	if err := strict(data, &r.Header); err != nil || len(r.Tables) > maxTables {
		return damaged("what it says of itself cannot be read")
	}
	err = store.CheckTables(ctx, r.Tables, r.Schema)
	switch {
	case errors.Is(err, store.ErrNewerSchema):
		return fmt.Errorf("%w (%s): install that version or a later one, and restore it with that (%w)", ErrNewer, r.Version, err)
	case err != nil:
		return fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	r.found.Parts = append(r.found.Parts, Part{name, int64(len(data)), hashOf(data)})
	return nil
}

// readRows reads a part with rows. Tables come in the order of the header.
func (r *reader) readRows(name string, data []byte) error {
	for r.table < len(r.Tables) && name != rowsName(r.Tables[r.table].Name, r.part) {
		r.endTable()
	}
	if r.table == len(r.Tables) {
		return damaged("%q does not belong there", name)
	}
	if len(data) == 0 {
		return damaged("%q has nothing in it", name)
	}
	r.part++
	t := r.Tables[r.table]
	var rows [][]any
	for line := range bytes.Lines(data) {
		text := bytes.TrimSuffix(line, []byte("\n"))
		r.sum.Add(text)
		values, err := t.ParseRow(text)
		if err != nil {
			return damaged("%v", err)
		}
		if rows = append(rows, values); len(rows) == rowsAtOnce {
			if err := r.each(t, rows); err != nil {
				return err
			}
			rows = nil
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return r.each(t, rows)
}

func (r *reader) endTable() {
	r.found.Tables = append(r.found.Tables, Count{Name: r.Tables[r.table].Name, Rows: r.sum.Rows, Digest: r.sum.Digest})
	r.table, r.part, r.sum = r.table+1, 1, store.Sum{}
}

// readManifest holds what was found to what was written.
func (r *reader) readManifest(data []byte) error {
	r.raw = data
	if err := strict(data, &r.Manifest); err != nil {
		return damaged("its list of parts cannot be read")
	}
	for r.table < len(r.Tables) {
		r.endTable()
	}
	for i, p := range r.found.Parts {
		if i >= len(r.Manifest.Parts) || r.Manifest.Parts[i] != p {
			return damaged("%s is not as it was written", p.Name)
		}
	}
	sameTable := func(a, b Count) bool {
		return a.Name == b.Name && a.Rows == b.Rows && a.Digest == b.Digest && b.Last >= 0
	}
	if len(r.Manifest.Parts) != len(r.found.Parts) || !slices.EqualFunc(r.found.Tables, r.Manifest.Tables, sameTable) {
		return damaged("parts of it are missing")
	}
	name, text, err := r.next()
	if err != nil {
		return err
	}
	if r.mac, err = hex.DecodeString(string(text)); name != nameMAC || err != nil {
		return damaged("its seal is missing")
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return damaged("something follows its end")
	}
	return nil
}
