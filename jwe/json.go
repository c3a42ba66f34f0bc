package jwe

import (
	"context"
	"fmt"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwa"
	"github.com/ostiary/ostiary/jwk"
)

// maxRecipients is the most that a message in general JSON serialization may
// have, whatever the options say.
const maxRecipients = 100

// EncryptJSON encrypts one message to one or more keys; see [NewGroupEncrypter]
// for the errors and [Encrypter.EncryptJSON] for the form. Additional data are sent
// in clear and protected; nil if there are none.
func EncryptJSON(plaintext, additional []byte, keys []*jwk.Key, o EncryptOptions) ([]byte, error) {
	e, err := NewGroupEncrypter(keys, o)
	if err != nil {
		return nil, err
	}
	return e.EncryptJSON(plaintext, additional)
}

// EncryptJSON encrypts a plaintext and returns it in JSON serialization, RFC 7516
// §7.2: flattened for one recipient, general for several. Additional data are sent
// in clear and protected; nil if there are none. It returns ErrExhausted.
func (e *Encrypter) EncryptJSON(plaintext, additional []byte) ([]byte, error) {
	scratch := scratches.Get().(*scratch)
	defer scratches.Put(scratch)
	s, err := e.seal(scratch, plaintext, additional)
	if err != nil {
		return nil, err
	}
	out := append(append([]byte(`{"protected":"`), s.header...), '"')
	if e.shared != nil {
		out = append(append(out, `,"unprotected":`...), e.shared...)
	}
	if len(e.senders) > 1 {
		out = e.appendRecipients(out, s.keys)
	} else if len(s.keys[0].key) > 0 {
		out = appendBytes(out, "encrypted_key", s.keys[0].key)
	}
	if len(additional) > 0 {
		out = appendBytes(out, "aad", additional)
	}
	out = appendBytes(out, "iv", s.iv)
	out = appendBytes(out, "ciphertext", s.ciphertext)
	out = appendBytes(out, "tag", s.tag)
	return append(out, '}'), nil
}

// appendRecipients writes what is said of each recipient, RFC 7516 §7.2.1.
func (e *Encrypter) appendRecipients(out []byte, keys []encryptedKey) []byte {
	for i, s := range e.senders {
		separator := `},{"header":{`
		if i == 0 {
			separator = `,"recipients":[{"header":{`
		}
		out = append(append(append(out, separator...), s.members...), keys[i].members...)
		out = appendBytes(append(out, '}'), "encrypted_key", keys[i].key)
	}
	return append(out, "}]"...)
}

// DecryptJSON decrypts one message; see [Decrypter.DecryptJSON] for the errors, to
// which ErrOptions is added. Whoever decrypts more than one should keep a
// [Decrypter].
func DecryptJSON(ctx context.Context, message []byte, keys jwk.Source, o DecryptOptions) (Message, error) {
	d, err := NewDecrypter(keys, o)
	if err != nil {
		return Message{}, err
	}
	return d.DecryptJSON(ctx, message)
}

// DecryptJSON decrypts a message in JSON serialization, RFC 7516 §7.2, flattened
// or general. The errors are those of [Decrypter.Decrypt], ErrRecipients and
// ErrUnprotected.
func (d *Decrypter) DecryptJSON(ctx context.Context, message []byte) (Message, error) {
	if len(message) > d.options.MaxSize {
		return Message{}, fmt.Errorf("%w: %d bytes; at most %d are taken", ErrTooLong, len(message), d.options.MaxSize)
	}
	w, err := readWire(string(message))
	if err != nil {
		return Message{}, err
	}
	if !d.options.UnprotectedHeader && w.hasUnprotected() {
		return Message{}, ErrUnprotected
	}
	if len(w.recipients) > d.options.MaxRecipients {
		return Message{}, fmt.Errorf("%w: %d or more; at most %d are accepted", ErrRecipients, len(w.recipients), d.options.MaxRecipients)
	}
	e, err := w.envelope()
	if err != nil {
		return Message{}, err
	}
	return d.open(ctx, e)
}

// wire is a message in JSON serialization before it is decoded. What is not there
// is "": RFC 7516 §7.2.1 leaves out what is empty.
type wire struct {
	protected, unprotected          string // as it was sent, and as JSON text
	additional, iv, ciphertext, tag string
	recipients                      []wireRecipient
}

type wireRecipient struct{ header, key string }

// present says which members were there.
type present struct{ ciphertext, general, flattened bool }

