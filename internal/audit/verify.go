package audit

import (
	"context"
	"fmt"

	"github.com/ostiary/ostiary/internal/model"
)

// readAhead is how many entries Verify reads in one transaction.
const readAhead = 1000

// remembered is how many marks a walk remembers at least, to know a copy of an
// entry when it meets one. It bounds the memory, to some 100 MiB.
const remembered = 1 << 20

// Check is what Verify holds the log to, beside itself.
type Check struct {
	// Known is a place in the chain that was written down elsewhere; zero: none.
	Known Point
	// Progress is called now and then with how many entries are verified and how
	// many there are; nil: nobody asks.
	Progress func(done, of int64)
}

// Report is what was verified.
type Report struct {
	Head
	Entries int64
}

// ErrTooOld says that a known place is before the beginning of the chain: the entry
// was swept, or is of an earlier chain.
type ErrTooOld struct{ Known, Oldest int64 }

func (e ErrTooOld) Error() string {
	return fmt.Sprintf("entry %d is not in the chain any more, which begins after %d", e.Known, e.Oldest)
}

// Verify reads the whole log and returns a Broken for the first thing that is not
// as it was written, or ErrTooOld. Entries may be written, sealed and swept
// meanwhile.
func (l *Log) Verify(ctx context.Context, c Check) (Report, error) {
	p, err := l.read(ctx, nil, readAhead)
	if err != nil {
		return Report{}, err
	}
	w := l.walk(p.head)
	for {
		if p.head.Begin.Position > w.last.Position {
			w.last = p.head.Begin // swept while this was reading
		}
		if err := w.known(c.Known); err != nil {
			return Report{}, err
		}
		for _, e := range p.list {
			if err := w.step(e); err != nil {
				return Report{}, err
			}
			if err := w.known(c.Known); err != nil {
				return Report{}, err
			}
		}
		if len(p.list) == 0 {
			break
		}
		if c.Progress != nil {
			c.Progress(w.entries, w.entries+p.head.End.Position-w.last.Position)
		}
		if p, err = l.read(ctx, &w.last, readAhead); err != nil {
			return Report{}, err
		}
	}
	return Report{p.head, w.entries}, w.ends(p, c.Known)
}

// walk goes along the chain.
type walk struct {
	chain, mark *mac
	last        Point
	earlier     int64
	unmarked    int64
	entries     int64
	compared    bool                     // the place that was written down
	seen        [2]map[[16]byte]struct{} // marks, the younger half first
}

func (l *Log) walk(h Head) *walk {
	return &walk{
		chain: newMAC(l.chain), mark: newMAC(l.mark), last: h.Begin, earlier: h.Earlier, unmarked: h.Unmarked,
		seen: [2]map[[16]byte]struct{}{{}, {}},
	}
}

// step holds the next entry to the one before.
func (w *walk) step(e model.Event) error {
	next := w.last.Position + 1
	switch {
	case e.Position == next+1:
		return Broken{next, "the entry is missing"}
	case e.Position > next:
		return Broken{next, fmt.Sprintf("this entry and the following, up to %d, are missing", e.Position-1)}
	case e.Position < next:
		return Broken{e.Position, "there are two entries"}
	case !same(w.chain.seal(e, w.last.Seal), e.Seal):
		return Broken{next, "the entry, its seal or its place is another than when it was sealed"}
	case next <= w.unmarked:
	case !w.mark.marked(e):
		return Broken{next, "the entry was not written by a server with this master key, or was changed before it was sealed"}
	case w.twice(e.Mark):
		return Broken{next, "the entry is a copy of an earlier one"}
	}
	w.last = Point{e.Position, e.Seal}
	w.entries++
	return nil
}

// twice reports whether the mark was met before, and remembers it. Its last 94 bits
// are enough to tell genuine marks apart.
func (w *walk) twice(mark string) bool {
	key := [16]byte([]byte(mark[len(mark)-16:]))
	for _, some := range w.seen {
		if _, ok := some[key]; ok {
			return true
		}
	}
	if len(w.seen[0]) >= remembered {
		w.seen[0], w.seen[1] = map[[16]byte]struct{}{}, w.seen[0]
	}
	w.seen[0][key] = struct{}{}
	return false
}

// known compares a place that was written down elsewhere, when it is reached.
func (w *walk) known(p Point) error {
	switch {
	case w.compared || p.Position == 0 || p.Position > w.last.Position:
		return nil
	case p.Position < w.last.Position, p.Position <= w.earlier:
		return ErrTooOld{p.Position, w.last.Position}
	case !same(p.Seal, w.last.Seal):
		return Broken{p.Position, "the seal is another than the one that was written down"}
	}
	w.compared = true
	return nil
}

// ends holds the last entry to the head, and the whole to what there is: a page
// without entries.
func (w *walk) ends(p page, known Point) error {
	count := p.head.End.Position - p.head.Begin.Position
	switch {
	case w.last.Position < p.head.End.Position:
		return Broken{w.last.Position + 1, fmt.Sprintf("the end of the log is missing, up to %d", p.head.End.Position)}
	case w.last.Position > p.head.End.Position:
		return Broken{p.head.End.Position + 1, "there are entries after the end of the chain"}
	case !same(w.last.Seal, p.head.End.Seal):
		return Broken{w.last.Position, "the seal is another than in the head of the chain"}
	case known.Position > p.head.End.Position:
		return Broken{p.head.End.Position + 1, fmt.Sprintf("the end of the log is missing, up to %d at least, which was written down", known.Position)}
	case p.bounds.First != 0 && p.bounds.First <= p.head.Begin.Position && p.head.Earlier == 0:
		return Broken{p.bounds.First, "there is an entry before the beginning of the chain"}
	case p.bounds.Count != count:
		return Broken{Reason: fmt.Sprintf("it holds %d sealed entries, but its head says %d", p.bounds.Count, count)}
	}
	return nil
}
