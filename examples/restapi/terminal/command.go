package terminal

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Help says what the program can do.
const Help = `usage: restapi client [--api URL] [--state FILE] COMMAND

  login NAME [--role reader|editor] [--remember]   sign in; the password comes from the terminal or from standard input
  notes                                            show the notes
  add TEXT                                         write one
  change ID TEXT                                   change one of yours
  remove ID                                        remove one of yours; wants a fresh sign-in
  watch [--every 1s] [--for 10s]                   show the notes again and again
  logout                                           end the session

It ends with 0 if it did it, 3 if only a new sign-in helps, 4 if it is forbidden, 5 if it may work later, 2 if it was called wrongly, 1 otherwise.
`

// note is one of the API's.
type note struct {
	ID   string `json:"id"`
	Text string `json:"text"`
	Mine bool   `json:"mine"`
}

// Run does what args say. Every error is an *Error or one of the machine's.
func (p *Program) Run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return stop(Usage, "%s", Help)
	}
	run, ok := map[string]func(context.Context, []string) error{
		"login": p.login, "notes": p.notes, "add": p.add, "change": p.change, "remove": p.remove, "watch": p.watch, "logout": p.logout,
	}[args[0]]
	if !ok {
		return stop(Usage, "there is no command %q\n%s", plain(args[0]), Help)
	}
	return run(ctx, args[1:])
}

// parse reads the flags of a command, which may stand behind its words, and wants n
// words.
func parse(flags *flag.FlagSet, args []string, n int) ([]string, error) {
	flags.SetOutput(io.Discard)
	var words []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			return nil, stop(Usage, "%v\n%s", err, Help)
		}
		if args = flags.Args(); len(args) > 0 {
			words, args = append(words, args[0]), args[1:]
		}
	}
	if len(words) != n {
		return nil, stop(Usage, "%s takes %d arguments\n%s", flags.Name(), n, Help)
	}
	return words, nil
}

func (p *Program) login(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("login", flag.ContinueOnError)
	role, remember := flags.String("role", "", ""), flags.Bool("remember", false, "")
	words, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	before, err := p.load()
	if err != nil {
		return err
	}
	s := state{Login: words[0], Role: *role, Remember: *remember}
	also := map[string]any{}
	if before.Login == s.Login {
		s.Auth = before.Auth
		also["auth_session"] = before.Auth
	}
	if err := p.signIn(ctx, &s, also); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "Signed in as %s. The token lives for %v.\n", plain(s.Login), until(s.ExpiresAt, p.Now()))
	return err
}

func (p *Program) logout(ctx context.Context, args []string) error {
	if _, err := parse(flag.NewFlagSet("logout", flag.ContinueOnError), args, 0); err != nil {
		return err
	}
	s, err := p.load()
	if err != nil {
		return err
	}
	if s.Auth == "" && s.Refresh == "" {
		return stop(SignInAgain, "nobody is signed in")
	}
	r, err := p.send(ctx, http.MethodPost, "/logout", "", map[string]string{"auth_session": s.Auth, "refresh_token": s.Refresh})
	if err != nil {
		return err
	}
	if r.status != http.StatusNoContent {
		return stop(Later, "%s", or(r.Detail, "the session could not be ended"))
	}
	// What is held is worth nothing now; only who it was is kept.
	if err := p.save(state{Login: s.Login, Role: s.Role}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.Stdout, "Signed out.")
	return err
}

func (p *Program) notes(ctx context.Context, args []string) error {
	if _, err := parse(flag.NewFlagSet("notes", flag.ContinueOnError), args, 0); err != nil {
		return err
	}
	r, err := p.call(ctx, http.MethodGet, "/notes", nil)
	if err != nil {
		return err
	}
	var all []note
	if err := json.Unmarshal(r.body, &all); err != nil {
		return stop(Failed, "the answer holds no notes")
	}
	return p.list(all)
}

func (p *Program) add(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return stop(Usage, "add takes the text of a note\n%s", Help)
	}
	return p.write(ctx, http.MethodPost, "/notes", strings.Join(args, " "))
}

func (p *Program) change(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return stop(Usage, "change takes the ID of a note and its new text\n%s", Help)
	}
	return p.write(ctx, http.MethodPut, "/notes/"+url.PathEscape(args[0]), strings.Join(args[1:], " "))
}

func (p *Program) write(ctx context.Context, method, path, text string) error {
	r, err := p.call(ctx, method, path, map[string]string{"text": text})
	if err != nil {
		return err
	}
	var n note
	if err := json.Unmarshal(r.body, &n); err != nil {
		return stop(Failed, "the answer holds no note")
	}
	return p.list([]note{n})
}

func (p *Program) remove(ctx context.Context, args []string) error {
	words, err := parse(flag.NewFlagSet("remove", flag.ContinueOnError), args, 1)
	if err != nil {
		return err
	}
	if _, err := p.call(ctx, http.MethodDelete, "/notes/"+url.PathEscape(words[0]), nil); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.Stdout, "Removed.")
	return err
}

// watch asks again and again, and so shows the moment in which somebody is put out.
func (p *Program) watch(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	every, whole := flags.Duration("every", time.Second, ""), flags.Duration("for", 0, "")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	if *every < 10*time.Millisecond {
		return stop(Usage, "--every must be 10ms or more")
	}
	for end := p.Now().Add(*whole); ; {
		if _, err := p.call(ctx, http.MethodGet, "/notes", nil); err != nil {
			return err
		}
		if *whole > 0 && !p.Now().Add(*every).Before(end) {
			return nil
		}
		if err := p.Sleep(ctx, *every); err != nil {
			return nil // Ctrl-C
		}
	}
}
