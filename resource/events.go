package resource

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxIdle is how many lines without an event may follow one another.
const maxIdle = 1000

// events reads a stream of Server-Sent Events (HTML Living Standard §9.2), as
// far as the feed uses them: an event has one line of data, and lines end in LF
// or CR LF. What is longer than a bound ends the stream.
type events struct {
	lines *bufio.Reader
	data  []byte
}

// event is good until the next one is read.
type event struct {
	name string
	id   string // "" if it has none
	data []byte
}

func newEvents(r io.Reader) *events { return &events{lines: bufio.NewReaderSize(r, maxEvent)} }

// next returns the next event that has data. It returns io.EOF at the end of the
// stream; what was not finished by then is none.
func (s *events) next() (event, error) {
	var e event
	seen := false
	s.data = s.data[:0]
	for range maxIdle {
		line, err := s.lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return event{}, misunderstood("a line of more than %d bytes", maxEvent)
		}
		if err != nil {
			return event{}, err
		}
		line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
		if len(line) == 0 {
			if seen {
				e.data = s.data
				return e, nil
			}
			e = event{} // without data it is not dispatched
			continue
		}
		field, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(field) {
		case "event":
			e.name = string(value[:min(len(value), maxWord)])
		case "id":
			if len(value) > maxLogID+20 {
				return event{}, misunderstood("an id of %d bytes", len(value))
			}
			e.id = string(value)
		case "data":
			if seen {
				return event{}, misunderstood("an event with two lines of data")
			}
			seen = true
			s.data = append(s.data, value...)
		}
	}
	return event{}, misunderstood("%d lines without an event", maxIdle)
}
