package upstream_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// fakeDirectory answers as its test says: for what slapd cannot be made to say. It
// speaks in clear, on this machine.
type fakeDirectory struct {
	address string
	// answer returns what follows on an operation; nil: nothing, for ever.
	answer func(id int64, op *ber.Packet) []*ber.Packet
	// raw is sent as it is, in answer to anything.
	raw []byte

	mu   sync.Mutex
	said []string // operations as they came
}

func (f *fakeDirectory) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.address = "ldap://" + l.Addr().String()
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { f.serve(conn) })
		}
	})
}

func (f *fakeDirectory) serve(conn net.Conn) {
	defer conn.Close()
	for {
		p, err := ber.ReadPacket(conn)
		if err != nil || len(p.Children) < 2 {
			return
		}
		op := p.Children[1]
		f.mu.Lock()
		f.said = append(f.said, describe(op))
		f.mu.Unlock()
		if f.raw != nil {
			conn.Write(f.raw)
			continue
		}
		id, _ := p.Children[0].Value.(int64)
		for _, a := range f.answer(id, op) {
			conn.Write(a.Bytes())
		}
	}
}

// describe writes an operation in a word or two.
func describe(op *ber.Packet) string {
	switch op.Tag {
	case ldap.ApplicationBindRequest:
		return "bind " + op.Children[1].Value.(string)
	case ldap.ApplicationSearchRequest:
		filter, _ := ldap.DecompileFilter(op.Children[6])
		return "search " + filter
	case ldap.ApplicationExtendedRequest:
		return "extended " + op.Children[0].Data.String()
	}
	return fmt.Sprintf("operation %d", op.Tag)
}

func (f *fakeDirectory) heard() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.said...)
}

// result is an LDAPResult (RFC 4511 §4.1.9).
func result(id int64, tag ber.Tag, code int64, text string) *ber.Packet {
	message := ber.NewSequence("")
	message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	op.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	op.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, text, ""))
	message.AppendChild(op)
	return message
}

// entry is a SearchResultEntry (RFC 4511 §4.5.2).
func entry(id int64, dn string, attributes ...string) *ber.Packet {
	message := ber.NewSequence("")
	message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	op.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, dn, ""))
	list := ber.NewSequence("")
	for i := 0; i < len(attributes); i += 2 {
		attribute := ber.NewSequence("")
		attribute.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, attributes[i], ""))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		set.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, attributes[i+1], ""))
		attribute.AppendChild(set)
		list.AppendChild(attribute)
	}
	op.AppendChild(list)
	message.AppendChild(op)
	return message
}

// countingDial counts the connections that are open.
type countingDial struct {
	mu         sync.Mutex
	open, most int
}

type countedConn struct {
	net.Conn
	once sync.Once
	d    *countingDial
}

func (d *countingDial) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	d.most = max(d.most, d.open)
	return &countedConn{Conn: conn, d: d}, nil
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		c.d.open--
	})
	return c.Conn.Close()
}
