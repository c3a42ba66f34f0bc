package resource

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEvents(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"one", "event: beat\ndata: 1\n\n", "beat||1;"},
		{"several", "event: a\nid: l:1\ndata: 1\n\nevent: b\ndata: 2\n\n", "a|l:1|1;b||2;"},
		{"CR LF", "event: a\r\ndata: 1\r\n\r\n", "a||1;"},
		{"no blank behind the colon", "event:a\ndata:1\n\n", "a||1;"},
		{"one blank behind the colon counts", "data:  1 \n\n", "|| 1 ;"},
		{"comments, and fields that are not known", ": hello\nretry: 5\nx\nevent: a\ndata: 1\n\n", "a||1;"},
		{"data without a name", "data: 1\n\n", "||1;"},
		{"a name without data", "event: a\nid: l:1\n\nevent: b\ndata: 2\n\n", "b||2;"},
		{"empty data", "event: a\ndata\n\n", "a||;"},
		{"not finished", "event: a\ndata: 1\n", ""},
		{"no line end", "event: a\ndata: 1", ""},
		{"nothing", "", ""},
	} {
		for how, read := range map[string]func(io.Reader) io.Reader{
			"": func(r io.Reader) io.Reader { return r }, " byte by byte": iotest.OneByteReader,
		} {
			t.Run(row.name+how, func(t *testing.T) {
				got := ""
				stream := newEvents(read(strings.NewReader(row.text)))
				for {
					e, err := stream.next()
					if err != nil {
						if err != io.EOF {
							t.Error(err)
						}
						break
					}
					got += e.name + "|" + e.id + "|" + string(e.data) + ";"
				}
				if got != row.want {
					t.Errorf("%q, want %q", got, row.want)
				}
			})
		}
	}
}

// Whatever a stream says, reading it ends, within bounds, and what it says is
// either taken in, left, or called the feed's fault.
func FuzzStream(f *testing.F) {
	hello := "event: hello\ndata: {\"log\":\"l\",\"sequence\":9,\"resumed\":false,\"heartbeat\":2}\n\n"
	f.Add([]byte(hello + "event: entries\nid: l:7\ndata: [" + plainEntry + "]\n\n"))
	f.Add([]byte(hello + "event: ready\ndata: {\"sequence\":9}\n\nevent: beat\nid: l:9\ndata: {\"sequence\":9,\"at\":1}\n\n"))
	f.Add([]byte(hello + "event: bye\ndata: {\"reason\":\"token_expired\"}\n\n"))
	f.Add([]byte("data: 1\n\r\n: x\n\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		feed, err := NewFeed(FeedConfig{Issuer: feedIssuer, ClientID: "a", ClientSecret: "b", MaxEntries: 100})
		if err != nil {
			t.Fatal(err)
		}
		c := newConnection(feed, func(error) {})
		defer c.alarm.Stop()
		stream := newEvents(strings.NewReader(string(text)))
		for n := 0; ; n++ {
			e, err := stream.next()
			if err == nil {
				err = c.take(e)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if !errors.Is(err, errFeed) && !errors.Is(err, errFull) && !errors.Is(err, errPlanned) && !errors.Is(err, errRenew) {
					t.Fatalf("%v", err)
				}
				break
			}
			if n > len(text) {
				t.Fatal("more events than bytes")
			}
		}
		s := feed.State()
		if s.Entries > 100 || s.Sequence < 0 || s.Log != "" && s.Log != c.log || s.Ready != c.current {
			t.Fatalf("state %+v", s)
		}
	})
}
