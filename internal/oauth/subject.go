package oauth

import "github.com/ostiary/ostiary/internal/model"

// Subject is how a client knows a person: the "sub" of every token that it is
// given, OpenID Connect Core §8.
func (a *Authority) Subject(_ model.Client, id model.UserID) string { return string(id) }
