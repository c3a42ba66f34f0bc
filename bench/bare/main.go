// Command bare answers every request with the same kilobyte, and does nothing else:
// what net/http itself costs, the yardstick of all that a server answers.
//
//	go run ./bench/bare 127.0.0.1:8080
package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

// size is about that of a token response or a key set, in bytes.
const size = 1024

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "bare: say where to listen, such as 127.0.0.1:8080")
		os.Exit(2)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		os.Exit(0)
	}()
	body := bytes.Repeat([]byte("x"), size)
	err := http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}))
	fmt.Fprintln(os.Stderr, "bare:", err)
	os.Exit(1)
}
