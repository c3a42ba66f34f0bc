package model

import "encoding/json"

// ClaimsRequest is what a client asked to be told about a person one by one,
// beside what its scopes tell: the parameter "claims", OpenID Connect Core §5.5,
// after the checks.
type ClaimsRequest struct {
	IDToken  WantedClaims `json:"id_token,omitempty"`
	UserInfo WantedClaims `json:"userinfo,omitempty"`
}

// WantedClaims has the values that are acceptable by the name of the claim;
// with none, every value is.
type WantedClaims map[string][]json.RawMessage
