package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	modeStream = "stream"
	modePoll   = "poll"

	maxAtOnce    = 1000 // entries of one event
	snapshotTime = 5 * time.Minute
)

// connection is one stream of the feed.
type connection struct {
	feed  *Feed
	asked time.Time // when it was asked for: what is sent is not older
	from  position  // that was asked for
	alarm *time.Timer

	log     string // "": there was no hello
	number  int64  // of the log
	silence time.Duration
	resumed bool
	current bool  // there was a ready
	reached int64 // all up to there has come
	last    int64 // sequence of the last entry
	event   time.Time
	beat    pace
}

// newConnection returns a connection that cancels itself if nothing is heard.
func newConnection(f *Feed, cancel context.CancelCauseFunc) *connection {
	return &connection{
		feed: f, asked: f.now(), from: f.position,
		alarm: time.AfterFunc(f.config.MaxLag/3, func() { cancel(errSilent) }),
	}
}

// stream follows the feed by one long answer. It reports whether the feed was
// current meanwhile.
func (f *Feed) stream(ctx context.Context) (held bool, err error) {
	endpoint, token, err := f.party.access(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := newConnection(f, cancel)
	defer c.alarm.Stop()
	res, err := f.party.open(ctx, endpoint, token, "text/event-stream", c.from.query())
	if err != nil {
		return false, because(ctx, err)
	}
	defer res.Body.Close()
	f.heardAnswer(res)
	stream := newEvents(&pulse{res.Body, c})
	for {
		e, err := stream.next()
		if err == nil {
			err = c.take(e)
		} else if errors.Is(err, io.EOF) {
			err = errors.New("the feed ended without a word")
		}
		if err != nil {
			return c.current && c.beat.begun, because(ctx, err)
		}
	}
}

// because returns the cause for which ctx was cancelled, where that is why there
// is an error.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// query asks for what follows a position.
func (p position) query() url.Values {
	if p.log == "" {
		return url.Values{}
	}
	return url.Values{"log": {p.log}, "after": {strconv.FormatInt(p.sequence, 10)}}
}

// pulse lets a snapshot take its time, as long as some of it comes. Outside of
// one, only events are signs of life.
type pulse struct {
	io.Reader
	of *connection
}

func (p *pulse) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 && p.of.log != "" && !p.of.current {
		if elapsed(p.of.asked, p.of.feed.now()) > snapshotTime {
			return 0, errSilent
		}
		p.of.alarm.Reset(p.of.silence)
	}
	return n, err
}

// take takes in an event.
func (c *connection) take(e event) error {
	now := c.feed.now()
	if c.current && elapsed(c.event, now) > c.silence {
		// The machine slept: what was sent meanwhile says nothing about now.
		return errSilent
	}
	c.event = now
	if c.log != "" {
		c.alarm.Reset(c.silence)
	}
	if (c.log == "") != (e.name == "hello") {
		return misunderstood("an event %q where there %s hello", plain(e.name), map[bool]string{true: "was no", false: "was a"}[c.log == ""])
	}
	switch e.name {
	case "hello":
		return c.hello(e.data)
	case "entries":
		if _, err := readEntries(e.data, maxAtOnce, c.entry); err != nil {
			return feedFault(err)
		}
		return c.identified(e.id)
	case "ready":
		return c.ready(e.data)
	case "beat":
		return c.beats(e.data, now)
	case "bye":
		return c.bye(e.data)
	default:
		return nil // of a later version
	}
}

// feedFault tells what is wrong with entries from what is wrong here.
func feedFault(err error) error {
	if errors.Is(err, errFull) || errors.Is(err, errFeed) {
		return err
	}
	return fmt.Errorf("%w: %w", errFeed, err)
}

func (c *connection) hello(data []byte) error {
	var h struct {
		Log       string `json:"log"`
		Sequence  int64  `json:"sequence"`
		Resumed   bool   `json:"resumed"`
		Heartbeat int64  `json:"heartbeat"`
	}
	if err := json.Unmarshal(data, &h); err != nil {
		return misunderstood("hello: %w", err)
	}
	if err := c.from.continues(h.Log, h.Sequence, h.Resumed); err != nil {
		return err
	}
	// What is silent for two heartbeats and a second is dead; that must be found
	// out before it makes the feed stale.
	if h.Heartbeat < 1 || time.Duration(h.Heartbeat)*time.Second > c.feed.config.MaxLag/2 {
		return misunderstood("a heartbeat every %d seconds does not go with a MaxLag of %s", h.Heartbeat, c.feed.config.MaxLag)
	}
	c.log, c.resumed = h.Log, h.Resumed
	c.number = c.feed.logNumber(h.Log)
	c.silence = min(2*time.Duration(h.Heartbeat)*time.Second+time.Second, c.feed.config.MaxLag*3/4)
	if h.Resumed {
		c.reached, c.last = c.from.sequence, c.from.sequence
	}
	c.alarm.Reset(c.silence)
	return nil
}

