package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/strictjson"
)

// maxClaims bounds how many claims one request names, and how many values one
// claim may have.
const maxClaims = 100

// claimRequest is one member of the parameter "claims", OpenID Connect Core
// §5.5.1.
type claimRequest struct {
	essential bool
	values    []strictjson.Value // of which one will do; empty: any
}

// texts are the values that are text; no other is comparable with one.
func (c claimRequest) texts() []string {
	var texts []string
	for _, v := range c.values {
		if s, ok := v.Text(); ok {
			texts = append(texts, s)
		}
	}
	return texts
}

// claimsParameter is the parameter "claims" as it was sent.
type claimsParameter struct{ idToken, userInfo map[string]claimRequest }

// checkClaims reads the parameter "claims", OpenID Connect Core §5.5: what to
// tell, who must sign in, and how.
func checkClaims(d *draft) *Error {
	text := d.params.get("claims")
	if text == "" {
		return nil
	}
	p, err := parseClaims(text)
	if err != nil {
		e := fail(InvalidRequest, "The parameter claims is not the JSON of OpenID Connect Core 5.5")
		e.cause = err
		return e
	}
	if p.userInfo != nil && d.asked.ResponseType == "id_token" {
		// OpenID Connect Core §5.5: the member needs an access token to ask with.
		return fail(InvalidRequest, "The claims name userinfo, for which the response_type id_token brings no access token")
	}
	for _, sub := range []claimRequest{p.idToken["sub"], p.userInfo["sub"]} {
		if e := d.expectSub(sub); e != nil {
			return e
		}
	}
	if acr := p.idToken["acr"]; len(acr.values) > 0 {
		d.asked.ACRValues = acr.texts()
		if acr.essential {
			if e := d.requireACR(acr.texts()); e != nil {
				return e
			}
		}
	}
	if slices.Contains(d.asked.Scope, ScopeOpenID) {
		d.asked.Claims = model.ClaimsRequest{IDToken: d.wanted(p.idToken), UserInfo: d.wanted(p.userInfo)}
	}
	return nil
}

// expectSub: a subject that is asked for by value is like an id_token_hint,
// OpenID Connect Core §3.1.2.2.
func (d *draft) expectSub(sub claimRequest) *Error {
	texts := sub.texts()
	switch {
	case len(sub.values) == 0:
		return nil
	case len(sub.values) > 1 || len(texts) != 1 || texts[0] == "" || len(texts[0]) > 255:
		return fail(InvalidRequest, "The claim sub can be asked for with one value, a text of at most 255 bytes")
	}
	person, err := d.personOf(d.ctx, d.client, texts[0])
	if err != nil {
		return inner(err).(*Error)
	}
	return d.expect(person)
}

// wanted keeps of the claims what the server knows and the client may have: a
// claim is as good as the scope that it belongs to, so a client that is not
// registered for that scope does not get it this way either. All others are
// ignored, as OpenID Connect Core §5.5.1 demands also of essential ones.
func (d *draft) wanted(claims map[string]claimRequest) model.WantedClaims {
	var kept model.WantedClaims
	for name, c := range claims {
		// By whichever name a client knows groups, they are stored as what they are.
		switch own := groupsClaim(d.client.Client); {
		case name == own:
			name = scopeGroups
		case name == scopeGroups:
			continue
		}
		if !slices.Contains(d.client.Scopes, scopeOf(name)) {
			continue
		}
		if kept == nil {
			kept = model.WantedClaims{}
		}
		kept[name] = nil
		for _, v := range c.values {
			kept[name] = append(kept[name], json.RawMessage(v.Raw()))
		}
	}
	return kept
}

// scopeOf returns the scope that tells a claim, "" of one that none does.
func scopeOf(claim string) string {
	for scope, claims := range claimsOf {
		if slices.Contains(claims, claim) {
			return scope
		}
	}
	return ""
}

// single lists, in order, the claims asked for that none of the scopes tells:
// those to which a person has to agree one by one.
func single(r model.ClaimsRequest, scope []string) []string {
	var names []string
	for _, wanted := range []model.WantedClaims{r.IDToken, r.UserInfo} {
		for name := range wanted {
			if !slices.Contains(scope, scopeOf(name)) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// Claims lists what the application asks to know beside what its scopes tell.
func (z Authorization) Claims() []string {
	return single(z.Request.Asked.Claims, z.Request.Asked.Scope)
}

// acceptable reports whether a claim has one of the values that were asked for.
func acceptable(claim any, values []json.RawMessage) bool {
	if len(values) == 0 {
		return true
	}
	text, err := json.Marshal(claim)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(values, func(v json.RawMessage) bool {
		var have, want any
		return json.Unmarshal(text, &have) == nil && json.Unmarshal(v, &want) == nil && reflect.DeepEqual(have, want)
	})
}

// parseClaims reads the parameter strictly: what two readers could understand
// differently is refused. Members that are not known are ignored, as OpenID
// Connect Core §5.5 demands.
func parseClaims(text string) (p claimsParameter, err error) {
	s := strictjson.New(text)
	for s.Next() {
		switch s.Name() {
		case "id_token":
			p.idToken, err = parseWanted(s.Value())
		case "userinfo":
			p.userInfo, err = parseWanted(s.Value())
		}
		if err != nil {
			return claimsParameter{}, fmt.Errorf("%s: %w", s.Name(), err)
		}
	}
	if s.Err() != nil {
		return claimsParameter{}, s.Err()
	}
	return p, nil
}

func parseWanted(v strictjson.Value) (map[string]claimRequest, error) {
	if v.Kind() != strictjson.Object {
		return nil, errors.New("it is not an object")
	}
	claims := map[string]claimRequest{}
	s := strictjson.New(v.Raw())
	for s.Next() {
		c, err := parseClaimRequest(s.Value())
		if err != nil {
			return nil, fmt.Errorf("%.40q: %w", s.Name(), err)
		}
		if claims[s.Name()] = c; len(claims) > maxClaims {
			return nil, fmt.Errorf("more than %d claims", maxClaims)
		}
	}
	return claims, s.Err()
}

func parseClaimRequest(v strictjson.Value) (c claimRequest, err error) {
	switch v.Kind() {
	case strictjson.Null:
		return c, nil // OpenID Connect Core §5.5.1: a voluntary claim
	case strictjson.Object:
	default:
		return c, errors.New("it is neither null nor an object")
	}
	var one, many bool
	s := strictjson.New(v.Raw())
	for s.Next() {
		ok := true
		switch member := s.Value(); s.Name() {
		case "essential":
			c.essential, ok = member.Bool()
		case "value":
			c.values, one = append(c.values, member), true
		case "values":
			ok = member.Each(func(v strictjson.Value) bool {
				c.values = append(c.values, v)
				return len(c.values) <= maxClaims
			}) && len(c.values) > 0
			many = true
		}
		if !ok {
			return c, fmt.Errorf("the member %s is malformed", s.Name())
		}
	}
	if one && many {
		return c, errors.New("it has both value and values")
	}
	return c, s.Err()
}
