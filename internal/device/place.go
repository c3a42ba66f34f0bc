package device

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a list of places.
const (
	MaxPlaces    = 1_000_000
	maxPlaceName = 100 // bytes
	maxPlaceFile = 256 << 20
)

// Places knows where networks are. The zero value knows nothing.
type Places struct {
	names map[netip.Prefix]string
	bits  [2][129]bool // which lengths of prefixes there are, of IPv4 and IPv6
}

// ReadPlaces reads a list of places: comma-separated values (RFC 4180) of two
// columns, a network as 192.0.2.0/24 and its name; what begins with "#" is not
// read. The most specific network of an address tells its place.
func ReadPlaces(from io.Reader) (Places, error) {
	bounded := &io.LimitedReader{R: from, N: maxPlaceFile + 1}
	read := csv.NewReader(bufio.NewReader(bounded))
	read.Comment, read.FieldsPerRecord, read.TrimLeadingSpace, read.ReuseRecord = '#', 2, true, true
	p := Places{names: map[netip.Prefix]string{}}
	interned := map[string]string{} // many networks are at one place
	for {
		record, err := read.Read()
		switch {
		case bounded.N <= 0:
			return Places{}, fmt.Errorf("must have %d MiB or less", maxPlaceFile>>20)
		case errors.Is(err, io.EOF):
			return p, nil
		case err != nil:
			return Places{}, err
		}
		line, _ := read.FieldPos(0)
		name, ok := interned[record[1]]
		if !ok {
			name = strings.Clone(strings.TrimSpace(record[1]))
			interned[name] = name
		}
		if err := p.add(record[0], name); err != nil {
			return Places{}, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

func (p *Places) add(network, name string) error {
	prefix, err := netip.ParsePrefix(strings.TrimSpace(network))
	if err != nil || prefix.Addr().Is4In6() {
		return fmt.Errorf("%q must be a network such as 192.0.2.0/24 or 2001:db8::/32", network)
	}
	if name == "" || len(name) > maxPlaceName || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) }) {
		return fmt.Errorf("the name of a place must be one line of 1 to %d bytes", maxPlaceName)
	}
	if len(p.names) >= MaxPlaces {
		return fmt.Errorf("there must be %d networks or less", MaxPlaces)
	}
	p.names[prefix.Masked()] = name
	p.bits[family(prefix.Addr())][prefix.Bits()] = true
	return nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// Of is the place of an address, "" where it is not known.
func (p Places) Of(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || len(p.names) == 0 {
		return ""
	}
	a = a.Unmap().WithZone("")
	for bits := a.BitLen(); bits >= 0; bits-- {
		if !p.bits[family(a)][bits] {
			continue
		}
		if prefix, err := a.Prefix(bits); err == nil && p.names[prefix] != "" {
			return p.names[prefix]
		}
	}
	return ""
}
