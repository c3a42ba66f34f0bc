package mail

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/internal/trace"
)

// What waits in memory, and how it is tried. A letter that cannot be delivered is
// tried again after these pauses; then it is given up.
const (
	maxWaiting = 1000
	carriers   = 2 // letters under way at once
	maxLife    = 24 * time.Hour
	partTime   = 10 * time.Second // for what waits when the server stops
)

var pauses = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 3 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// Post takes letters and sends them. Its methods may be called from many goroutines
// at once.
type Post struct {
	config Config
	at     server
	from   *netmail.Address
	writer *writer
	pauses []time.Duration
	wake   chan struct{}

	mu      sync.Mutex
	waiting []*parcel
	open    int // waiting or under way
}

// parcel is a letter on its way.
type parcel struct {
	Letter
	tries int
	due   time.Time // by the real clock
}

// Box is the mailbox that letters go to in place of a mail server; nil: there is none.
func (p *Post) Box() *Box { return p.config.Box }

// Ready says whether letters can be sent at all.
func (p *Post) Ready() bool { return p != nil && (p.config.Server != "" || p.config.Box != nil) }

// Send takes a letter, to be written and sent in a while: to call it costs the same
// whoever it is to. It returns ErrOff and ErrFull.
func (p *Post) Send(l Letter) error {
	if !p.Ready() {
		return ErrOff
	}
	if late := p.config.Now().Add(maxLife).Unix(); l.Until == 0 || l.Until > late {
		l.Until = late
	}
	p.mu.Lock()
	full := p.open >= maxWaiting
	if !full {
		p.open++
		p.waiting = append(p.waiting, &parcel{Letter: l, due: time.Now()})
	}
	p.mu.Unlock()
	if full {
		return ErrFull
	}
	p.stir()
	return nil
}

// Waiting is how many letters wait or are under way.
func (p *Post) Waiting() int {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

func (p *Post) stir() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// next takes a parcel that is due, or says how long nobody is.
func (p *Post) next(all bool) (*parcel, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := time.Hour
	for i, one := range p.waiting {
		left := time.Until(one.due)
		if left <= 0 || all {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return one, 0
		}
		wait = min(wait, left)
	}
	return nil, wait
}

// Run sends what waits until ctx is done; then it tries once what it has, for some
// seconds, and gives up the rest.
func (p *Post) Run(ctx context.Context) {
	if !p.Ready() {
		return
	}
	var all sync.WaitGroup
	for range carriers {
		all.Go(func() { p.carry(ctx) })
	}
	all.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), partTime)
	defer cancel()
	p.Flush(last)
}

func (p *Post) carry(ctx context.Context) {
	for ctx.Err() == nil {
		one, wait := p.next(false)
		if one != nil {
			p.stir() // there may be more for another one
			p.try(ctx, one)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-p.wake:
		}
		timer.Stop()
	}
}

// Flush tries now, once, all that waits, and gives up what cannot be delivered: for
// a process that ends. It returns what went wrong.
func (p *Post) Flush(ctx context.Context) error {
	var all error
	for {
		one, _ := p.next(true)
		if one == nil {
			return all
		}
		if err := p.attempt(ctx, one.Letter); err != nil {
			p.giveUp(one, err)
			all = errors.Join(all, err)
			continue
		}
		p.outcome(Sent)
		p.done()
	}
}

// What becomes of an attempt to send a letter.
const (
	Sent    = "sent"
	Delayed = "delayed"
	GivenUp = "given_up"
)

func (p *Post) outcome(what string) {
	if p.config.Outcome != nil {
		p.config.Outcome(what)
	}
}

func (p *Post) done() {
	p.mu.Lock()
	p.open--
	p.mu.Unlock()
}

// try sends a parcel, or puts it back for later, or gives it up.
func (p *Post) try(ctx context.Context, one *parcel) {
	err := p.attempt(ctx, one.Letter)
	switch {
	case err == nil:
		p.outcome(Sent)
		p.config.Logger.DebugContext(ctx, "letter sent", "kind", one.Kind, "user", one.User)
		p.done()
	case ctx.Err() != nil && one.tries == 0: // we stop, and it is not its fault
		p.again(one, 0)
	case errors.Is(err, ErrRefused), errors.Is(err, ErrAddress), errors.Is(err, ErrLate), errors.Is(err, errWriting):
		p.giveUp(one, err)
	case one.tries >= len(p.pauses):
		p.giveUp(one, err)
	default:
		p.outcome(Delayed)
		p.config.Logger.WarnContext(ctx, "a letter could not be sent and will be tried again", "kind", one.Kind, "user", one.User, "pause", p.pauses[one.tries], "error", err)
		one.tries++
		p.again(one, p.pauses[one.tries-1])
	}
}

func (p *Post) again(one *parcel, pause time.Duration) {
	one.due = time.Now().Add(pause)
	p.mu.Lock()
	p.waiting = append(p.waiting, one)
	p.mu.Unlock()
	p.stir()
}

func (p *Post) giveUp(one *parcel, err error) {
	p.done()
	p.outcome(GivenUp)
	p.config.Logger.Error("a letter was given up", "kind", one.Kind, "user", one.User, "tries", one.tries+1, "error", err)
	if p.config.Lost != nil {
		p.config.Lost(one.Letter, err)
	}
}

// attempt writes and sends a letter, once.
func (p *Post) attempt(ctx context.Context, l Letter) (err error) {
	ctx, span := trace.Begin(ctx, "mail.Send")
	defer func() {
		span.Fail(err)
		span.End()
	}()
	if l.Until != 0 && p.config.Now().Unix() >= l.Until {
		return ErrLate
	}
	return p.Deliver(ctx, l)
}

// Deliver sends a letter at once and says whether the mail server has taken it. It
// returns ErrOff; ErrRefused and ErrAddress, which no repetition cures; or another
// error.
func (p *Post) Deliver(ctx context.Context, l Letter) error {
	if !p.Ready() {
		return ErrOff
	}
	w, err := p.writer.write(l)
	if err != nil {
		return fmt.Errorf("%w: %w", errWriting, err)
	}
	if p.config.Box != nil {
		if logo := p.writer.logo; logo != nil { // a browser has no parts of a letter to take it from
			w.HTML = strings.ReplaceAll(w.HTML, "cid:"+logoID, "data:"+logo.Type+";base64,"+base64.StdEncoding.EncodeToString(logo.Body))
		}
		p.config.Box.put(w, l.Link, p.config.Now().Unix())
		return nil
	}
	return p.transmit(ctx, w)
}

// errWriting says that a letter cannot be written: a mistake of ours.
var errWriting = errors.New("the letter cannot be written")