// continues checks what an answer says of the log against what was asked for.
func (p position) continues(log string, sequence int64, resumed bool) error {
	switch {
	case log == "" || len(log) > maxLogID || !quotable(log):
		return misunderstood("the log has no name")
	case sequence < 0 || sequence > wholeNums:
		return misunderstood("a log that ends at %d", sequence)
	case resumed && (p.log == "" || log != p.log):
		return misunderstood("another log is continued than the one that was asked for")
	case resumed && sequence < p.sequence:
		return misunderstood("a log is continued that ended before")
	}
	return nil
}

func (c *connection) entry(e entry) error {
	if e.sequence < c.last || e.sequence <= c.reached {
		return misunderstood("entry %d after %d", e.sequence, max(c.last, c.reached))
	}
	c.last = e.sequence
	return c.feed.add(e, c.number)
}

// identified takes in LOG:SEQUENCE. Entries without it may be followed by others
// of the same sequence.
func (c *connection) identified(id string) error {
	if id == "" {
		return nil
	}
	colon := max(strings.LastIndexByte(id, ':'), 0)
	sequence, err := strconv.ParseInt(strings.TrimPrefix(id[colon:], ":"), 10, 64)
	if err != nil {
		return misunderstood("an id that is none")
	}
	if id[:colon] != c.log {
		return misunderstood("the log is suddenly another one")
	}
	return c.reach(sequence)
}

// reach notes that all has come up to a sequence, from where the next connection
// will go on.
func (c *connection) reach(sequence int64) error {
	if sequence < c.reached || sequence < c.last || sequence > wholeNums {
		return misunderstood("the log is at %d, and was at %d", sequence, max(c.reached, c.last))
	}
	c.reached = sequence
	c.feed.reach(position{c.log, sequence})
	return nil
}

func (c *connection) ready(data []byte) error {
	var r struct {
		Sequence *int64 `json:"sequence"`
	}
	if err := json.Unmarshal(data, &r); err != nil || r.Sequence == nil {
		return misunderstood("ready without a sequence")
	}
	if c.current {
		return misunderstood("ready a second time")
	}
	if err := c.reach(*r.Sequence); err != nil {
		return err
	}
	c.current = true
	c.feed.proved(c.asked, modeStream)
	return nil
}

func (c *connection) beats(data []byte, now time.Time) error {
	var b struct {
		Sequence *int64 `json:"sequence"`
		At       int64  `json:"at"`
	}
	if err := json.Unmarshal(data, &b); err != nil || b.Sequence == nil || b.At <= 0 || b.At > wholeNums {
		return misunderstood("a beat that says nothing")
	}
	if !c.current {
		return nil // the snapshot is still coming
	}
	if err := c.reach(*b.Sequence); err != nil {
		return err
	}
	sent := time.UnixMilli(b.At)
	late := c.beat.late(sent, now)
	if late > c.silence {
		return errSilent
	}
	c.feed.heard(sent)
	c.feed.proved(now.Add(-late), modeStream)
	return nil
}

// pace tells how late a beat comes, by the times between beats there and here.
// The clocks need not agree, only go equally fast.
type pace struct {
	begun          bool
	sent, received time.Time
	behind         time.Duration
}

func (p *pace) late(sent, received time.Time) time.Duration {
	if p.begun {
		p.behind = max(0, p.behind+elapsed(p.received, received)-sent.Sub(p.sent))
	}
	p.begun, p.sent, p.received = true, sent, received
	return p.behind
}

func (c *connection) bye(data []byte) error {
	var b struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return misunderstood("bye: %w", err)
	}
	switch b.Reason {
	case "token_expired":
		return fmt.Errorf("%w: %w", errPlanned, errRenew)
	case "stopping":
		return errPlanned
	default:
		// What the client may see can be more now than it was: all of it again.
		c.feed.position = position{}
		return fmt.Errorf("the issuer ended the feed: %s: %w", plain(b.Reason), errRenew)
	}
}
