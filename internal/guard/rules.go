package guard

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/resource"
)

// Rules say what each path of an API asks for. Make them with ParseRules.
type Rules struct {
	list   []*Rule
	exact  *http.ServeMux // finds a *Rule for a path as it is
	folded *http.ServeMux // and for one whose case does not count
	known  []known        // what is in both
}

// known is a pattern under which a rule is found.
type known struct {
	pattern string
	rule    *Rule
}

// Rule is what the requests to some paths need.
type Rule struct {
	Path    string   // a pattern of http.ServeMux, without method and host
	Methods []string // empty: all
	Needs
	at    string // file and line, for errors
	class int    // rules with the same needs have the same
}

// Needs is what a request needs to be let through. Without any it is a good
// access token.
type Needs struct {
	Public bool // no token at all
	Scopes []string
	Stale  *resource.Policy // nil: that of Config
	resource.Authentication
	Claims []string // told to the API beside the usual ones
}

// Scopes returns all scopes that the rules name, sorted.
func (r *Rules) Scopes() []string {
	var all []string
	for _, rule := range r.list {
		all = append(all, rule.Scopes...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// whole lets every request with a good token through: what holds without rules.
var whole = &Rule{Path: "/"}

var (
	errNoRule    = errors.New("No rule lets this request through")
	errMethod    = errors.New("The method must be one of HTTP, in capitals")
	errAmbiguous = errors.New("The request can be read in two ways that have different rules")
)

// find returns the rule for a request, and errNoRule where there is none. methods
// are all that the API might take for the method. Every reading of the request
// must come to the same needs; any other error is for the client to read.
func (r *Rules) find(methods []string, raw string) (*Rule, error) {
	for _, m := range methods {
		if !isMethod(m) {
			return nil, errMethod
		}
	}
	path, err := decode(raw)
	if err != nil {
		return nil, err
	}
	rule := lookUp(r.exact, methods[0], path)
	if rule == nil {
		return nil, errNoRule
	}
	for _, m := range methods {
		all := readings(path)
		if exact := lookUp(r.exact, m, path); exact != nil && exact.Path == path && !strings.HasSuffix(path, "/") {
			all = all[:1] // a rule names it in full: it was thought of
		}
		for _, reading := range all {
			for _, other := range []*Rule{lookUp(r.exact, m, reading), lookUp(r.folded, m, fold(reading))} {
				if !same(rule, other) {
					return nil, errAmbiguous
				}
			}
		}
	}
	return rule, nil
}

func same(a, b *Rule) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.class == b.class
}

// lookUp asks a mux for its rule. What else a mux answers with, such as a
// redirect, is none.
func lookUp(mux *http.ServeMux, method, path string) *Rule {
	found, _ := mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
	rule, _ := found.(*Rule)
	return rule
}

// ServeHTTP makes a Rule something that http.ServeMux can find. It is never
// called.
func (*Rule) ServeHTTP(http.ResponseWriter, *http.Request) {}

// isMethod: in capitals, because some frameworks raise what they get. CONNECT
// has no path (RFC 9110 §9.3.6).
func isMethod(m string) bool {
	return m != "" && m != http.MethodConnect && !strings.ContainsFunc(m, func(r rune) bool {
		return (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

// newRules checks rules against each other, and gets them ready for find.
func newRules(list []*Rule) (*Rules, error) {
	r := &Rules{list: list, exact: http.NewServeMux(), folded: http.NewServeMux()}
	for i, rule := range list {
		rule.class = i
		for _, earlier := range list[:i] {
			if reflect.DeepEqual(rule.Needs, earlier.Needs) {
				rule.class = earlier.class
				break
			}
		}
		for _, pattern := range rule.patterns(rule.Path) {
			if err := r.add(rule, pattern); err != nil {
				return nil, err
			}
		}
	}
	return r, r.addTops()
}

// addTops makes a rule for all that is below a path one for the path itself, too,
// unless a rule names that: to many servers they are the same.
func (r *Rules) addTops() error {
	named := slices.Clone(r.known)
	for _, rule := range r.list {
		top := withoutEnd(rule.Path)
		if top == "" {
			continue
		}
		for _, pattern := range rule.patterns(top) {
			if slices.ContainsFunc(named, func(k known) bool { return covers(k.pattern, pattern) }) {
				continue
			}
			same := slices.IndexFunc(r.known[len(named):], func(k known) bool { return shape(k.pattern) == shape(pattern) })
			if same >= 0 && r.known[len(named)+same].rule.class == rule.class {
				continue
			}
			if err := r.add(rule, pattern); err != nil {
				return fmt.Errorf("%w; a rule for %s includes %s: say with a rule of its own what that needs", err, rule.Path, top)
			}
		}
	}
	return nil
}

// covers reports whether a pattern is for all requests of another one to the same
// path.
func covers(pattern, other string) bool {
	method, path := split(pattern)
	otherMethod, otherPath := split(other)
	return shape(path) == shape(otherPath) && (method == "" || method == otherMethod)
}

// split takes the method off a pattern, "" if there is none.
func split(pattern string) (method, path string) {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		return "", pattern
	}
	return method, path
}

// shape is a pattern without the names of its wildcards, and in no case.
func shape(pattern string) string {
	return wildcard.ReplaceAllString(foldPattern(pattern), "{$1}")
}

var wildcard = regexp.MustCompile(`\{\w+(\.\.\.)?\}`)

// patterns returns those of http.ServeMux for a path of the rule.
func (rule *Rule) patterns(path string) []string {
	if len(rule.Methods) == 0 {
		return []string{path}
	}
	var all []string
	for _, m := range rule.Methods {
		all = append(all, m+" "+path)
	}
	return all
}

// withoutEnd returns the path at the top of a pattern that ends in a slash, and
// "" where there is none.
func withoutEnd(pattern string) string {
	cut := strings.LastIndexByte(pattern, '/')
	last := pattern[cut+1:]
	if cut > 0 && (last == "" || last == "{$}" || strings.HasSuffix(last, "...}")) {
		return pattern[:cut]
	}
	return ""
}

// add makes a rule known under a pattern, and says of one that cannot be which
// other is in the way.
func (r *Rules) add(rule *Rule, pattern string) error {
	err := register(r.exact, pattern, rule)
	if err == nil {
		if err = register(r.folded, foldPattern(pattern), rule); err == nil {
			r.known = append(r.known, known{pattern, rule})
			return nil
		}
	}
	if alone := register(http.NewServeMux(), pattern, rule); alone != nil {
		return fmt.Errorf("%s: path: %w: write one such as /orders, /orders/{id}, or /orders/ for all that is below it", rule.at, alone)
	}
	for _, other := range r.known {
		pair := http.NewServeMux()
		_ = register(pair, foldPattern(other.pattern), other.rule) // it was good before
		if register(pair, foldPattern(pattern), rule) != nil {
			return fmt.Errorf("%s: path: %s, and %s at %s, can mean the same request, and neither is more specific: make one narrower, or write one rule for both",
				rule.at, pattern, other.pattern, other.rule.at)
		}
	}
	return fmt.Errorf("%s: path: %w", rule.at, err)
}

// register turns the panic of http.ServeMux into an error.
func register(mux *http.ServeMux, pattern string, rule *Rule) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = errors.New("it is no pattern that can be matched")
		}
	}()
	mux.Handle(pattern, rule)
	return nil
}

// foldPattern folds what a pattern says literally, and leaves the names of its
// wildcards.
func foldPattern(pattern string) string {
	method, path := split(pattern)
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			segments[i] = fold(s)
		}
	}
	if path = strings.Join(segments, "/"); method == "" {
		return path
	}
	return method + " " + path
}
