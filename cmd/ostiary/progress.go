package main

import (
	"fmt"
	"time"
)

// gauge tells on a terminal how far something long has got, and how long it will take;
// done takes it away.
func (sh shell) gauge(what string) (tell func(done, of int64), done func()) {
	if !onTerminal(sh.stderr) {
		return func(int64, int64) {}, func() {}
	}
	began, told := time.Now(), time.Now()
	shown := false
	tell = func(done, of int64) {
		if of <= 0 || time.Since(told) < 200*time.Millisecond {
			return
		}
		told, shown = time.Now(), true
		fmt.Fprintf(sh.stderr, "\r%s: %s\x1b[K", what, reached(done, of, time.Since(began))) // ECMA-48 §8.3.41, erase in line
	}
	return tell, func() {
		if shown {
			fmt.Fprint(sh.stderr, "\r\x1b[K")
		}
	}
}

// reached says how far something is that has taken some time.
func reached(done, of int64, took time.Duration) string {
	text := fmt.Sprintf("%d %%, %d of %d", 100*done/of, done, of)
	if done > 0 && took > time.Second {
		left := time.Duration(float64(took) * float64(of-done) / float64(done))
		text += ", " + left.Round(time.Second).String() + " left"
	}
	return text
}
