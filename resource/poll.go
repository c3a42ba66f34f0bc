package resource

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	maxPage   = 5000 // entries of one answer
	pageBytes = 8 << 20
)

// page is the answer to a long poll.
type page struct {
	Log      string          `json:"log"`
	Sequence *int64          `json:"sequence"`
	Resumed  bool            `json:"resumed"`
	More     bool            `json:"more"`
	Entries  json.RawMessage `json:"entries"`
}

// poll follows the feed by short answers, for as long as streaming is not to be
// tried. It reports whether the feed was current meanwhile.
func (f *Feed) poll(ctx context.Context) (held bool, err error) {
	// What is asked for is known to be missing nothing at the time of asking, so
	// that two waits must fit well into MaxLag.
	most := f.config.MaxLag / 5 / time.Second
	wait := time.Duration(0)
	for f.now().Before(f.polling) {
		asked := f.now()
		n, more, err := f.pollOnce(ctx, wait)
		if err != nil {
			return held, err
		}
		if more {
			wait = 0
			continue
		}
		held = true
		f.proved(asked, modePoll)
		if n == 0 && wait > 0 && elapsed(asked, f.now()) < wait*time.Second/2 {
			sleep(ctx, time.Second) // it does not wait
		}
		wait = most
	}
	return held, errPlanned
}

// pollOnce returns how many entries came, and whether more are waiting.
func (f *Feed) pollOnce(ctx context.Context, wait time.Duration) (n int, more bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, wait*time.Second+f.config.MaxLag/3, errSilent)
	defer cancel()
	from := f.position
	query := from.query()
	query.Set("wait", strconv.Itoa(int(wait)))
	res, err := f.party.get(ctx, "application/json", query)
	if err != nil {
		return 0, false, because(ctx, err)
	}
	defer res.Body.Close()
	f.heardAnswer(res)
	body, err := io.ReadAll(io.LimitReader(res.Body, pageBytes+1))
	if err != nil {
		return 0, false, because(ctx, err)
	}
	var p page
	if len(body) > pageBytes {
		return 0, false, misunderstood("an answer of more than %d bytes", pageBytes)
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Sequence == nil {
		return 0, false, misunderstood("an answer that is no page of the log")
	}
	n, err = f.takePage(from, &p)
	if err == nil && p.More && *p.Sequence <= from.sequence && p.Resumed {
		err = misunderstood("there is more, but nothing comes")
	}
	return n, p.More, err
}

func (f *Feed) takePage(from position, p *page) (int, error) {
	if err := from.continues(p.Log, *p.Sequence, p.Resumed); err != nil {
		return 0, err
	}
	last := int64(0)
	if p.Resumed {
		last = from.sequence + 1
	}
	number := f.logNumber(p.Log)
	n, err := readEntries(p.Entries, maxPage, func(e entry) error {
		if e.sequence < last || e.sequence > *p.Sequence {
			return misunderstood("entry %d out of order", e.sequence)
		}
		last = e.sequence
		return f.add(e, number)
	})
	if err != nil {
		return n, feedFault(err)
	}
	f.reach(position{p.Log, *p.Sequence})
	return n, nil
}

// heardAnswer takes the issuer's clock from an answer: a long poll has no beats.
func (f *Feed) heardAnswer(res *http.Response) {
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		f.heard(at)
	}
}
