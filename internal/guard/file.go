package guard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/ostiary/ostiary/resource"
)

// maxRules bounds the rules of a file.
const maxRules = 1000

// members are what a rule in a file may say.
var members = []struct {
	name string
	set  func(*Rule, ast.Node) error
}{
	{"path", func(r *Rule, n ast.Node) (err error) {
		if r.Path, err = scalar(n); err != nil {
			return err
		}
		return checkPath(r.Path)
	}},
	{"methods", func(r *Rule, n ast.Node) (err error) {
		r.Methods, err = words(n, func(s string) bool { return isMethod(s) }, "a method such as GET, in capitals")
		return err
	}},
	{"public", func(r *Rule, n ast.Node) error {
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return errors.New("it is neither true nor false")
		}
		r.Public = b.Value
		return nil
	}},
	{"scopes", func(r *Rule, n ast.Node) (err error) {
		r.Scopes, err = words(n, isScope, "a scope such as orders:read")
		return err
	}},
	{"stale", func(r *Rule, n ast.Node) error {
		text, err := scalar(n)
		if err != nil {
			return err
		}
		policy, ok := Policies[text]
		if !ok {
			return fmt.Errorf("%q is not allowed: write one of deny, introspect, allow", text)
		}
		r.Stale = &policy
		return nil
	}},
	{"max_age", func(r *Rule, n ast.Node) error {
		text, err := scalar(n)
		if err != nil {
			return err
		}
		r.MaxAge, err = time.ParseDuration(text)
		if err != nil || r.MaxAge < time.Second || r.MaxAge%time.Second != 0 {
			return fmt.Errorf("%q is not a length of time of whole seconds: write one such as 90s, 30m or 12h", text)
		}
		return nil
	}},
	{"acr", func(r *Rule, n ast.Node) (err error) {
		r.ACR, err = words(n, isScope, "a value of acr, in ASCII without spaces and quotes")
		return err
	}},
	{"claims", func(r *Rule, n ast.Node) (err error) {
		r.Claims, err = words(n, isClaim, "the name of a claim of letters, digits, - and _")
		return err
	}},
}

// Policies are the words for what is done while the feed is stale.
var Policies = map[string]resource.Policy{"deny": resource.Deny, "introspect": resource.Introspect, "allow": resource.Allow}

// ParseRules reads a file of rules in YAML. What it does not know is an error,
// for a misspelt scopes would otherwise ask for none. Errors begin with the name
// and the line.
func ParseRules(name string, text []byte) (*Rules, error) {
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		// "[LINE:COLUMN] reason", and an excerpt.
		reason, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		place, reason, _ := strings.Cut(strings.TrimPrefix(reason, "["), "] ")
		return nil, fmt.Errorf("%s:%s: %s", name, place, reason)
	}
	const form = "it must hold rules: and below it a list of rules, each with a path:"
	var list []*Rule
	for _, doc := range parsed.Docs {
		top, ok := doc.Body.(*ast.MappingNode)
		if !ok || len(parsed.Docs) > 1 {
			return nil, fmt.Errorf("%s: %s", name, form)
		}
		for _, pair := range top.Values {
			rules, ok := pair.Value.(*ast.SequenceNode)
			if key(pair) != "rules" || !ok {
				return nil, fmt.Errorf("%s: %s: %s", place(name, pair.Key), key(pair), form)
			}
			if list, err = readRules(name, rules.Values); err != nil {
				return nil, err
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: there is no rule in it, so every request would be refused; %s", name, form)
	}
	return newRules(list)
}

func readRules(name string, nodes []ast.Node) ([]*Rule, error) {
	if len(nodes) > maxRules {
		return nil, fmt.Errorf("%s: there are %d rules; %d is the most", name, len(nodes), maxRules)
	}
	var list []*Rule
	for _, n := range nodes {
		mapping, ok := n.(*ast.MappingNode)
		if !ok {
			return nil, fmt.Errorf("%s: a rule must be lines such as \"path: /orders\"", place(name, n))
		}
		rule := &Rule{at: place(name, mapping.Values[0].Key)}
		for _, pair := range mapping.Values {
			if err := rule.read(pair); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", place(name, pair.Key), key(pair), err)
			}
		}
		if err := rule.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", rule.at, err)
		}
		list = append(list, rule)
	}
	return list, nil
}

func (rule *Rule) read(pair *ast.MappingValueNode) error {
	var names []string
	for _, m := range members {
		if m.name == key(pair) {
			return m.set(rule, pair.Value)
		}
		names = append(names, m.name)
	}
	return fmt.Errorf("a rule has no such line: write some of %s", strings.Join(names, ", "))
}

// check holds the lines of a rule against each other.
func (rule *Rule) check() error {
	switch {
	case rule.Path == "":
		return errors.New("the rule has no path:")
	case rule.Public && (len(rule.Scopes)+len(rule.ACR)+len(rule.Claims) > 0 || rule.MaxAge > 0 || rule.Stale != nil):
		return errors.New("the rule is public: nobody's token is looked at, so it can ask for nothing else; remove public: or the other lines")
	}
	told := map[string]bool{}
	for _, name := range rule.Claims {
		if told[claimHeader(name)] {
			return fmt.Errorf("claims: two of them would be told in the header %s", claimHeader(name))
		}
		told[claimHeader(name)] = true
	}
	return nil
}

// checkPath refuses what a path of a rule cannot hold.
func checkPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return errors.New("it must begin with a slash, and methods stand in methods:")
	case strings.ContainsAny(path, "%;?#\\ "):
		return errors.New("it must hold no space and none of % ; ? # and backslash: requests are compared without their escapes")
	case strings.Contains(path, "//") || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../"):
		return errors.New("it must hold no empty segment and no dots: requests with them are refused")
	}
	return nil
}

// words reads a list of texts, or a single one.
func words(n ast.Node, good func(string) bool, what string) ([]string, error) {
	nodes := []ast.Node{n}
	if list, ok := n.(*ast.SequenceNode); ok {
		nodes = list.Values
	}
	var all []string
	for _, one := range nodes {
		text, err := scalar(one)
		if err != nil {
			return nil, err
		}
		if !good(text) {
			return nil, fmt.Errorf("%q is not %s", text, what)
		}
		if slices.Contains(all, text) {
			return nil, fmt.Errorf("%q is there twice", text)
		}
		all = append(all, text)
	}
	if len(all) == 0 {
		return nil, errors.New("the list is empty: write a value, or remove the line")
	}
	return all, nil
}

func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", errors.New("the value is missing: write one, or remove the line")
	}
	return "", errors.New("the value must be a single text")
}

func key(pair *ast.MappingValueNode) string {
	if text, ok := pair.Key.(*ast.StringNode); ok {
		return text.Value // without quotes
	}
	return pair.Key.String()
}

func place(name string, n ast.Node) string {
	return fmt.Sprintf("%s:%d", name, n.GetToken().Position.Line)
}

// isScope: scope-token, RFC 6749 §3.3.
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

// isClaim: what can become the name of a header.
func isClaim(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}
