package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// file is an outlet that appends to a file. Whoever rotates it moves or removes it,
// and the next lines go into a new one of its name: nobody has to be told.
type file struct {
	path string
	f    *os.File // nil: not open
}

// open opens the file, making it for its owner only, and ends a line that somebody
// has begun who was killed: what is to follow it comes once more, whole.
func (o *file) open() error {
	f, err := os.OpenFile(o.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("%w: let this user write it, or choose another", err)
	}
	whole, err := o.whole(f)
	if err == nil && !whole {
		_, err = f.WriteString("\n")
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o.f = f
	return nil
}

// whole reports whether a file ends with its last line.
func (o *file) whole(f *os.File) (bool, error) {
	about, err := f.Stat()
	if err != nil || !about.Mode().IsRegular() || about.Size() == 0 {
		return true, err
	}
	reader, err := os.Open(o.path)
	if errors.Is(err, fs.ErrPermission) {
		return true, nil // whoever may only write
	}
	if err != nil {
		return false, err
	}
	defer reader.Close()
	last := make([]byte, 1)
	if _, err := reader.ReadAt(last, about.Size()-1); err != nil {
		return false, err
	}
	return last[0] == '\n', nil
}

func (o *file) write(_ context.Context, b lines) error {
	if o.f != nil && o.moved() {
		if err := o.close(); err != nil {
			return err
		}
	}
	if o.f == nil {
		if err := o.open(); err != nil {
			return err
		}
	}
	_, err := o.f.Write(b.text)
	if about, failed := o.f.Stat(); err == nil && failed == nil && about.Mode().IsRegular() {
		err = o.f.Sync()
	}
	if err != nil { // what is there of the lines is not known: open looks
		return errors.Join(err, o.close())
	}
	return nil
}

// moved reports whether the file of that name is another one now, or none.
func (o *file) moved() bool {
	now, err := os.Stat(o.path)
	if err != nil {
		return true
	}
	ours, err := o.f.Stat()
	return err != nil || !os.SameFile(now, ours)
}

func (o *file) close() error {
	if o.f == nil {
		return nil
	}
	f := o.f
	o.f = nil
	return f.Close()
}
