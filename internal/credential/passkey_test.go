package credential_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/credential"
	"github.com/ostiary/ostiary/internal/credential/credentialtest"
	"github.com/ostiary/ostiary/internal/model"
)

const (
	issuer = "https://id.example.com/auth"
	origin = "https://id.example.com"
)

func newPasskeys(t *testing.T) *credential.Passkeys {
	t.Helper()
	p, err := credential.NewPasskeys(issuer, "Example")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// enrol makes a passkey of ann by an authenticator.
func enrol(t *testing.T, p *credential.Passkeys, a *credentialtest.Authenticator) (credential.Holder, model.Passkey) {
	t.Helper()
	h := credential.Holder{UserID: "ann", Handle: credential.NewHandle(), Login: "ann"}
	options, c, err := p.Enrol(h)
	if err != nil {
		t.Fatal(err)
	}
	k, err := p.Enrolled(c, a.Create(options))
	if err != nil {
		t.Fatal(err)
	}
	k.ID = "key"
	h.Passkeys = []model.Passkey{k}
	return h, k
}

func TestPasskeyAlgorithms(t *testing.T) {
	for name, alg := range map[string]int{"ES256": credentialtest.ES256, "EdDSA": credentialtest.EdDSA, "RS256": credentialtest.RS256} {
		t.Run(name, func(t *testing.T) {
			p, a := newPasskeys(t), credentialtest.New(t, origin, alg)
			a.Eligible, a.BackedUp = true, true
			a.AAGUID = [16]byte{0xfb, 0xfc, 0x30, 0x07, 0x15, 0x4e, 0x4e, 0xcc, 0x8c, 0x0b, 0x6e, 0x02, 0x05, 0x57, 0xd7, 0xbd}
			a.Transports = []string{"internal", "telepathy", "internal", "hybrid"}
			h, k := enrol(t, p, a)
			if k.UserID != "ann" || !k.Eligible || !k.BackedUp || k.Counter != 1 || credential.AuthenticatorName(k.AAGUID) != "iCloud Keychain" ||
				!reflect.DeepEqual(k.Transports, []string{"internal", "hybrid"}) || k.Credential != base64.RawURLEncoding.EncodeToString(a.ID) {
				t.Errorf("%+v", k)
			}
			for _, ask := range []func() ([]byte, credential.Ceremony, error){p.First, func() ([]byte, credential.Ceremony, error) { return p.Second(h) }} {
				options, c, err := ask()
				if err != nil {
					t.Fatal(err)
				}
				a.BackedUp = !a.BackedUp
				said, err := credential.ParseAssertion(a.Get(options))
				if err != nil || said.Credential != k.Credential {
					t.Fatalf("%+v, %v", said, err)
				}
				use, err := p.Verify(c, said, k, h.Handle)
				if err != nil || use.Counter != a.Counter || use.BackedUp != a.BackedUp || !use.Verified {
					t.Errorf("%+v, %v", use, err)
				}
			}
		})
	}
}

// What the browser is asked for, WebAuthn Level 3 §5.4 and §5.5.
func TestPasskeyOptions(t *testing.T) {
	p := newPasskeys(t)
	h, k := enrol(t, p, credentialtest.New(t, origin, credentialtest.ES256))
	var made struct {
		RP        struct{ ID, Name string }
		User      struct{ ID, Name, DisplayName string }
		Challenge string
		Params    []struct{ Alg int } `json:"pubKeyCredParams"`
		Exclude   []struct {
			ID         string
			Transports []string
		} `json:"excludeCredentials"`
		Selection   struct{ ResidentKey, UserVerification string } `json:"authenticatorSelection"`
		Attestation string
	}
	h.Login, h.Name = "ann", "Ann Other"
	options, c, err := p.Enrol(h)
	if err == nil {
		err = json.Unmarshal(options, &made)
	}
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(made.Challenge); err != nil || len(raw) != 32 || made.Challenge != c.Challenge {
		t.Errorf("challenge %q, %v", made.Challenge, err)
	}
	if made.RP.ID != "id.example.com" || made.RP.Name != "Example" || made.User.ID != h.Handle || made.User.Name != "ann" || made.User.DisplayName != "Ann Other" ||
		made.Selection.ResidentKey != "required" || made.Selection.UserVerification != "required" || made.Attestation != "none" ||
		len(made.Params) != 3 || made.Params[0].Alg != -8 || made.Params[1].Alg != -7 || made.Params[2].Alg != -257 ||
		len(made.Exclude) != 1 || made.Exclude[0].ID != k.Credential || len(made.Exclude[0].Transports) != 2 {
		t.Errorf("%+v", made)
	}
	if strings.Contains(string(options), string(h.UserID)+`"`) && made.User.ID == string(h.UserID) {
		t.Error("the user handle is the user's ID")
	}
	var asked struct {
		Challenge, RPID, UserVerification string
		Allow                             []struct{ ID string } `json:"allowCredentials"`
	}
	options, first, err := p.First()
	if err == nil {
		err = json.Unmarshal(options, &asked)
	}
	if err != nil || asked.UserVerification != "required" || len(asked.Allow) != 0 || asked.RPID != "id.example.com" || asked.Challenge != first.Challenge {
		t.Errorf("%+v, %v", asked, err)
	}
	options, second, err := p.Second(h)
	if err == nil {
		err = json.Unmarshal(options, &asked)
	}
	if err != nil || asked.UserVerification != "preferred" || len(asked.Allow) != 1 || asked.Allow[0].ID != k.Credential || second.Challenge == first.Challenge {
		t.Errorf("%+v, %v", asked, err)
	}
}

func TestPasskeyEnrolRefused(t *testing.T) {
	p := newPasskeys(t)
	other, err := credential.NewPasskeys("https://other.example", "Other")
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name  string
		lie   func(*credentialtest.Authenticator)
		spoil func([]byte) []byte
		ask   func(h credential.Holder) ([]byte, credential.Ceremony, error)
	}{
		{name: "§7.1 step 7: type is not webauthn.create", lie: func(a *credentialtest.Authenticator) { a.Type = "webauthn.get" }},
		{name: "§7.1 step 9: another origin", lie: func(a *credentialtest.Authenticator) { a.Origin = "https://id.example.com.evil.example" }},
		{name: "§7.1 step 9: another port", lie: func(a *credentialtest.Authenticator) { a.Origin = origin + ":8443" }},
		{name: "§7.1 step 9: another scheme", lie: func(a *credentialtest.Authenticator) { a.Origin = "http://id.example.com" }},
		{name: "§7.1 step 10: in a frame of another site", lie: func(a *credentialtest.Authenticator) { a.Foreign = true }},
		{name: "§7.1 step 14: rpIdHash of another site", lie: func(a *credentialtest.Authenticator) { a.RPID = "example.com" }},
		{name: "§7.1 step 15: nobody was there", lie: func(a *credentialtest.Authenticator) { a.Absent = true }},
		{name: "§7.1 step 16: nobody was verified", lie: func(a *credentialtest.Authenticator) { a.Verifies = false }},
		{name: "§7.1 step 18: backed up, but not eligible", lie: func(a *credentialtest.Authenticator) { a.BackedUp = true }},
		{name: "a credential ID of 1024 bytes, §7.1 step 25", lie: func(a *credentialtest.Authenticator) { a.ID = make([]byte, 1024) }},
		{name: "a credential ID of no bytes", lie: func(a *credentialtest.Authenticator) { a.ID = []byte{} }},
		{name: "§7.1 step 8: the challenge of another site", ask: other.Enrol},
		{name: "the challenge of a sign-in", ask: func(credential.Holder) ([]byte, credential.Ceremony, error) { return p.First() }},
		{name: "too long", spoil: func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), credential.MaxPasskeyAnswer)...) }},
		{name: "cut off", spoil: func(b []byte) []byte { return b[:len(b)/2] }},
		{name: "nothing", spoil: func([]byte) []byte { return nil }},
		{name: "null", spoil: func([]byte) []byte { return []byte("null") }},
		{name: "two answers", spoil: func(b []byte) []byte { return append(b, b...) }},
		{name: "the attestation is no CBOR", spoil: func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"attestationObject":"`, `"attestationObject":"AAAA`, 1))
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			a := credentialtest.New(t, origin, credentialtest.ES256)
			if row.lie != nil {
				row.lie(a)
			}
			h := credential.Holder{UserID: "ann", Handle: credential.NewHandle(), Login: "ann"}
			options, c, err := p.Enrol(h)
			if err == nil && row.ask != nil {
				_, c, err = row.ask(h)
			}
			if err != nil {
				t.Fatal(err)
			}
			answer := a.Create(options)
			if row.spoil != nil {
				answer = row.spoil(answer)
			}
			if k, err := p.Enrolled(c, answer); !errors.Is(err, credential.ErrPasskey) || !reflect.DeepEqual(k, model.Passkey{}) {
				t.Errorf("%+v, %v", k, err)
			}
		})
	}
	for name, a := range map[string]*credentialtest.Authenticator{
		"§7.1 step 20: an algorithm that was not offered": credentialtest.New(t, origin, credentialtest.ES384),
		"an RSA key of 1024 bits":                         credentialtest.New(t, origin, credentialtest.RS256),
	} {
		t.Run(name, func(t *testing.T) {
			a.Bits = 1024
			options, c, err := p.Enrol(credential.Holder{UserID: "ann", Handle: credential.NewHandle()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Enrolled(c, a.Create(options)); !errors.Is(err, credential.ErrPasskey) {
				t.Error(err)
			}
		})
	}
}

// TestPasskeyAnswerRefused: P9.
func TestPasskeyAnswerRefused(t *testing.T) {
	p := newPasskeys(t)
	first := func(credential.Holder) ([]byte, credential.Ceremony, error) { return p.First() }
	rows := []struct {
		name  string
		lie   func(*credentialtest.Authenticator)
		ask   func(credential.Holder) ([]byte, credential.Ceremony, error) // what is compared with; the answer is to what stands first
		both  bool                                                         // refused as a second factor as well
		other bool                                                         // compared with the key of somebody else
		spoil func([]byte) []byte
	}{
		{name: "§7.2 step 10: type is not webauthn.get", lie: func(a *credentialtest.Authenticator) { a.Type = "webauthn.create" }, both: true},
		{name: "§7.2 step 11: another challenge, so a replay", ask: first},
		{name: "the challenge of an enrolment", ask: p.Enrol},
		{name: "the challenge of a second factor", ask: p.Second},
		{name: "§7.2 step 12: another origin", lie: func(a *credentialtest.Authenticator) { a.Origin = "https://example.com" }, both: true},
		{name: "§7.2 step 13: in a frame of another site", lie: func(a *credentialtest.Authenticator) { a.Foreign = true }, both: true},
		{name: "§7.2 step 15: rpIdHash of another site", lie: func(a *credentialtest.Authenticator) { a.RPID = "evil.example" }, both: true},
		{name: "§7.2 step 16: nobody was there", lie: func(a *credentialtest.Authenticator) { a.Absent = true }, both: true},
		{name: "§7.2 step 17: nobody was verified, as a first factor", lie: func(a *credentialtest.Authenticator) { a.Verifies = false }},
		{name: "§7.2 step 18: it became eligible for backup", lie: func(a *credentialtest.Authenticator) { a.Eligible = true }, both: true},
		{name: "§7.2 step 18: backed up, but not eligible", lie: func(a *credentialtest.Authenticator) { a.BackedUp = true }, both: true},
		{name: "§7.2 step 6: the user handle of somebody else", lie: func(a *credentialtest.Authenticator) { a.Handle = credential.NewHandle() }, both: true},
		{name: "§7.2 step 6: no user handle, as a first factor", lie: func(a *credentialtest.Authenticator) { a.Handle = "-" }},
		{name: "§7.2 step 21: a signature of another key", other: true, both: true},
		{name: "the signature is cut off", both: true, spoil: func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"signature":"`, `"signature":"AA`, 1))
		}},
	}
	for _, row := range rows {
		for _, second := range []bool{false, true} {
			if second && !row.both {
				continue
			}
			t.Run(row.name+map[bool]string{true: ", second factor"}[second], func(t *testing.T) {
				a := credentialtest.New(t, origin, credentialtest.ES256)
				h, k := enrol(t, p, a)
				if row.lie != nil {
					row.lie(a)
				}
				ask := first
				if second {
					ask = p.Second
				}
				options, c, err := ask(h)
				if err == nil && row.ask != nil {
					_, c, err = row.ask(h)
				}
				if err != nil {
					t.Fatal(err)
				}
				if row.other {
					_, theirs := enrol(t, p, credentialtest.New(t, origin, credentialtest.ES256))
					k.PublicKey = theirs.PublicKey
				}
				answer := a.Get(options)
				if row.spoil != nil {
					answer = row.spoil(answer)
				}
				said, err := credential.ParseAssertion(answer)
				var use credential.Use
				if err == nil {
					use, err = p.Verify(c, said, k, h.Handle)
				}
				if !errors.Is(err, credential.ErrPasskey) || use != (credential.Use{}) {
					t.Errorf("%+v, %v", use, err)
				}
			})
		}
	}
}

