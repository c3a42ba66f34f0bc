package model

import "slices"

// Method is a way to prove who one is.
type Method string

const (
	MethodPassword Method = "password"
	MethodPasskey  Method = "passkey"
	MethodMail     Method = "mail" // a code or a link that was mailed
	MethodTOTP     Method = "totp" // RFC 6238
	MethodRecovery Method = "recovery_code"
	MethodUpstream Method = "upstream" // an identity provider said so

	// MethodDevice is no proof: the browser is remembered, and where a policy alone
	// asks for a second factor it does without one.
	MethodDevice Method = "device"
)

// Methods lists all ways in which people can prove who they are.
func Methods() []Method {
	return []Method{MethodPassword, MethodPasskey, MethodMail, MethodTOTP, MethodRecovery, MethodUpstream}
}

// How people can prove who they are ("acr", OpenID Connect Core §2).
const (
	ACRMail     = "urn:ostiary:acr:mail"     // they read a mail at their address
	ACRPassword = "urn:ostiary:acr:password" // they know their password
	ACRMulti    = "urn:ostiary:acr:mfa"      // two factors
	// ACRPhishingResistant is a passkey whose device made sure of its owner, or one
	// beside a password: OpenID Connect Extended Authentication Profile ACR Values
	// §2.
	ACRPhishingResistant = "phr"
)

// ACRs lists them, the weakest first: each one satisfies those before it.
func ACRs() []string { return []string{ACRMail, ACRPassword, ACRMulti, ACRPhishingResistant} }

// Factor is one proof that somebody has given.
type Factor struct {
	Method   Method   `json:"method"`
	At       int64    `json:"at"`
	Verified bool     `json:"verified,omitempty"` // of a passkey: its device made sure that it was its owner (WebAuthn §6.1, UV); of an upstream: it told of two factors, and its word is taken
	AMR      []string `json:"amr,omitempty"`      // RFC 8176 §2; empty: the method says it

	Upstream UpstreamID `json:"upstream,omitempty"` // that said so
	Stay     string     `json:"stay,omitempty"`     // ID of the Stay over there; empty: none is known
	Until    int64      `json:"until,omitempty"`    // no session stands on it longer; 0: it does not end by itself
}

// ACROf is what factors are worth together; empty: nothing.
func ACROf(factors []Factor) string {
	has := func(m Method) bool {
		return slices.ContainsFunc(factors, func(f Factor) bool { return f.Method == m })
	}
	verified := slices.ContainsFunc(factors, func(f Factor) bool { return f.Method == MethodPasskey && f.Verified })
	trusted := slices.ContainsFunc(factors, func(f Factor) bool { return f.Method == MethodUpstream && f.Verified })
	code := has(MethodTOTP) || has(MethodRecovery)
	switch password, mail := has(MethodPassword), has(MethodMail); {
	case verified, (password || has(MethodUpstream)) && has(MethodPasskey):
		return ACRPhishingResistant
	case trusted, (password || has(MethodUpstream)) && code, password && mail, mail && (code || has(MethodPasskey)):
		return ACRMulti
	case password, has(MethodUpstream):
		// An account elsewhere is a password that was typed elsewhere. A letter beside
		// it is nothing more: whoever reads one's mail often has the account as well.
		return ACRPassword
	case mail:
		return ACRMail
	}
	return "" // a code, or a key that anybody may have found, begins nothing
}

// BestACR is the most that methods are worth, if somebody has them all; empty: nothing.
func BestACR(methods []Method) string {
	var factors []Factor
	for _, m := range methods {
		factors = append(factors, Factor{Method: m, Verified: true})
	}
	return ACROf(factors)
}

// SignIn is what has been proven on the way to a session. It is kept under its
// holder, such as the ID of a request that waits for its person.
type SignIn struct {
	Holder    string
	UserID    UserID // empty: nobody is known yet
	Factors   []Factor
	Remember  bool // the longer life was asked for
	Trust     bool // no second factor shall be asked in this browser for a while
	Declined  bool // they do not want what was only offered
	Tries     int64
	Waits     map[string]string // what ceremonies under way have to remember, by their names
	ExpiresAt int64
}

// SignInPolicy is what an administrator asks of one person at sign-in.
type SignInPolicy struct {
	SecondFactor string   `json:"second_factor,omitempty"` // SecondRequired; empty: as everybody is asked
	Methods      []Method `json:"methods,omitempty"`       // empty: all
}

// When a second factor is wanted.
const (
	SecondOff      = "off"      // where a client asks for it
	SecondOptional = "optional" // of whoever has set one up
	SecondRequired = "required" // of everybody
)

// Device is a browser with which a person has signed in before.
type Device struct {
	Hash      string // Secret.Hash of its cookie
	UserID    UserID
	TrustedTo int64 // so long no second factor is asked there; 0: it is
	CreatedAt int64
	SeenAt    int64
	ExpiresAt int64
}

// TOTP is an app that makes a person's codes.
type TOTP struct {
	ID        string
	UserID    UserID
	Name      string // that the person gave it
	Sealed    string // the secret, under the master key
	Step      int64  // of the last code that was taken, in units of 30 seconds
	CreatedAt int64
	UsedAt    int64
}
