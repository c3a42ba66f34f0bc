package credential

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/ostiary/ostiary/internal/model"
)

// MaxPasskeyAnswer is how long the answer of an authenticator may be, in bytes of
// JSON. An attestation that nobody asked for still fits.
const MaxPasskeyAnswer = 16 << 10

// Bounds on what is kept of a passkey.
const (
	maxPublicKey  = 2048 // bytes; RSA of 8192 bits fits
	minRSA        = 2048 // bits
	maxTransports = 8
)

// Errors about passkeys.
var (
	// ErrPasskey says that an answer is not what was asked for: another
	// challenge, another site, a wrong signature, a person not verified.
	ErrPasskey = errors.New("the passkey's answer is not valid")
	// ErrPasskeyCopied says that a counter went back, so that there may be two of
	// what there is to be one of (WebAuthn Level 3 §6.1.1).
	ErrPasskeyCopied = errors.New("the passkey's counter went back")
	// ErrNoDomain says that the issuer is at an address to which browsers bind no
	// passkeys (WebAuthn Level 3 §5.1.2: an RP ID is a domain).
	ErrNoDomain = errors.New("passkeys need an issuer whose host is a name, not an address")
)

// algorithms are the signatures that we take, the best first: those that WebAuthn
// Level 3 §5.4 wants to be offered, and no others.
var algorithms = []webauthncose.COSEAlgorithmIdentifier{
	webauthncose.AlgEdDSA, // -8
	webauthncose.AlgES256, // -7
	webauthncose.AlgRS256, // -257, Windows Hello
}

// Purpose is what a ceremony is for.
type Purpose string

const (
	PasskeyEnrol  Purpose = "enrol"  // a new passkey
	PasskeyFirst  Purpose = "first"  // who somebody is, with nothing known before
	PasskeySecond Purpose = "second" // that somebody is who they have proven already
)

// Ceremony is what is remembered between a question to an authenticator and its
// answer. Only the holder's one answer is compared with it.
type Ceremony struct {
	Purpose   Purpose           `json:"purpose"`
	Challenge string            `json:"challenge"` // 256 random bits, base64url
	UserID    model.UserID      `json:"user_id,omitempty"`
	Handle    string            `json:"handle,omitempty"`  // of that person, base64url
	Allowed   []model.PasskeyID `json:"allowed,omitempty"` // of a second factor
}

// Passkeys asks authenticators and checks their answers, as the relying party of
// WebAuthn Level 3. The site to which passkeys are bound is the issuer's, whatever
// a request says of its host. Safe for concurrent use.
type Passkeys struct {
	party *webauthn.WebAuthn
	id    string
}

// NewPasskeys returns the relying party of an issuer; name is shown by
// authenticators. It returns ErrNoDomain.
func NewPasskeys(issuer, name string) (*Passkeys, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, fmt.Errorf("credential: the issuer: %w", err)
	}
	id := u.Hostname()
	if err := protocol.ValidateRPID(id); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNoDomain, err)
	}
	party, err := webauthn.New(&webauthn.Config{
		RPID: id, RPDisplayName: name, RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		// Password managers add results that nobody asked for; they mean nothing
		// to us (WebAuthn Level 3 §9).
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	return &Passkeys{party: party, id: id}, nil
}

// ID is the RP ID: the domain to which passkeys are bound.
func (p *Passkeys) ID() string { return p.id }

// NewHandle returns a new user handle, 64 random bytes in base64url: what
// authenticators call a person. It says nothing of who that is (WebAuthn Level 3
// §14.6.1).
func NewHandle() string { return base64.RawURLEncoding.EncodeToString(randomBytes(64)) }

// Holder is whose passkeys a ceremony is about.
type Holder struct {
	UserID      model.UserID
	Handle      string // as from NewHandle
	Login, Name string // shown by authenticators
	Passkeys    []model.Passkey
}

// Enrol asks for a new passkey. It returns what the browser is told, a
// PublicKeyCredentialCreationOptionsJSON, and what is to be kept for the answer.
func (p *Passkeys) Enrol(h Holder) ([]byte, Ceremony, error) {
	who, err := newParty(h)
	if err != nil {
		return nil, Ceremony{}, err
	}
	asked, session, err := p.party.BeginRegistration(who,
		webauthn.WithCredentialParameters(parameters()),
		webauthn.WithExclusions(webauthn.Credentials(who.credentials).CredentialDescriptors()),
		// With nothing typed before, only what the authenticator finds by itself can
		// answer; and a passkey that stands alone must know who uses it.
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		}))
	if err != nil {
		return nil, Ceremony{}, fmt.Errorf("credential: %w", err)
	}
	options, err := json.Marshal(asked.Response)
	return options, Ceremony{Purpose: PasskeyEnrol, Challenge: session.Challenge, UserID: h.UserID, Handle: h.Handle}, err
}

