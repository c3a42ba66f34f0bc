package signal

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// So many polls wait and no more, each is woken by what happens, and whoever stops
// leaves nobody waiting.
func TestStreamsWaiting(t *testing.T) {
	s := newStreams(Config{})
	for i := range maxWaiting {
		if !s.enter("one") {
			t.Fatalf("poll %d may not wait", i)
		}
	}
	if s.enter("one") {
		t.Error("one poll too many waits")
	}
	if !s.enter("two") {
		t.Error("a full stream is in the way of another")
	}
	for range maxWaiting {
		s.leave("one")
	}
	if len(s.waiting) != 1 || !s.enter("one") {
		t.Errorf("%v", s.waiting)
	}
	for i := range maxAllPolls {
		s.enter(model.StreamID(fmt.Sprint(i)))
	}
	if s.enter("three") {
		t.Error("more streams are waited for than may be")
	}

	var woken sync.WaitGroup
	for range 50 {
		changed := s.changes()
		woken.Go(func() { <-changed })
		go s.wakeAll()
	}
	done := make(chan struct{})
	go func() { woken.Wait(); close(done) }()
	for range 100 { // a last one for whoever began after the others
		s.wakeAll()
		time.Sleep(time.Millisecond)
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("somebody still waits")
	}
	s.Stop()
	s.Stop()
	<-s.stopped
}

// What somebody else sends as a code is fit for a log.
func TestErrorCode(t *testing.T) {
	for body, want := range map[string]string{
		`{"err":"invalid_key","description":"x"}`: "invalid_key",
		`{"err":"a b"}`:   "with a code that is none",
		`{"err":"a\nb"}`:  "with a code that is none",
		`{"err":""}`:      "without a code",
		`<html>`:          "without a code",
		`{"err":{"x":1}}`: "without a code",
		`{"err":"` + fmt.Sprintf("%0100d", 0) + `"}`: "with a code that is too long",
	} {
		if got := errorCode([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