func TestPasskeySecondFactor(t *testing.T) {
	p, a := newPasskeys(t), credentialtest.New(t, origin, credentialtest.EdDSA)
	h, k := enrol(t, p, a)
	verify := func(lie func(*credentialtest.Authenticator), k model.Passkey) (credential.Use, error) {
		t.Helper()
		options, c, err := p.Second(h)
		if err != nil {
			t.Fatal(err)
		}
		lie(a)
		said, err := credential.ParseAssertion(a.Get(options))
		if err != nil {
			t.Fatal(err)
		}
		return p.Verify(c, said, k, h.Handle)
	}
	if use, err := verify(func(a *credentialtest.Authenticator) { a.Verifies, a.Handle = false, "-" }, k); err != nil || use.Verified {
		t.Errorf("user verification is preferred only: %+v, %v", use, err)
	}
	theirs := k
	theirs.ID = "another"
	if _, err := verify(func(*credentialtest.Authenticator) {}, theirs); !errors.Is(err, credential.ErrPasskey) {
		t.Errorf("one that was not asked for: %v", err)
	}
	theirs = k
	theirs.UserID = "bob"
	if _, err := verify(func(*credentialtest.Authenticator) {}, theirs); !errors.Is(err, credential.ErrPasskey) {
		t.Errorf("one of another person: %v", err)
	}
}

