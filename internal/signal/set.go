package signal

import (
	"cmp"
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/jwa"
)

// setType keeps a security event token from passing for another kind, RFC 8417
// §2.3 and OpenID Shared Signals Framework §4.1.1.
const setType = "secevent+jwt"

// eventClaims is a security event token, RFC 8417 §2.2 as OpenID Shared Signals
// Framework §4.1 profiles it: without "sub" (§4.1.2) and "exp" (§4.1.7).
type eventClaims struct {
	Issuer      string          `json:"iss"`
	ID          string          `json:"jti"`
	IssuedAt    int64           `json:"iat"`
	Audience    string          `json:"aud"`
	Transaction string          `json:"txn"`
	Subject     model.SubjectID `json:"sub_id"`
	Events      map[string]any  `json:"events"` // one, §4.2.1
}

// EventTypes are those that a receiver can ask for.
var EventTypes = []string{
	model.EventSessionRevoked, model.EventCredentialChange, model.EventTokenClaimsChange,
	model.EventAccountDisabled, model.EventAccountEnabled, model.EventAccountPurged, model.EventIdentifierChanged,
}

// errNothingToSay says that an event has lost its meaning before it was sent.
var errNothingToSay = errors.New("there is nothing to say any more")

// sign makes the token of an event for the receiver of a stream. However often it
// is made, it says the same, so that whoever has it knows it again (RFC 8417 §2.2).
func (c Config) sign(ctx context.Context, client model.Client, g model.Signal) (string, error) {
	alg := jwa.Algorithm(client.IDTokenAlgorithm)
	if alg == "" {
		alg = jwa.RS256 // CAEP Interoperability Profile §2.6
	}
	event, err := c.event(ctx, g)
	if err != nil {
		return "", err
	}
	subject, err := c.about(ctx, client, g)
	if err != nil {
		return "", err
	}
	return c.Keys.Sign(alg, setType, eventClaims{
		Issuer: c.Issuer, ID: g.ID, IssuedAt: g.At, Audience: string(client.ID), Transaction: g.Transaction,
		Subject: subject, Events: map[string]any{g.Type: event},
	})
}

// about names whom an event is about, always in the way in which the receiver
// knows them (OpenID Shared Signals Framework §10.1).
func (c Config) about(ctx context.Context, client model.Client, g model.Signal) (model.SubjectID, error) {
	switch {
	case g.UserID == "":
		// OpenID Shared Signals Framework §8.1.4.1 and §8.1.5
		return model.SubjectID{Format: model.FormatOpaque, ID: string(g.StreamID)}, nil
	case g.Type == model.EventIdentifierChanged:
		return model.SubjectID{Format: model.FormatEmail, Email: g.Detail.Email}, nil // RISC 1.0 §2.5: "it MUST specify the old value"
	}
	sub, err := c.Subject(ctx, client, g.UserID)
	if err != nil {
		return model.SubjectID{}, err
	}
	user := model.SubjectID{Format: model.FormatIssSub, Issuer: c.Issuer, Sub: sub} // RFC 9493 §3.2.3
	if g.SessionID == "" {
		return user, nil
	}
	// CAEP 1.0 §3.1: the session is what its ID tokens name as "sid".
	session := model.SubjectID{Format: model.FormatOpaque, ID: string(g.SessionID)}
	return model.SubjectID{Format: model.FormatComplex, User: &user, Session: &session}, nil
}

// event is what is said beside whom it is about.
func (c Config) event(ctx context.Context, g model.Signal) (map[string]any, error) {
	e := map[string]any{}
	switch g.Type {
	case model.EventVerification: // OpenID Shared Signals Framework §8.1.4.1
		if g.Detail.State != "" {
			e["state"] = g.Detail.State
		}
	case model.EventStreamUpdated: // OpenID Shared Signals Framework §8.1.5
		e["status"], e["reason"] = g.Detail.Status, g.Detail.Reason
	case model.EventSessionRevoked: // CAEP 1.0 §3.1
		r := reasonFor(g.Cause)
		e["event_timestamp"], e["initiating_entity"], e["reason_admin"] = g.At, r.initiator, english(r.text)
	case model.EventCredentialChange: // CAEP 1.0 §3.3
		kind, reasons := cmp.Or(g.Detail.CredentialType, model.CredentialPassword), passwordReason
		if kind != model.CredentialPassword {
			reasons = passkeyReason
		}
		if kind == model.CredentialApp {
			reasons = appReason
		}
		if kind == model.CredentialFederated {
			reasons = federatedReason
		}
		e["credential_type"], e["change_type"] = kind, g.Detail.ChangeType
		e["event_timestamp"], e["initiating_entity"], e["reason_admin"] = g.At, g.Detail.Initiator, english(reasons[g.Detail.ChangeType])
	case model.EventTokenClaimsChange: // CAEP 1.0 §3.2
		groups, err := c.groups(ctx, g.UserID)
		if err != nil {
			return nil, err
		}
		e["claims"] = map[string]any{"groups": groups}
		e["event_timestamp"], e["initiating_entity"], e["reason_admin"] = g.At, g.Detail.Initiator, english("The groups of the account have changed")
	case model.EventAccountDisabled: // RISC 1.0 §2.3
		if g.Detail.Reason != "" {
			e["reason"] = g.Detail.Reason
		}
	case model.EventIdentifierChanged: // RISC 1.0 §2.5
		if g.Detail.NewValue != "" {
			e["new-value"] = g.Detail.NewValue
		}
	}
	return e, nil
}

// groups are those that a person has now: the last word, whatever the event was
// about when it was written.
func (c Config) groups(ctx context.Context, id model.UserID) ([]string, error) {
	var user model.User
	err := c.Store.View(ctx, func(tx *store.Tx) (err error) {
		user, err = tx.User(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNothingToSay
	}
	return append([]string{}, user.Profile.Groups...), err
}

// reason is why a session is over, in the words of CAEP 1.0 §2 and in a sentence for
// a log, which CAEP Interoperability Profile §3.1 asks for.
type reason struct{ initiator, text string }

var reasons = map[model.Cause]reason{
	model.CauseSignedOut:        {"user", "The person signed out"},
	model.CauseAdmin:            {"admin", "An administrator ended the session"},
	model.CauseAccountDisabled:  {"admin", "The account was locked or deleted"},
	model.CauseCredentialChange: {"user", "The password of the account was changed"},
	model.CauseReuseDetected:    {"system", "A token was used twice"},
	model.CauseRevoked:          {"system", "The application gave its tokens back"},
	model.CausePolicy:           {"policy", "A policy ended the session"},
	model.CauseExpired:          {"policy", "The session expired"},
	model.CauseSignal:           {"system", "Another server reported that the session is over"},
	model.CauseUpstream:         {"user", "The person signed out at the identity provider by which they had signed in"},
}

func reasonFor(cause model.Cause) reason {
	if r, ok := reasons[cause]; ok {
		return r
	}
	return reason{"system", "The session was ended"}
}

var (
	passwordReason  = map[string]string{"create": "A first password was set", "update": "The password was changed"}
	appReason       = map[string]string{"create": "An app for codes was added", "delete": "An app for codes was removed"}
	federatedReason = map[string]string{"create": "An account elsewhere was connected", "delete": "An account elsewhere was disconnected"}
	passkeyReason   = map[string]string{"create": "A passkey was added", "delete": "A passkey was removed"}
)

// english is a message in the one language that there is, CAEP 1.0 §2.
func english(text string) map[string]string { return map[string]string{"en": text} }
