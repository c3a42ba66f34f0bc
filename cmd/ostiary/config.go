package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// entry is one line of a configuration file.
type entry struct {
	value  string
	origin string // "ostiary.yaml:3: session-idle", for errors
}

// readConfig reads a configuration file: one mapping from the names of settings
// to values. What it does not know is an error, for a misspelt setting would
// otherwise leave a default in its place.
func (c catalogue) readConfig(path string) (map[string]entry, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readBounded(path)
	if err != nil {
		return nil, usagef("the configuration file cannot be read: %v; correct --config (or %s)", err, c.variable(configName))
	}
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		// "[LINE:COLUMN] reason", and an excerpt that may hold a password.
		reason, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		place, reason, _ := strings.Cut(strings.TrimPrefix(reason, "["), "] ")
		return nil, usagef("%s:%s: %s", path, place, reason)
	}
	entries := map[string]entry{}
	for _, doc := range parsed.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue
		}
		mapping, ok := doc.Body.(*ast.MappingNode)
		if !ok {
			return nil, usagef("%s must be a list of lines such as \"listen: 127.0.0.1:8080\"", path)
		}
		for _, pair := range mapping.Values {
			if err := c.addEntry(entries, path, pair); err != nil {
				return nil, err
			}
		}
	}
	return entries, nil
}

func (c catalogue) addEntry(entries map[string]entry, path string, pair *ast.MappingValueNode) error {
	name := pair.Key.String()
	if key, ok := pair.Key.(*ast.StringNode); ok {
		name = key.Value // without quotes
	}
	origin := fmt.Sprintf("%s:%d: %s", path, pair.Key.GetToken().Position.Line, name)
	if names := c.names(); !slices.Contains(names, name) {
		return usagef("%s: there is no such setting%s", origin, didYouMean(name, names))
	}
	if earlier, ok := entries[name]; ok {
		return usagef("%s: it was set before, at %s; keep one of them", origin, earlier.origin)
	}
	value, err := scalar(pair.Value)
	if err != nil {
		return usagef("%s: %v", origin, err)
	}
	entries[name] = entry{value, origin}
	return nil
}

// errNotScalar is a value with a structure, which no setting has.
var errNotScalar = errors.New("the value must be a single one")

func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.NullNode:
		return "", errors.New("the value is missing: write one, or remove the line")
	}
	return "", errNotScalar
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no file %s", path)
		}
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxConfig)
	}
	return data, err
}
