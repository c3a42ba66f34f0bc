package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/model"
)

// TestClientSettings: whatever can be said about a client can be said at the
// command and in a file.
func TestClientSettings(t *testing.T) {
	// What only a client that registers itself can say of itself.
	own := []string{"software_statement"}
	kind := reflect.TypeFor[model.ClientSettings]()
	for i := range kind.NumField() {
		member, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
		has := slices.ContainsFunc(clientSettings, func(s clientSetting) bool { return s.member == member })
		if has == slices.Contains(own, member) {
			t.Errorf("%s (%s): there is a setting: %t", kind.Field(i).Name, member, has)
		}
	}
	var flags, server []string
	for _, s := range known {
		server = append(server, s.name)
	}
	for _, s := range clientSettings {
		if slices.Contains(flags, s.flag) || slices.Contains(server, s.flag) {
			t.Errorf("the flag --%s is taken already", s.flag)
		}
		flags = append(flags, s.flag)
	}
}
