package main

import (
	"io"
	"log/slog"
	"os"
)

// logger writes to standard error: lines for a person on a terminal, JSON
// otherwise, unless the settings say which.
func (sh shell) logger(s settings) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // one of four names: checked when it was read
	options := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" || s.LogFormat == "auto" && !onTerminal(sh.stderr) {
		return slog.New(slog.NewJSONHandler(sh.stderr, options))
	}
	return slog.New(slog.NewTextHandler(sh.stderr, options))
}

func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && terminal(f)
}
