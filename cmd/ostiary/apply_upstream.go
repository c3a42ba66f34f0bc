package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/ostiary/ostiary/internal/federation"
	"github.com/ostiary/ostiary/internal/model"
)

// fileUpstream is an identity provider of a file for ostiary apply. Its secrets stand in
// other files: this one is for a repository.
type fileUpstream struct {
	ID          model.UpstreamID  `json:"id"`
	Disabled    bool              `json:"disabled,omitempty"`
	SecretFiles map[string]string `json:"secret_files,omitempty"` // by the name of the secret; beside this file, unless absolute
	model.UpstreamSettings
}

// planUpstreams compares what a file says of identity providers with what there is. A
// file that says nothing of them leaves them alone, also with --prune.
func (sh shell) planUpstreams(ctx context.Context, a admin, path string, raw []json.RawMessage) ([]federation.Change, error) {
	if raw == nil {
		return nil, nil
	}
	var wanted []federation.Wanted
	for i, one := range raw {
		var f fileUpstream
		if err := strict(one, &f); err != nil {
			return nil, usagef("%s: the identity provider number %d: %v", path, i+1, strings.TrimPrefix(err.Error(), "json: "))
		}
		w := federation.Wanted{Upstream: model.Upstream{ID: f.ID, Disabled: f.Disabled, UpstreamSettings: f.UpstreamSettings}, Secrets: map[string]model.Secret{}}
		for name, from := range f.SecretFiles {
			if !filepath.IsAbs(from) && path != "-" {
				from = filepath.Join(filepath.Dir(path), from)
			}
			data, err := readBounded(from)
			if err != nil {
				return nil, usagef("%s: the identity provider %q: secret_files: %s: %v", path, f.ID, name, err)
			}
			w.Secrets[name] = model.Secret(strings.TrimRight(string(data), "\r\n"))
		}
		wanted = append(wanted, w)
	}
	plan, err := a.Federation.Plan(ctx, wanted, a.command.Bool("prune"))
	var invalid federation.ErrInvalid
	if errors.As(err, &invalid) {
		return nil, usagef("%s: %v", path, err)
	}
	return plan, err
}

// showUpstreams prints what will change of the identity providers.
func (sh shell) showUpstreams(plan []federation.Change) {
	for _, c := range plan {
		if c.Before == nil || c.After == nil {
			sh.showChange(verb(c.Before, c.After), "upstream "+string(c.ID), nil)
			continue
		}
		sh.showChange("update", "upstream "+string(c.ID), upstreamDifferences(*c.Before, *c.After))
		if c.Before.Sealed != c.After.Sealed {
			fmt.Fprintln(sh.stdout, "    secret_files  other secrets")
		}
	}
}

// upstreamDifferences lists the settings that differ, each with its name, before and
// after.
func upstreamDifferences(before, after model.Upstream) (list [][3]string) {
	show := func(u model.Upstream) map[string]any {
		text, err := json.Marshal(fileUpstream{ID: u.ID, Disabled: u.Disabled, UpstreamSettings: u.UpstreamSettings})
		if err != nil {
			panic(err) // cannot be: its connection is JSON
		}
		all := map[string]any{}
		if err := json.Unmarshal(text, &all); err != nil {
			panic(err)
		}
		return all
	}
	old, new := show(before), show(after)
	for _, name := range []string{"disabled", "kind", "name", "position", "connection", "domains", "default", "hidden", "sign_up", "link_by_mail", "trust_mail", "trust_acr", "mapping", "keep_tokens"} {
		if !reflect.DeepEqual(old[name], new[name]) {
			list = append(list, [3]string{name, settingText(old[name]), settingText(new[name])})
		}
	}
	return list
}