// readWire reads the members of a message, RFC 7516 §7.2.1. Members that are not
// known are ignored, but for those of a signed message: no text is both.
func readWire(message string) (*wire, error) {
	var w wire
	var single wireRecipient
	var has present
	var err error
	s := strictjson.New(message)
	for s.Next() {
		var wrong error
		switch value := s.Value(); s.Name() {
		case "protected":
			w.protected, wrong = wireText(s.Name(), value)
		case "unprotected":
			w.unprotected, wrong = wireObject(s.Name(), value)
		case "aad":
			w.additional, wrong = wireText(s.Name(), value)
		case "iv":
			w.iv, wrong = wireText(s.Name(), value)
		case "tag":
			w.tag, wrong = wireText(s.Name(), value)
		case "ciphertext":
			has.ciphertext = true
			if value.Raw() != `""` { // of an empty plaintext
				w.ciphertext, wrong = wireText(s.Name(), value)
			}
		case "header", "encrypted_key":
			has.flattened = true
			wrong = single.member(s.Name(), value)
		case "recipients":
			has.general = true
			w.recipients, wrong = wireRecipients(value)
		case "payload", "signature", "signatures": // RFC 7516 §9
			wrong = fmt.Errorf("%w: %q belongs to a signed message", ErrMalformed, s.Name())
		}
		if err == nil {
			err = wrong
		}
	}
	switch {
	case s.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrMalformed, s.Err())
	case err != nil:
		return nil, err
	case !has.ciphertext:
		return nil, fmt.Errorf("%w: ciphertext is missing", ErrMalformed)
	case has.general && has.flattened: // RFC 7516 §7.2.2
		return nil, fmt.Errorf("%w: flattened and general at once", ErrMalformed)
	case !has.general:
		w.recipients = []wireRecipient{single}
	}
	return &w, nil
}

func wireText(name string, value strictjson.Value) (string, error) {
	text, ok := value.Text()
	if !ok || text == "" {
		return "", fmt.Errorf("%w: %s is there and no text", ErrMalformed, name)
	}
	return text, nil
}

func wireObject(name string, value strictjson.Value) (string, error) {
	if value.Kind() != strictjson.Object {
		return "", fmt.Errorf("%w: %s is %v and not an object", ErrMalformed, name, value.Kind())
	}
	return value.Raw(), nil
}

func (r *wireRecipient) member(name string, value strictjson.Value) (err error) {
	switch name {
	case "header":
		r.header, err = wireObject(name, value)
	case "encrypted_key":
		r.key, err = wireText(name, value)
	}
	return err
}

// wireRecipients reads the list of recipients and stops counting where nobody
// accepts more.
func wireRecipients(list strictjson.Value) (recipients []wireRecipient, err error) {
	ok := list.Each(func(element strictjson.Value) bool {
		var r wireRecipient
		if element.Kind() != strictjson.Object {
			err = fmt.Errorf("%w: a recipient is %v and not an object", ErrMalformed, element.Kind())
			return false
		}
		for s := strictjson.New(element.Raw()); s.Next() && err == nil; {
			err = r.member(s.Name(), s.Value())
		}
		recipients = append(recipients, r)
		return err == nil && len(recipients) <= maxRecipients
	})
	switch {
	case err != nil:
		return nil, err
	case !ok && len(recipients) > maxRecipients:
		return nil, fmt.Errorf("%w: more than %d", ErrRecipients, maxRecipients)
	case !ok || len(recipients) == 0:
		return nil, fmt.Errorf("%w: recipients is no list of recipients", ErrMalformed)
	}
	return recipients, nil
}

func (w *wire) hasUnprotected() bool {
	if w.unprotected != "" {
		return true
	}
	for _, r := range w.recipients {
		if r.header != "" {
			return true
		}
	}
	return false
}

// envelope decodes the parts of a message.
func (w *wire) envelope() (*envelope, error) {
	e := &envelope{aad: []byte(w.protected)}
	raw, err := decodeText("protected", w.protected)
	if err != nil {
		return nil, err
	}
	for i := range w.recipients {
		r := recipient{header: new(Header)}
		if err := r.header.parseParts(string(raw), w.unprotected, w.recipients[i].header); err != nil {
			return nil, err
		}
		if r.key, err = decodeText("encrypted_key", w.recipients[i].key); err != nil {
			return nil, err
		}
		e.recipients = append(e.recipients, r)
	}
	if err := e.checkCommon(); err != nil {
		return nil, err
	}
	if e.iv, err = decodeText("iv", w.iv); err != nil {
		return nil, err
	}
	if e.sealed, err = decodeText("ciphertext", w.ciphertext); err != nil {
		return nil, err
	}
	tag, err := decodeText("tag", w.tag)
	if err != nil {
		return nil, err
	}
	e.tagSize = len(tag)
	e.sealed = append(e.sealed, tag...)
	if e.additional, err = decodeText("aad", w.additional); err != nil {
		return nil, err
	}
	if w.additional != "" { // RFC 7516 §5.2 step 15: as it was sent
		e.aad = append(append(e.aad, '.'), w.additional...)
	}
	return e, nil
}

// checkCommon enforces RFC 7516 §7.2.1: one content encryption for all
// recipients, and no key of its own for one of several.
func (e *envelope) checkCommon() error {
	for _, r := range e.recipients {
		if r.header.Encryption != e.recipients[0].header.Encryption {
			return fmt.Errorf("%w: recipients with different enc", ErrMalformed)
		}
		row, _ := r.header.Algorithm.KeyManagement()
		if len(e.recipients) > 1 && alone(row.Mode) {
			return fmt.Errorf("%w: %s for one of several recipients", ErrMalformed, row.Name)
		}
	}
	return nil
}

// alone reports whether a mode settles the content encryption key, so that there
// can be no second recipient, RFC 7516 §5.1 steps 3 and 6.
func alone(m jwa.Mode) bool { return m == jwa.Direct || m == jwa.Agreement }

func decodeText(name, encoded string) ([]byte, error) {
	if encoded == "" {
		return nil, nil
	}
	b, err := decode(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	}
	return b, nil
}
