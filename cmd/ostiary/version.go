package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v3"
)

func (sh shell) version() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "which version this is",
		Action: func(_ context.Context, c *cli.Command) error {
			b := build()
			return sh.say(c, b, "ostiary %s (%s, %s)", b.Version, b.Go, b.Platform)
		},
	}
}

type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// stamped is the version that a release was built as, which the linker writes.
var stamped string

// build tells what the Go command wrote into the binary: the version that it was
// told, that of the module, or of the commit that it was built from.
func build() buildInfo {
	b := buildInfo{Version: "development", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	if stamped != "" {
		b.Version = stamped
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}
