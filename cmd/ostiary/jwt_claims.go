package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwt"
	"github.com/urfave/cli/v3"
)

// claimFlags returns the flags that say what is in a token.
func claimFlags() []cli.Flag {
	const group = "Claims"
	return []cli.Flag{
		&cli.StringFlag{Name: "claims", Category: group, Usage: "`FILE` with the claims, a JSON object; - is standard input"},
		&cli.StringSliceFlag{Name: "claim", Category: group, Usage: "further `NAME=VALUE`; a value that is JSON is taken as such, another as text"},
		&cli.StringFlag{Name: "expires-in", Category: group, Usage: "`TIME` until the token expires, such as 10m, 2h or 7d"},
		&cli.StringFlag{Name: "not-before", Category: group, Usage: "`TIME` until the token becomes valid"},
		&cli.StringFlag{Name: "iss", Category: group, Usage: "`ISSUER`: who made the token"},
		&cli.StringFlag{Name: "sub", Category: group, Usage: "`SUBJECT`: whom it is about"},
		&cli.StringSliceFlag{Name: "aud", Category: group, Usage: "`AUDIENCE`: whom it is for; repeatable"},
		&cli.StringFlag{Name: "jti", Category: group, Usage: "`ID` of the token"},
		&cli.BoolFlag{Name: "no-timestamp", Category: group, Usage: "leave out when the token was made"},
	}
}

// headerFlags returns the flags that say what is in a header.
func headerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "kid", Category: keyGroup, Usage: "`NAME` of the key: which of a set, or what a single one is called in the header"},
		&cli.StringFlag{Name: "typ", Usage: "`TYPE` of the token in the header", DefaultText: "JWT"},
		&cli.StringSliceFlag{Name: "header", Usage: "further `NAME=VALUE` in the header"},
	}
}

// claims gathers the claims of the flags into one JSON object.
func (t *task) claims() (json.RawMessage, error) {
	var all []member
	if file := t.command.String("claims"); file != "" {
		data, err := t.read("--claims", file)
		if err != nil {
			return nil, err
		}
		if all, err = membersOf(data); err != nil {
			return nil, usagef("--claims: %s: %v", nameOf(file), err)
		}
	}
	for _, text := range t.command.StringSlice("claim") {
		m, err := assignment("claim", text)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	all = append(all, t.namedClaims()...)
	all, err := t.timedClaims(all)
	if err != nil {
		return nil, err
	}
	text := objectOf(all)
	switch _, err := membersOf(text); {
	case errors.Is(err, errTwice):
		return nil, usagef("the claims: %v; give each once", err)
	case err != nil:
		return nil, usagef("the claims: %v", err)
	}
	return text, nil
}

func (t *task) namedClaims() []member {
	var all []member
	for _, name := range []string{"iss", "sub", "jti"} {
		if value := t.command.String(name); value != "" {
			all = append(all, textMember(name, value))
		}
	}
	if audience := t.command.StringSlice("aud"); len(audience) > 0 {
		value, _ := json.Marshal(jwt.Audience(audience)) // of strings: cannot fail
		all = append(all, member{"aud", value})
	}
	return all
}

// timedClaims adds the dates. They count from "iat", if the claims have one.
func (t *task) timedClaims(all []member) ([]member, error) {
	from := t.now()
	at := slices.IndexFunc(all, func(m member) bool { return m.name == "iat" })
	var issued jwt.Time
	switch {
	case at < 0 && !t.command.Bool("no-timestamp"):
		all = append(all, dateMember("iat", from))
	case at >= 0 && json.Unmarshal(all[at].value, &issued) != nil:
		return nil, usagef("the claim iat must be a number of seconds since 1970")
	case at >= 0:
		from = issued.Time
	}
	for _, c := range []struct{ flag, claim string }{{"expires-in", "exp"}, {"not-before", "nbf"}} {
		d, err := t.span(c.flag)
		if err != nil {
			return nil, err
		}
		if d != 0 {
			all = append(all, dateMember(c.claim, from.Add(d)))
		}
	}
	return all, nil
}

func dateMember(name string, at time.Time) member {
	return member{name, strconv.AppendInt(nil, at.Unix(), 10)}
}

// header gathers the members of --header.
func (t *task) header() (map[string]any, error) {
	all := map[string]any{}
	for _, text := range t.command.StringSlice("header") {
		m, err := assignment("header", text)
		if err != nil {
			return nil, err
		}
		if _, twice := all[m.name]; twice {
			return nil, usagef("--header: %q is there twice", m.name)
		}
		all[m.name] = m.value
	}
	return all, nil
}

// eternal warns of a token without expiry.
func (t *task) eternal(claims json.RawMessage) {
	if members, err := membersOf(claims); err == nil && !slices.ContainsFunc(members, func(m member) bool { return m.name == "exp" }) {
		t.warn("warning: the token never expires, and strict verifiers refuse it: add --expires-in")
	}
}

// refused is the sentence for a call that a library refuses.
func refused(err error) error {
	var token *jwt.JSONWebTokenError
	if errors.As(err, &token) && token.Cause != nil {
		return usagef("%s: %s", token.Message, plainCause(token.Cause))
	}
	return usagef("%s", plainCause(err))
}

// plainCause is an error of the library without the names of its packages.
func plainCause(err error) string {
	return strings.NewReplacer("jws: ", "", "jwe: ", "", "jwk: ", "", "jwt: ", "").Replace(err.Error())
}
