package device

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestPlaces(t *testing.T) {
	p, err := ReadPlaces(strings.NewReader("# ours\n192.0.2.0/24,Kyiv office\n192.0.2.128/25, \"Lviv, second floor\"\n10.0.0.0/8,Network\n2001:db8::/32,東京\n0.0.0.0/0,Somewhere\n"))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"192.0.2.1": "Kyiv office", "192.0.2.200": "Lviv, second floor", "::ffff:192.0.2.1": "Kyiv office", "10.1.2.3": "Network",
		"2001:db8::1": "東京", "2001:db9::1": "", "198.51.100.1": "Somewhere", "fe80::1%eth0": "", "": "", "nobody": "",
	} {
		if got := p.Of(address); got != want {
			t.Errorf("%s is at %q, want %q", address, got, want)
		}
	}
	if got := (Places{}).Of("192.0.2.1"); got != "" {
		t.Errorf("without a list: %q", got)
	}
}

func TestPlacesRefused(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0,Kyiv":                         "line 1: \"192.0.2.0\" must be a network",
		"192.0.2.0/33,Kyiv":                      "must be a network",
		"::ffff:192.0.2.0/120,Kyiv":              "must be a network",
		"192.0.2.0/24":                           "wrong number of fields",
		"192.0.2.0/24,Kyiv,UA":                   "wrong number of fields",
		"\n10.0.0.0/8,\n":                        "line 2: the name of a place",
		"10.0.0.0/8,\"a\nb\"":                    "one line",
		"10.0.0.0/8,a\u202eb":                    "one line",
		"10.0.0.0/8," + strings.Repeat("x", 101): "1 to 100 bytes",
		"10.0.0.0/8,\xff":                        "one line",
		"10.0.0.0/8,\"open":                      "quote",
	} {
		if _, err := ReadPlaces(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	many, write := io.Pipe()
	go func() {
		for i := range MaxPlaces + 1 {
			if _, err := fmt.Fprintf(write, "10.%d.%d.%d/32,x\n", i>>16, i>>8&255, i&255); err != nil {
				return
			}
		}
		write.Close()
	}()
	if _, err := ReadPlaces(many); err == nil || !strings.Contains(err.Error(), "networks or less") {
		t.Errorf("too many: %v", err)
	}
	many.Close()
	if _, err := ReadPlaces(endless{}); err == nil || !strings.Contains(err.Error(), "MiB or less") {
		t.Errorf("endless: %v", err)
	}
}

// endless is a file without an end, or a line.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '#'
	}
	if len(b) > 0 {
		b[len(b)-1] = '\n'
	}
	return len(b), nil
}
