package oauth

import (
	"context"
	"slices"

	"github.com/ostiary/ostiary/internal/model"
)

// Standing is what a session is worth to a client: what its person has proven, as
// far as the policies about people and about the client let it count.
type Standing struct {
	ACR   string // empty: nothing; the person has to sign in anew
	Short bool   // a policy wants a further factor, whatever is asked
	Best  string // what the person could reach
}

// Visitor is a session at a door. Stands says what it is worth to a client that takes
// those sign-in methods, where the door knows; nil: that is asked of Config.Stand.
type Visitor struct {
	model.Session
	Stands func(methods []string) Standing
}

// stand asks what a session is worth to a client.
func (a *Authority) stand(ctx context.Context, v Visitor, c model.Client) (Standing, error) {
	switch {
	case v.Stands != nil:
		return v.Stands(c.SignInMethods), nil
	case a.Stand == nil:
		return Standing{ACR: v.ACR, Best: v.ACR}, nil
	}
	return a.Stand(ctx, v.Session, c.SignInMethods)
}

// satisfies reports whether an acr is as good as one of those that are asked for: it
// is the same, or stands higher on the ladder.
func (a *Authority) satisfies(acr string, asked []string) bool {
	return slices.ContainsFunc(asked, func(one string) bool { return ladder(a.ACRValues).reaches(acr, one) })
}

// ladder is all acr that there are, the weakest first.
type ladder []string

func (l ladder) reaches(acr, asked string) bool {
	have, want := slices.Index(l, acr), slices.Index(l, asked)
	return acr == asked || want >= 0 && have >= want
}

// told is the acr that a client learns: the first one of those it asked for that
// was reached, so that it finds what it looks for; else what it really was.
func (a *Authority) told(asked model.Asked, acr string) string {
	for _, one := range slices.Concat(asked.ACRRequired, asked.ACRValues) {
		if ladder(a.ACRValues).reaches(acr, one) {
			return one
		}
	}
	return acr
}

// Wanted returns the weakest acr that does for what a request and its client's
// registration demand, and the weakest one that does for what the request only
// wishes for; empty: any does.
func (a *Authority) Wanted(z Authorization) (least, wish string) {
	s := Situation{Client: z.Client, Request: z.Request, Ladder: a.ACRValues}
	if sets := s.required(); len(sets) > 0 {
		least = sets[0][0] // if nothing does, that says so
		if i := slices.IndexFunc(a.ACRValues, func(acr string) bool { return s.meets(acr, sets) }); i >= 0 {
			least = a.ACRValues[i]
		}
	}
	i := slices.IndexFunc(a.ACRValues, func(acr string) bool { return a.satisfies(acr, z.Request.Asked.ACRValues) })
	if i >= 0 {
		wish = a.ACRValues[i]
	}
	return least, wish
}

// Unmet is the error when the person cannot prove here what is required.
func (z Authorization) Unmet() *Error { return errUnmetACR() }
