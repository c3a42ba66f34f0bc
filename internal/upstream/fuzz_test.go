package upstream

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzClaims: whatever a provider tells, twice, what is left of it is bounded, is about
// the person, and vouches for an address only by the answer that has the address.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"sub":"a","email":"a@b.example","email_verified":true}`, `{"email_verified":"true","email":"x"}`, `{"email":["a"],"email_verified":true}`,
		`{"a":{"b":{"c":[[[[[[1]]]]]]}}}`, `{"n":9007199254740993}`, `[]`, `null`, `{"a":1,"a":2}`, `{"iss":"x","nonce":"y","acr":"z"}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`,
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		claims, err := readClaims([]byte(one))
		if err != nil {
			return
		}
		first := text(claims, "email")
		vouched := claims["email_verified"] == true || claims["email_verified"] == "true"
		issuer := claims["iss"]
		if more, err := readClaims([]byte(two)); err == nil {
			second, told := more["email"]
			vouchedThere := more["email_verified"] == true || more["email_verified"] == "true"
			addClaims(claims, more)
			if told {
				first, _ = second.(string)
				vouched = vouchedThere
			}
		}
		if claims["iss"] != issuer && !(same(claims["iss"], issuer)) {
			t.Errorf("iss has become %v", claims["iss"])
		}
		if settleClaims(claims) != nil {
			return
		}
		out, err := json.Marshal(claims)
		if err != nil || len(out) > maxClaims || !shallow(any(claims), maxDepth) || !utf8.Valid(out) {
			t.Errorf("%d bytes are left: %v", len(out), err)
		}
		if verified, there := claims["email_verified"]; there {
			if is, ok := verified.(bool); !ok || is && !vouched || text(claims, "email") != first || first == "" {
				t.Errorf("%q is vouched for: %v", claims["email"], verified)
			}
		}
		if claims["nonce"] != nil || claims["exp"] != nil {
			t.Error("what is about the token is left")
		}
	})
}

// same compares what == cannot.
func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// FuzzPath: a path that is taken leads somewhere or nowhere in any answer.
func FuzzPath(f *testing.F) {
	f.Add("data.id", `{"data":{"id":1}}`)
	f.Add("emails[primary=true][verified=true].email", `{"emails":[{"primary":true,"verified":true,"email":"a"}]}`)
	f.Add("[a=b].c", `[{"a":"b","c":[1,2]}]`)
	f.Add("0.1.2", `[[0,[1,2,3]]]`)
	f.Add("a[b=]x", `{}`)
	f.Fuzz(func(t *testing.T, where, answer string) {
		p, err := parsePath(where)
		if err != nil {
			return
		}
		if len(p) == 0 || len(p) > maxSteps {
			t.Errorf("%q has %d steps", where, len(p))
		}
		v, err := readJSON([]byte(answer))
		if err != nil {
			return
		}
		if s, err := subjectOf(p.in(v)); err == nil && (s == "" || len(s) > 255) {
			t.Errorf("the subject is %q", s)
		}
	})
}

// FuzzAnswer: whatever a browser brings, a code comes once, and Apple's parameter changes
// a name and nothing else.
func FuzzAnswer(f *testing.F) {
	f.Add("code=a&state=b&iss=https%3A%2F%2Fop.example")
	f.Add("error=access_denied&error_description=%0d%0a")
	f.Add("code=a&user=" + url.QueryEscape(`{"name":{"firstName":"A","lastName":"B"},"email":"a@b.example"}`))
	f.Add("code=a&code=b&user=%7B")
	f.Fuzz(func(t *testing.T, query string) {
		v, _ := url.ParseQuery(query)
		a := Answer{Method: "POST", Values: v}
		if err := checkAnswer(a); err != nil {
			return
		}
		if len(v["code"]) > 1 || v.Get("code") == "" && v.Get("error") == "" {
			t.Errorf("%q is taken", query)
		}
		p := Person{Subject: "s", Claims: map[string]any{"email": "ada@a.example", "email_verified": true}}
		if err := appleSettles(&p, a); err != nil {
			return
		}
		for name, claim := range p.Claims {
			s, _ := claim.(string)
			switch name {
			case "email", "email_verified":
			case "name", "given_name", "family_name":
				if s == "" || len(s) > 10*maxAppleName || strings.TrimSpace(s) != s {
					t.Errorf("%s is %q", name, s)
				}
			default:
				t.Errorf("%s is told", name)
			}
		}
		if p.Claims["email"] != "ada@a.example" || p.Subject != "s" {
			t.Error("the parameter has told more than a name")
		}
	})
}
