package upstream

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// path is where something stands in an answer: "data.id"; "0.name" in a list; and
// "emails[primary=true][verified=true].email" in the first of a list that is like that.
type path []step

type step struct {
	name string // of a member, or the place in a list
	like []like
}

type like struct{ name, value string }

const (
	maxPath  = 200 // characters
	maxSteps = 10
)

func parsePath(s string) (path, error) {
	if s == "" || len(s) > maxPath {
		return nil, fmt.Errorf("is a path of 1 to %d characters", maxPath)
	}
	var p path
	for part := range strings.SplitSeq(s, ".") {
		name, rest, chosen := strings.Cut(part, "[")
		one := step{name: name}
		for chosen {
			condition, after, closed := strings.Cut(rest, "]")
			member, value, compared := strings.Cut(condition, "=")
			if !closed || !compared || member == "" {
				return nil, fmt.Errorf("%q is not [name=value]", "["+rest)
			}
			one.like = append(one.like, like{member, value})
			if after == "" {
				break
			}
			if rest, chosen = strings.CutPrefix(after, "["); !chosen {
				return nil, fmt.Errorf("%q does not belong behind ]", after)
			}
		}
		if one.name == "" && len(one.like) == 0 || len(p) == maxSteps || len(one.like) > maxSteps {
			return nil, fmt.Errorf("%q has an empty part, or too many", s)
		}
		p = append(p, one)
	}
	return p, nil
}

// in returns what stands there, nil where nothing does.
func (p path) in(v any) any {
	for _, step := range p {
		if step.name != "" {
			v = member(v, step.name)
		}
		if len(step.like) > 0 {
			v = first(v, step.like)
		}
	}
	return v
}

func member(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[name]
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// first returns the first member of a list that is like all of that.
func first(v any, wanted []like) any {
	list, _ := v.([]any)
next:
	for _, candidate := range list {
		for _, w := range wanted {
			if written(member(candidate, w.name)) != w.value {
				continue next
			}
		}
		return candidate
	}
	return nil
}

// written is a value as it is written in a path.
func written(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}