// Enrolled checks the answer to Enrol, WebAuthn Level 3 §7.1, and returns the new
// passkey, without an ID and a name. It returns ErrPasskey.
func (p *Passkeys) Enrolled(c Ceremony, answer []byte) (model.Passkey, error) {
	refuse := func(err error) (model.Passkey, error) {
		return model.Passkey{}, fmt.Errorf("%w: %w", ErrPasskey, explain(err))
	}
	if c.Purpose != PasskeyEnrol {
		return refuse(errors.New("a new passkey was not asked for"))
	}
	if len(answer) > MaxPasskeyAnswer {
		return refuse(errTooLong)
	}
	who, err := newParty(Holder{UserID: c.UserID, Handle: c.Handle})
	if err != nil {
		return model.Passkey{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return refuse(err)
	}
	made, err := p.party.CreateCredential(who, webauthn.SessionData{
		Challenge: c.Challenge, RelyingPartyID: p.id, UserID: who.handle,
		UserVerification: protocol.VerificationRequired, CredParams: parameters(),
	}, parsed)
	if err != nil {
		return refuse(err)
	}
	if err := checkPublicKey(made.PublicKey); err != nil {
		return refuse(err)
	}
	k := model.Passkey{
		UserID: c.UserID, Credential: base64.RawURLEncoding.EncodeToString(made.ID), PublicKey: made.PublicKey,
		Counter: made.Authenticator.SignCount, Eligible: made.Flags.BackupEligible, BackedUp: made.Flags.BackupState,
	}
	k.AAGUID = aaguidText(made.Authenticator.AAGUID)
	for _, t := range made.Transport {
		if slices.Contains(transports, t) && !slices.Contains(k.Transports, string(t)) && len(k.Transports) < maxTransports {
			k.Transports = append(k.Transports, string(t))
		}
	}
	return k, nil
}

// transports are those of WebAuthn Level 3 §5.8.4.
var transports = []protocol.AuthenticatorTransport{
	protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal,
}

func parameters() []protocol.CredentialParameter {
	var list []protocol.CredentialParameter
	for _, alg := range algorithms {
		list = append(list, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: alg})
	}
	return list
}

// checkPublicKey refuses keys that are too weak, or too large to be kept and used.
func checkPublicKey(key []byte) error {
	if len(key) > maxPublicKey {
		return errTooLong
	}
	parsed, err := webauthncose.ParsePublicKey(key)
	if err != nil {
		return err
	}
	if r, ok := parsed.(webauthncose.RSAPublicKeyData); ok && new(big.Int).SetBytes(r.Modulus).BitLen() < minRSA {
		return fmt.Errorf("an RSA key of less than %d bits", minRSA)
	}
	return nil
}

// First asks who somebody is: any passkey of this site that can tell by itself.
func (p *Passkeys) First() ([]byte, Ceremony, error) {
	asked, session, err := p.party.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, Ceremony{}, fmt.Errorf("credential: %w", err)
	}
	options, err := json.Marshal(asked.Response)
	return options, Ceremony{Purpose: PasskeyFirst, Challenge: session.Challenge}, err
}

// Second asks for one of the passkeys of somebody who is known already.
func (p *Passkeys) Second(h Holder) ([]byte, Ceremony, error) {
	who, err := newParty(h)
	if err != nil {
		return nil, Ceremony{}, err
	}
	asked, session, err := p.party.BeginLogin(who, webauthn.WithUserVerification(protocol.VerificationPreferred))
	if err != nil {
		return nil, Ceremony{}, fmt.Errorf("credential: %w", err)
	}
	c := Ceremony{Purpose: PasskeySecond, Challenge: session.Challenge, UserID: h.UserID, Handle: h.Handle}
	for _, k := range h.Passkeys {
		c.Allowed = append(c.Allowed, k.ID)
	}
	options, err := json.Marshal(asked.Response)
	return options, c, err
}

// Assertion is an answer to First or Second that could be read; nothing of it is
// proven yet.
type Assertion struct {
	Credential string // base64url, as in model.Passkey
	parsed     *protocol.ParsedCredentialAssertionData
}

