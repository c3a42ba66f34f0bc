package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwt"
)

// longLife is beyond what a token that nobody can call back should live.
const longLife = 24 * time.Hour

// milliseconds is beyond any date in seconds: the year 5138.
const milliseconds = 100_000_000_000

func (i *inspection) problem(code, clause, format string, args ...any) {
	i.Findings = append(i.Findings, finding{"problem", code, fmt.Sprintf(format, args...), clause})
}

func (i *inspection) warning(code, clause, format string, args ...any) {
	i.Findings = append(i.Findings, finding{"warning", code, fmt.Sprintf(format, args...), clause})
}

// findInHeader looks for what is dangerous in a header.
func (i *inspection) findInHeader() {
	members, err := membersOf(i.Header)
	if err != nil {
		return // it was read before, and strictly
	}
	for _, m := range members {
		switch m.name {
		case "alg":
			i.findInAlgorithm(textOf(m.value))
		case "jku", "x5u": // RFC 8725 §3.10
			i.warning("address_of_key", "RFC 8725 §3.10", "%s says where to fetch the key: a verifier that goes there trusts whoever wrote the token", m.name)
		case "jwk", "x5c":
			if !strings.EqualFold(i.typ(members), "dpop+jwt") { // where it belongs, RFC 9449 §4.2
				i.warning("own_key", "RFC 8725 §3.10", "it brings its own key (%s): a verifier that takes it accepts every forgery", m.name)
			}
		case "kid":
			if strings.ContainsAny(textOf(m.value), "'\"\\;\x00\n") || strings.Contains(textOf(m.value), "../") {
				i.warning("strange_kid", "RFC 8725 §3.10", "kid looks like an attack on whatever looks the key up")
			}
		case "crit":
			i.warning("critical", "RFC 7515 §4.1.11", "recipients that do not know what crit names must refuse it")
		case "zip":
			i.warning("compressed", "RFC 8725 §3.6", "it was compressed, so that its length tells of its content")
		case "p2c":
			i.findInIterations(m.value)
		}
	}
}

func (i *inspection) typ(members []member) string {
	for _, m := range members {
		if m.name == "typ" {
			return textOf(m.value)
		}
	}
	return ""
}

func (i *inspection) findInAlgorithm(name string) {
	alg := jwa.Algorithm(name)
	if i.Kind == encrypted {
		if row, ok := alg.KeyManagement(); !ok && row.Name == "" {
			i.warning("unknown_algorithm", "", "%q is no algorithm that is known here", name)
		} else if !ok {
			i.problem("broken_algorithm", "RFC 8725 §3.2", "%s is not to be used any more", name)
		}
		return
	}
	switch row, ok := alg.Signature(); {
	case strings.EqualFold(name, "none"):
		i.problem("alg_none", "RFC 8725 §3.2", "it is not signed (alg is %s): anybody can have written it", name)
	case !ok && row.Name == "":
		i.warning("unknown_algorithm", "", "%q is no algorithm of signatures that is known here", name)
	case !ok:
		i.warning("unsupported_algorithm", "", "%s cannot be checked here: %s", name, row.Unsupported)
	}
}

func (i *inspection) findInIterations(value json.RawMessage) {
	var n float64
	switch err := json.Unmarshal(value, &n); {
	case err != nil:
		i.problem("iterations", "RFC 7518 §4.8.1.2", "p2c is not a number")
	case n < 100_000:
		i.warning("iterations", "RFC 7518 §4.8.1.2", "the password is hashed %.0f times only, and is easily guessed", n)
	case n > 1_000_000:
		i.warning("iterations", "RFC 7518 §4.8.1.2", "the password is hashed %.0f times, which keeps a recipient busy", n)
	}
}

// textOf returns the text of a JSON string, and "" for anything else.
func textOf(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

// findInClaims looks for what is wrong with the registered claims.
func (i *inspection) findInClaims(members []member) {
	claims := map[string]json.RawMessage{}
	for _, m := range members {
		claims[m.name] = m.value
	}
	for _, name := range []string{"iss", "sub", "jti"} {
		var text *string
		if value, ok := claims[name]; ok && (json.Unmarshal(value, &text) != nil || text == nil) {
			i.problem("wrong_type", claimMeanings[name].clause, "%s must be a string", name)
		}
	}
	var audience jwt.Audience
	if value, ok := claims["aud"]; ok && json.Unmarshal(value, &audience) != nil {
		i.problem("wrong_type", claimMeanings["aud"].clause, "aud must be a string or a list of strings")
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		var date *float64
		if value, ok := claims[name]; !ok {
			continue
		} else if json.Unmarshal(value, &date) != nil || date == nil || *date < 0 {
			i.problem("wrong_type", claimMeanings[name].clause, "%s must be a number of seconds since 1970", name)
		} else if *date > milliseconds {
			i.problem("milliseconds", "RFC 7519 §2", "%s must be in seconds, and seems to be in milliseconds", name)
		}
	}
	i.findInTimes(claims)
	if _, ok := claims["iss"]; !ok {
		i.warning("no_issuer", "RFC 8725 §3.8", "it does not say who issued it (iss)")
	}
	if _, ok := claims["aud"]; !ok {
		i.warning("no_audience", "RFC 8725 §3.9", "it does not say whom it is for (aud): what one service accepts, every other may accept")
	}
}

// findInTimes looks at the dates together.
func (i *inspection) findInTimes(claims map[string]json.RawMessage) {
	now := i.now.Unix()
	exp, ends := i.Times["exp"]
	nbf, begins := i.Times["nbf"]
	iat, dated := i.Times["iat"]
	if _, ok := claims["exp"]; !ok {
		i.warning("no_expiry", "RFC 7519 §4.1.4", "it never expires (no exp): whoever steals it keeps it")
	}
	if ends && exp.Unix <= now {
		i.problem("expired", "RFC 7519 §4.1.4", "it expired %s", exp.Relative)
	}
	if begins && nbf.Unix > now {
		i.problem("not_yet_valid", "RFC 7519 §4.1.5", "it is not good yet, but %s", nbf.Relative)
	}
	if dated && iat.Unix > now {
		i.warning("issued_in_future", "RFC 7519 §4.1.6", "it was issued %s: a clock is wrong", iat.Relative)
	}
	if ends && (begins && exp.Unix <= nbf.Unix || dated && exp.Unix < iat.Unix) {
		i.problem("never_valid", "RFC 7519 §4.1.4", "it expires before it begins")
	}
	from := now
	if begins {
		from = nbf.Unix
	} else if dated {
		from = iat.Unix
	}
	if exp.Unix > milliseconds {
		return // said already
	}
	if life := time.Duration(min(exp.Unix-from, 1<<32)) * time.Second; ends && life > longLife {
		i.warning("long_life", "RFC 6750 §5.3", "it is good for %s, and for as long can a thief use it", spell(life))
	}
}
