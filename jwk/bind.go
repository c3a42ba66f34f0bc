package jwk

import (
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/jwa"
)

// bind works out what the key may be used with, once and for all, and refuses
// a key whose members contradict its material or each other.
func (k *Key) bind() error {
	if len(k.id) > maxIDBytes {
		return fmt.Errorf("%w: a kid of %d bytes", ErrInvalid, len(k.id))
	}
	if err := checkOperations(k.use, k.ops); err != nil {
		return err
	}
	if k.alg != "" {
		if err := k.bindTo(k.alg); err != nil {
			return err
		}
	} else {
		for _, row := range jwa.Signatures() {
			if k.fits(row) == nil {
				k.usable = append(k.usable, row)
			}
		}
	}
	if k.pss != nil && len(k.usable) == 1 {
		k.alg = k.usable[0].Name // so that a JWK keeps the restriction
	}
	if k.use != "" && k.use != UseSignature { // RFC 7517 §4.2
		k.usable = nil
	}
	return nil
}

// bindTo leaves the key one algorithm, which must be of its type, curve and
// size, RFC 8725 §3.1.
func (k *Key) bindTo(alg jwa.Algorithm) error {
	if encrypts(alg) {
		return k.bindToEncryption(alg)
	}
	row, ok := alg.Signature()
	if !ok {
		return fmt.Errorf("%w: %w", ErrUnsupported, alg.Check())
	}
	if err := k.fits(row); err != nil {
		return err
	}
	k.usable = []jwa.Signature{row}
	return nil
}

// fits returns nil if the key's type, curve and size are those of the row.
func (k *Key) fits(row jwa.Signature) error {
	switch {
	case row.KeyType != k.kind:
		return fmt.Errorf("%w: %s needs a key of type %s, and this one is %s", ErrInvalid, row.Name, row.KeyType, k.kind)
	case row.Curve != k.curve && !(k.insecureCurve && row.Scheme == jwa.ECDSA):
		return fmt.Errorf("%w: %s needs a key on %s, and this one is on %s", ErrInvalid, row.Name, row.Curve, k.curve)
	case k.bits < row.MinKeyBits && !k.insecureSize:
		return fmt.Errorf("%w: %s needs a key of at least %d bits, and this one has %d", ErrWeak, row.Name, row.MinKeyBits, k.bits)
	}
	return k.pss.permits(row)
}

// Operations of the "key_ops" member that concern signatures, RFC 7517 §4.3.
const (
	opSign   = "sign"
	opVerify = "verify"
)

var encryptionOps = []string{"encrypt", "decrypt", "wrapKey", "unwrapKey", "deriveKey", "deriveBits"}

// checkOperations enforces RFC 7517 §4.3: no operation twice, none that the
// "use" member rules out.
func checkOperations(use string, ops []string) error {
	if use != "" && use != UseSignature && use != UseEncryption {
		return fmt.Errorf("%w: use %.40q", ErrUnsupported, use)
	}
	for i, op := range ops {
		if slices.Contains(ops[:i], op) {
			return fmt.Errorf("%w: %.40q twice in key_ops", ErrInvalid, op)
		}
		signs := op == opSign || op == opVerify
		if use == UseEncryption && signs || use == UseSignature && slices.Contains(encryptionOps, op) {
			return fmt.Errorf("%w: use %q and key_ops %.40q contradict each other", ErrInvalid, use, op)
		}
	}
	return nil
}

// permits reports whether "key_ops", if present, lists an operation.
func (k *Key) permits(op string) bool {
	return k.ops == nil || slices.Contains(k.ops, op)
}

// publicOperations turns the operations of a private key into those of its
// public half. Of none at all it makes none at all, and not nil, which permits all.
func publicOperations(ops []string) []string {
	if ops == nil {
		return nil
	}
	public := []string{}
	for _, op := range ops {
		switch op {
		case opSign:
			op = opVerify
		case "decrypt":
			op = "encrypt"
		case "unwrapKey":
			op = "wrapKey"
		}
		if !slices.Contains(public, op) {
			public = append(public, op)
		}
	}
	return public
}
