package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/signal"
)

// fileTransmitter is a transmitter of a file for ostiary apply. Its secret stands
// in another file: this one is for a repository.
type fileTransmitter struct {
	ID         model.TransmitterID `json:"id"`
	Issuer     string              `json:"issuer"`
	SecretFile string              `json:"secret_file,omitempty"` // beside this file, unless it is absolute
	model.TransmitterSettings
}

// planTransmitters compares what a file says of transmitters with what there is.
// A file that says nothing of them leaves them alone, also with --prune.
func (sh shell) planTransmitters(ctx context.Context, a admin, path string, raw []json.RawMessage) ([]signal.TransmitterChange, error) {
	if raw == nil {
		return nil, nil
	}
	var wanted []model.Transmitter
	secrets := map[model.TransmitterID]model.Secret{}
	for i, one := range raw {
		var f fileTransmitter
		if err := strict(one, &f); err != nil {
			return nil, usagef("%s: the transmitter number %d: %v", path, i+1, strings.TrimPrefix(err.Error(), "json: "))
		}
		if f.SecretFile != "" {
			from := f.SecretFile
			if !filepath.IsAbs(from) && path != "-" {
				from = filepath.Join(filepath.Dir(path), from)
			}
			data, err := readBounded(from)
			if err != nil {
				return nil, usagef("%s: the transmitter %q: secret_file: %v", path, f.ID, err)
			}
			secrets[f.ID] = model.Secret(strings.TrimRight(string(data), "\r\n"))
		}
		wanted = append(wanted, model.Transmitter{ID: f.ID, Issuer: f.Issuer, TransmitterSettings: f.TransmitterSettings})
	}
	plan, err := a.Receiver.PlanTransmitters(ctx, wanted, secrets, a.command.Bool("prune"))
	var invalid signal.ErrInvalid
	if errors.As(err, &invalid) {
		return nil, usagef("%s: %v", path, err)
	}
	return plan, err
}

// pushedAnew reports whether a transmitter has come to a secret that it must be
// told.
func pushedAnew(c signal.TransmitterChange) bool {
	return c.After != nil && !c.After.Polled() && c.Secret != ""
}

// showTransmitters prints what will change of the transmitters.
func (sh shell) showTransmitters(plan []signal.TransmitterChange) {
	for _, c := range plan {
		if c.Before == nil || c.After == nil {
			sh.showChange(verb(c.Before, c.After), "transmitter "+string(c.ID), nil)
			continue
		}
		sh.showChange("update", "transmitter "+string(c.ID), transmitterDifferences(*c.Before, *c.After))
		if c.Secret != "" && c.After.Polled() {
			fmt.Fprintln(sh.stdout, "    secret_file  another secret")
		}
	}
}

// transmitterDifferences lists the settings that differ, each with its name, before
// and after.
func transmitterDifferences(before, after model.Transmitter) (list [][3]string) {
	show := func(t model.Transmitter) map[string]any {
		text, err := json.Marshal(fileTransmitter{ID: t.ID, Issuer: t.Issuer, TransmitterSettings: t.TransmitterSettings})
		if err != nil {
			panic(err) // cannot be: it is texts and numbers
		}
		all := map[string]any{}
		if err := json.Unmarshal(text, &all); err != nil {
			panic(err)
		}
		return all
	}
	old, new := show(before), show(after)
	for _, name := range []string{"issuer", "disabled", "jwks_uri", "audience", "stream_id", "match", "events", "max_age", "poll_url", "client_id", "token_endpoint", "scope"} {
		if !reflect.DeepEqual(old[name], new[name]) {
			list = append(list, [3]string{name, settingText(old[name]), settingText(new[name])})
		}
	}
	return list
}

// settingText shows a setting as it stands in JSON, in the words of a line.
func settingText(v any) string {
	var parts []string
	switch v := v.(type) {
	case nil:
		return "nothing"
	case []any:
		for _, one := range v {
			parts = append(parts, fmt.Sprint(one))
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, fmt.Sprintf("%s=%v", name, v[name]))
		}
	default:
		return fmt.Sprint(v)
	}
	return strings.Join(parts, " ")
}
