package signal

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/ostiary/ostiary/internal/model"
)

// Batch collects entries as JSON for one reader, who is told of what concerns it
// and of nothing else. It is written by hand: a snapshot may have a million.
type Batch struct {
	Audiences []string // whose the reader is: values of "aud"
	MaxCount  int
	MaxSize   int // bytes; one entry of the log is never divided

	text  []byte
	count int
}

// Add adds an entry of the log, as one for each name that the reader knows the
// person by, and reports whether there was room for it.
func (b *Batch) Add(r model.Revocation) bool {
	if !b.concerns(r) {
		return true
	}
	length, count := len(b.text), b.count
	if r.Kind == model.KindSubject && r.Subjects != nil {
		for _, name := range b.names(r) {
			b.add(r, name)
		}
	} else {
		b.add(r, r.Value)
	}
	if count > 0 && (b.count > b.MaxCount || len(b.text) > b.MaxSize) {
		b.text, b.count = b.text[:length], count
		return false
	}
	return true
}

// Count is how many entries were added.
func (b *Batch) Count() int { return b.count }

// AppendTo appends the entries as a JSON array and empties the batch.
func (b *Batch) AppendTo(to []byte) []byte {
	to = append(to, '[')
	to = append(to, b.text...)
	to = append(to, ']')
	b.text, b.count = b.text[:0], 0
	return to
}

func (b *Batch) concerns(r model.Revocation) bool {
	return r.Audiences == nil || slices.ContainsFunc(r.Audiences, func(a string) bool { return slices.Contains(b.Audiences, a) })
}

// names lists the names of a person that the reader can have seen.
func (b *Batch) names(r model.Revocation) []string {
	all := slices.Clone(r.Subjects[""])
	for _, audience := range b.Audiences {
		all = append(all, r.Subjects[audience]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (b *Batch) add(r model.Revocation, value string) {
	t := b.text
	if b.count > 0 {
		t = append(t, ',')
	}
	b.count++
	t = append(t, `{"sequence":`...)
	t = strconv.AppendInt(t, r.Sequence, 10)
	t = append(t, `,"kind":`...)
	t = appendText(t, string(r.Kind))
	if r.Kind != model.KindAll {
		t = append(t, `,"value":`...)
		t = appendText(t, value)
	}
	switch r.Kind {
	case model.KindSubject, model.KindClient, model.KindAll:
		t = append(t, `,"cut_off":`...)
		t = strconv.AppendInt(t, r.CutOff, 10)
	}
	t = append(t, `,"cause":`...)
	t = appendText(t, string(r.Cause))
	t = append(t, `,"at":`...)
	t = strconv.AppendInt(t, r.At, 10)
	t = append(t, `,"drop_at":`...)
	t = strconv.AppendInt(t, r.DropAt, 10)
	b.text = append(t, '}')
}

// appendText appends a JSON string. Nearly all are of letters and digits.
func appendText(to []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			text, err := json.Marshal(s)
			if err != nil {
				panic(err) // cannot be: strings always marshal
			}
			return append(to, text...)
		}
	}
	to = append(to, '"')
	to = append(to, s...)
	return append(to, '"')
}
