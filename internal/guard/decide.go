package guard

import (
	"context"
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/resource"
)

// question is a request to be judged, and what became of it.
type question struct {
	mode    string // modeProxy or modeVerify; "": not judged
	method  string // of the request that a proxy asks about; "": there is none
	raw     string // the path as it was sent, with its escapes
	rule    *Rule
	allowed bool
}

type questionKey struct{}

// asked returns the question of a request that decide let through.
func asked(r *http.Request) *question {
	q, _ := r.Context().Value(questionKey{}).(*question)
	return q
}

// decide answers a request that is refused, and hands any other to next, which
// finds the token with resource.Token.
func (g *Guard) decide(w http.ResponseWriter, r *http.Request, q *question, next http.Handler) {
	rule, err := whole, error(nil)
	if g.config.Rules != nil {
		rule, err = g.config.Rules.find(methods(r), q.raw)
	}
	switch {
	case errors.Is(err, errNoRule): // no token of this person would help
		resource.Forbid(w, resource.Problem{Title: "No rule", Detail: err.Error() + "."})
		return
	case err != nil:
		g.api.Refuse(w, r, &resource.Refusal{
			Status: http.StatusBadRequest, Code: resource.CodeInvalidRequest, Description: err.Error(),
		})
		return
	}
	q.rule = rule
	r = r.WithContext(context.WithValue(r.Context(), questionKey{}, q))
	let := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.allowed = true
		next.ServeHTTP(w, r)
	})
	if rule.Public {
		let(w, r)
		return
	}
	g.admit[rule](g.tellable(let)).ServeHTTP(w, r)
}

// needs returns the middleware that holds a request to them.
func (g *Guard) needs(n Needs) func(http.Handler) http.Handler {
	api := g.api
	if n.Stale != nil {
		api = api.Stale(*n.Stale)
	}
	require, signIn := api.Require(n.Scopes...), api.RequireAuthentication(n.Authentication)
	return func(next http.Handler) http.Handler { return require(signIn(next)) }
}

// tellable refuses a token whose claims cannot be told to the API as they are.
func (g *Guard) tellable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !writable(resource.Token(r.Context())) {
			g.api.Refuse(w, r, &resource.Refusal{
				Status: http.StatusUnauthorized, Code: resource.CodeInvalidToken,
				Description: "A claim of the access token cannot be written into a header",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}
