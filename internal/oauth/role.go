package oauth

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

// maxTokenGroups bounds what a token tells of groups or roles, in bytes: it travels
// with every request. Who has more is told without them, and userinfo tells them all.
const maxTokenGroups = 4096

// groupsClaim is the claim in which a client is told groups, or roles.
func groupsClaim(c model.Client) string {
	if c.GroupsClaim != "" {
		return c.GroupsClaim
	}
	return scopeGroups
}

// scopeGroups is the scope that tells groups, and by default the claim.
const scopeGroups = "groups"

// groupsFor returns what a client is told of a person's groups: those that concern it,
// or the roles that they stand for there.
func groupsFor(c model.Client, u model.User) []string {
	var told []string
	for _, group := range u.Profile.Groups {
		name, ours := strings.CutPrefix(group, c.GroupsPrefix)
		if !ours || name == "" {
			continue
		}
		if len(c.GroupRoles) == 0 {
			told = append(told, name)
			continue
		}
		for _, pair := range c.GroupRoles {
			if role, ok := strings.CutPrefix(pair, name+"="); ok && !strings.Contains(role, "=") {
				told = append(told, role)
			}
		}
	}
	if len(c.GroupRoles) > 0 { // several groups may stand for one role
		slices.Sort(told)
		told = slices.Compact(told)
	}
	return told
}

// inToken returns the claim of groups that a token tells by itself, or nothing.
func inToken(i issuance, kind string) map[string]any {
	c := i.client.Client
	if !slices.Contains(c.GroupsIn, kind) || !slices.Contains(i.scope, scopeGroups) {
		return nil
	}
	told := groupsFor(c, i.user)
	if size := len(strings.Join(told, "")); len(told) == 0 || size > maxTokenGroups {
		return nil
	}
	return map[string]any{groupsClaim(c): told}
}
