package main

import (
	"context"
	"net"
	"net/http"
	"testing"
)

// A sample that is stopped waits for nobody who does not come to an end.
func TestSampleStops(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan struct{})
	endless := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- serveSample(ctx, l, endless, nil) }()
	go func() {
		if r, err := http.Get("http://" + l.Addr().String()); err == nil {
			r.Body.Close()
		}
	}()
	<-came
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
