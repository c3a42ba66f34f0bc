package storetest

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy stands before PostgreSQL and lets its connections be lost at a chosen moment.
type Proxy struct {
	// URL is the address of the database through it.
	URL string

	server string
	at     string

	mu       sync.Mutex
	listener net.Listener
	all      map[net.Conn]bool
	rule     func([]byte) Fate
	starting int // connections that are answered as by a server that is not ready
}

// Fate is what becomes of something that a client sends.
type Fate int

// What may become of it.
const (
	Pass    Fate = iota
	Cut          // the connection is closed, and the server is sent nothing
	Swallow      // the server is sent it, and the connection is closed before the answer comes through
	Hold         // nothing is sent, and nothing said any more
)

// NewProxy starts a proxy before the database at an address.
func NewProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("not an address")
	}
	p := &Proxy{server: u.Host, at: "127.0.0.1:0", all: map[net.Conn]bool{}}
	p.Open(t)
	u.Host, p.at = p.listener.Addr().String(), p.listener.Addr().String()
	p.URL = u.String()
	t.Cleanup(p.Close)
	return p
}

// Rule says what becomes of what clients send from now on; nil lets everything pass.
// It may change the bytes.
func (p *Proxy) Rule(rule func(sent []byte) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

// Once is a rule for the first n times that a client sends something with that text.
func (p *Proxy) Once(n int, text string, fate Fate) {
	p.Rule(func(sent []byte) Fate {
		if n > 0 && bytes.Contains(sent, []byte(text)) {
			n--
			return fate
		}
		return Pass
	})
}

// Open lets connections be made, at the address at which they were before.
func (p *Proxy) Open(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", p.at)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
}

// Close ends all connections, and lets none be made.
func (p *Proxy) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener.Close()
	for c := range p.all {
		c.Close()
	}
}

// Starting ends all connections, and answers the next n as a server does that is
// starting.
func (p *Proxy) Starting(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting = n
	for c := range p.all {
		c.Close()
	}
}

// notReady is an error response with the code 57P03 (PostgreSQL manual, §55.7).
const notReady = "SFATAL\x00VFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00"

func (p *Proxy) refuse(client net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starting == 0 {
		return false
	}
	p.starting--
	client.Read(make([]byte, 1024)) // what it begins with
	client.Write(append([]byte{'E', 0, 0, 0, byte(4 + len(notReady))}, notReady...))
	client.Close()
	return true
}

func (p *Proxy) serve(client net.Conn) {
	if p.refuse(client) {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	p.all[client], p.all[server] = true, true
	p.mu.Unlock()
	var swallow sync.Once
	swallowed := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.forward(client, server, func() { swallow.Do(func() { close(swallowed) }) })
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			break
		}
		select {
		case <-swallowed:
			n = 0
			err = net.ErrClosed
		default:
		}
		if err != nil {
			break
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			break
		}
	}
	client.Close()
	<-done
	server.Close()
	p.mu.Lock()
	delete(p.all, client)
	delete(p.all, server)
	p.mu.Unlock()
}

// forward takes what a client sends to the server. What a statement of this module
// sends at once also arrives at once.
func (p *Proxy) forward(client, server net.Conn, swallow func()) {
	defer server.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		switch p.fate(buffer[:n]) {
		case Cut:
			client.Close()
			return
		case Swallow:
			swallow()
		case Hold:
			continue
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) fate(sent []byte) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rule == nil {
		return Pass
	}
	return p.rule(sent)
}