// WebAuthn Level 3 §7.2 step 22.
func TestRegressed(t *testing.T) {
	for _, row := range []struct {
		before, now uint32
		want        bool
	}{{0, 0, false}, {0, 1, false}, {1, 2, false}, {1, 1, true}, {5, 4, true}, {5, 0, true}, {1<<32 - 1, 0, true}} {
		if got := credential.Regressed(row.before, row.now); got != row.want {
			t.Errorf("from %d to %d: %v", row.before, row.now, got)
		}
	}
}

// The RP ID and the origin come from the issuer.
func TestNewPasskeys(t *testing.T) {
	for issuer, id := range map[string]string{
		"https://id.example.com": "id.example.com", "https://id.example.com:8443/auth": "id.example.com", "http://localhost:8080": "localhost",
		"http://127.0.0.1:8080": "", "https://[2001:db8::1]": "",
	} {
		p, err := credential.NewPasskeys(issuer, "Example")
		switch {
		case id == "" && !errors.Is(err, credential.ErrNoDomain):
			t.Errorf("%s: %v", issuer, err)
		case id != "" && (err != nil || p.ID() != id):
			t.Errorf("%s: %v", issuer, err)
		}
	}
	if a, b := credential.NewHandle(), credential.NewHandle(); a == b || len(a) != 86 {
		t.Errorf("%q, %q", a, b)
	}
}

func FuzzPasskeyAnswer(f *testing.F) {
	a := credentialtest.New(f, origin, credentialtest.ES256)
	p, err := credential.NewPasskeys(issuer, "Example")
	if err != nil {
		f.Fatal(err)
	}
	h := credential.Holder{UserID: "ann", Handle: credential.NewHandle()}
	options, c, err := p.Enrol(h)
	if err != nil {
		f.Fatal(err)
	}
	made := a.Create(options)
	k, err := p.Enrolled(c, made)
	if err != nil {
		f.Fatal(err)
	}
	options, get, err := p.First()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made)
	f.Add(a.Get(options))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if _, err := p.Enrolled(c, answer); err != nil && !errors.Is(err, credential.ErrPasskey) {
			t.Error(err)
		}
		said, err := credential.ParseAssertion(answer)
		if err == nil {
			_, err = p.Verify(get, said, k, h.Handle)
		}
		if err != nil && !errors.Is(err, credential.ErrPasskey) {
			t.Error(err)
		}
	})
}
