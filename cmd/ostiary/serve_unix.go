//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// keepWriting lets a write fail that would make a file too large for a limit of the
// process (ulimit -f), as one to a full disk does. It would end the process otherwise.
func keepWriting() { signal.Ignore(syscall.SIGXFSZ) }