// ParseAssertion reads an answer. It returns ErrPasskey.
func ParseAssertion(answer []byte) (Assertion, error) {
	if len(answer) > MaxPasskeyAnswer {
		return Assertion{}, fmt.Errorf("%w: %w", ErrPasskey, errTooLong)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Assertion{}, fmt.Errorf("%w: %w", ErrPasskey, explain(err))
	}
	return Assertion{base64.RawURLEncoding.EncodeToString(parsed.RawID), parsed}, nil
}

// Use is what an answer has proven of a passkey.
type Use struct {
	Counter  uint32
	BackedUp bool
	Verified bool // the authenticator has made sure who uses it
}

// Verify checks an answer by the passkey that it names, WebAuthn Level 3 §7.2;
// handle is that of the passkey's person. It returns ErrPasskey. The counter is
// the caller's to compare (Regressed), with what is stored at that moment.
func (p *Passkeys) Verify(c Ceremony, a Assertion, k model.Passkey, handle string) (Use, error) {
	refuse := func(err error) (Use, error) { return Use{}, fmt.Errorf("%w: %w", ErrPasskey, explain(err)) }
	who, err := newParty(Holder{UserID: k.UserID, Handle: handle, Passkeys: []model.Passkey{k}})
	if err != nil {
		return Use{}, err
	}
	session := webauthn.SessionData{Challenge: c.Challenge, RelyingPartyID: p.id, UserVerification: protocol.VerificationRequired}
	switch {
	case c.Purpose == PasskeyFirst:
		find := func(_, _ []byte) (webauthn.User, error) { return who, nil }
		_, _, err = p.party.ValidatePasskeyLogin(find, session, a.parsed)
	case c.Purpose != PasskeySecond:
		return refuse(errors.New("a sign-in was not asked for"))
	case c.UserID != k.UserID || !slices.Contains(c.Allowed, k.ID):
		return refuse(errors.New("it is not one of those that were asked for"))
	default:
		session.UserID, session.UserVerification = who.handle, protocol.VerificationPreferred
		_, err = p.party.ValidateLogin(who, session, a.parsed)
	}
	if err != nil {
		return refuse(err)
	}
	data := a.parsed.Response.AuthenticatorData
	return Use{Counter: data.Counter, BackedUp: data.Flags.HasBackupState(), Verified: data.Flags.HasUserVerified()}, nil
}

// Regressed reports whether a counter does not go on from what it was, WebAuthn
// Level 3 §7.2 step 22. One that is always zero is not in use.
func Regressed(before, now uint32) bool { return (before != 0 || now != 0) && now <= before }

// errTooLong says that something is longer than anything that makes sense.
var errTooLong = errors.New("too long")

// explain says what the library found wrong, for the log: its error alone shows
// half of it.
func explain(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) && e.DevInfo != "" {
		return fmt.Errorf("%s: %s", e.Details, e.DevInfo)
	}
	return err
}

// party is a person as the library wants them.
type party struct {
	handle      []byte
	login, name string
	credentials []webauthn.Credential
}

func newParty(h Holder) (*party, error) {
	handle, err := base64.RawURLEncoding.DecodeString(h.Handle)
	if err != nil || len(handle) == 0 || len(handle) > 64 {
		return nil, errors.New("credential: a user handle has 1 to 64 bytes, in base64url")
	}
	p := &party{handle: handle, login: h.Login, name: h.Name}
	if p.name == "" {
		p.name = p.login
	}
	for _, k := range h.Passkeys {
		id, err := base64.RawURLEncoding.DecodeString(k.Credential)
		if err != nil {
			return nil, fmt.Errorf("credential: passkey %s: %w", k.ID, err)
		}
		c := webauthn.Credential{
			ID: id, PublicKey: k.PublicKey, Authenticator: webauthn.Authenticator{SignCount: k.Counter},
			Flags: webauthn.CredentialFlags{UserPresent: true, UserVerified: true, BackupEligible: k.Eligible, BackupState: k.BackedUp},
		}
		for _, t := range k.Transports {
			c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
		}
		p.credentials = append(p.credentials, c)
	}
	return p, nil
}

func (p *party) WebAuthnID() []byte                         { return p.handle }
func (p *party) WebAuthnName() string                       { return p.login }
func (p *party) WebAuthnDisplayName() string                { return p.name }
func (p *party) WebAuthnCredentials() []webauthn.Credential { return p.credentials }
