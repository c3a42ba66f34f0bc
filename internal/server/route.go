package server

import (
	"strings"

	"github.com/ostiary/ostiary/internal/debugger"
)

// Where operators ask how the server is: at the root of the host.
const (
	pathAlive = "/healthz"
	pathReady = "/readyz"
)

// Route is one address of the server, as a reader needs to know it.
type Route struct {
	Method  string
	Path    string   // from the root of the host, as a pattern of http.ServeMux
	For     string   // who may call, in words
	Scopes  []string // of which an access token needs one; empty: no token of ours is asked for
	Program bool     // it answers programs, and not people
}

// Routes lists what the handler of the server answers at: all of it, since both doors
// say themselves what they have.
func (p *Parts) Routes() ([]Route, error) {
	doors, endpoints, err := p.doors()
	if err != nil {
		return nil, err
	}
	all := []Route{
		{Method: "GET", Path: pathAlive, For: "operators", Program: true},
		{Method: "GET", Path: pathReady, For: "operators", Program: true},
	}
	for _, r := range endpoints.Routes() {
		for _, m := range r.Methods {
			all = append(all, Route{Method: m.Name, Path: r.Path, For: r.For, Scopes: m.Scopes, Program: true})
		}
	}
	if !p.Config.NoDebugger {
		page := p.Authority.BasePath() + debugger.Path
		all = append(all, Route{Method: "GET", Path: page, For: "everybody"}, Route{Method: "GET", Path: page + "/", For: "everybody"})
	}
	for _, r := range doors.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		all = append(all, Route{Method: method, Path: path, For: r.For})
	}
	return all, nil
}
