package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"

	"github.com/ostiary/ostiary/internal/debugger"
	"github.com/urfave/cli/v3"
)

// place is an address that people or programs are told.
type place struct{ name, what, url, note string }

// places are all of them, in the order of demoListing.
func (d *demo) places() []place {
	all := map[string]place{
		"mailbox":  {"mailbox", "Its mailbox", d.url("server") + "/mailbox", "all letters that it writes"},
		"debugger": {"debugger", "Its debugger", d.url("server") + debugger.Path, "tokens, taken apart"},
	}
	for _, r := range d.rooms {
		all[r.name] = place{r.name, r.what, r.url(), r.note}
	}
	var list []place
	for _, name := range demoListing {
		list = append(list, all[name])
	}
	return list
}

// person is a test user, as people and programs are told.
type person struct {
	Login    string `json:"login"`
	Password string `json:"password"`
	Admin    bool   `json:"admin"`

	name string
}

func (p person) note() string {
	if p.Admin {
		return "administrator"
	}
	return ""
}

func (d *demo) people() []person {
	var all []person
	for _, u := range demoUsers {
		all = append(all, person{u.Login, demoPassword, u.Admin, u.Profile.Name})
	}
	return all
}

// announce prints where everything is, once it can be visited.
func (sh shell) announce(c *cli.Command, d *demo) error {
	values := map[string]any{"users": d.people()}
	addresses := table{columns: []string{"WHAT", "ADDRESS", ""}}
	for _, p := range d.places() {
		values[p.name] = p.url
		addresses.rows = append(addresses.rows, []string{p.what, p.url, p.note})
	}
	if c.Bool("json") {
		return sh.printJSON(values)
	}
	if err := sh.writeTable(addresses); err != nil {
		return err
	}
	fmt.Fprintln(sh.stdout)
	people := table{columns: []string{"USER", "PASSWORD", ""}}
	for _, p := range d.people() {
		people.rows = append(people.rows, []string{p.Login, p.Password, p.note()})
	}
	if err := sh.writeTable(people); err != nil {
		return err
	}
	last := "Nothing is kept."
	if folder := c.String("keep"); folder != "" {
		last = "Everything is kept in " + printable(folder) + "."
	}
	_, err := fmt.Fprintf(sh.stdout, "\n%s Stop with Ctrl-C.\n", last)
	return err
}

// browse shows a page to whoever sits before this machine, and reports whether it
// does: only if the command was typed at a terminal, and a desktop is there. Failing
// is no error: the address has been printed.
func (sh shell) browse(ctx context.Context, address string) bool {
	if !terminal(sh.stdout) {
		return false
	}
	if afar, _ := sh.getenv("SSH_CONNECTION"); afar != "" {
		return false // the desktop would be somebody else's
	}
	var words []string
	switch runtime.GOOS {
	case "darwin":
		words = []string{"open", address}
	case "windows":
		words = []string{"rundll32", "url.dll,FileProtocolHandler", address}
	default:
		x11, _ := sh.getenv("DISPLAY")
		wayland, _ := sh.getenv("WAYLAND_DISPLAY")
		if x11 == "" && wayland == "" {
			return false
		}
		words = []string{"xdg-open", address}
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return false
	}
	opener := exec.CommandContext(ctx, path, words[1:]...)
	if opener.Start() != nil {
		return false
	}
	go opener.Wait() // nobody waits for it, but it must not stay a zombie
	return true
}
