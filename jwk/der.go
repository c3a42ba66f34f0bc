package jwk

import (
	"bytes"
	"errors"
)

// maxDERSignature is the longest ASN.1 form of a signature on P-521.
const maxDERSignature = 3 + 2*(2+1+66)

// errDER is what a signer gets that does not answer with an ASN.1 signature.
var errDER = errors.New("jwk: the signer returned a malformed ECDSA signature")

// appendDER turns R ‖ S (RFC 7518 §3.4) into the ASN.1 form that Go verifies:
// a sequence of two integers. The range of R and S is checked by crypto/ecdsa,
// which refuses zero and everything from the order of the curve on.
func appendDER(dst, fixed []byte) []byte {
	half := len(fixed) / 2
	r, s := trimInteger(fixed[:half]), trimInteger(fixed[half:])
	length := integerSize(r) + integerSize(s)
	dst = append(dst, 0x30)
	if length >= 0x80 { // only on P-521, and then one byte is enough
		dst = append(dst, 0x81)
	}
	dst = append(dst, byte(length))
	return appendInteger(appendInteger(dst, r), s)
}

func trimInteger(b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// integerSize is the size of a trimmed positive integer in ASN.1, with a zero
// in front of a set highest bit, which would otherwise be a sign.
func integerSize(b []byte) int {
	return 2 + len(b) + int(b[0]>>7)
}

func appendInteger(dst, b []byte) []byte {
	dst = append(dst, 0x02, byte(integerSize(b)-2))
	if b[0]>>7 == 1 {
		dst = append(dst, 0)
	}
	return append(dst, b...)
}

// appendFixed turns the ASN.1 form into R ‖ S of size bytes together.
func appendFixed(dst, der []byte, size int) ([]byte, error) {
	body, rest, err := cutElement(der, 0x30)
	if err != nil || len(rest) != 0 {
		return nil, errDER
	}
	r, body, err := cutElement(body, 0x02)
	if err != nil {
		return nil, err
	}
	s, body, err := cutElement(body, 0x02)
	if err != nil || len(body) != 0 {
		return nil, errDER
	}
	for _, integer := range [][]byte{r, s} {
		integer = bytes.TrimLeft(integer, "\x00")
		if len(integer) > size/2 {
			return nil, errDER
		}
		for range size/2 - len(integer) {
			dst = append(dst, 0)
		}
		dst = append(dst, integer...)
	}
	return dst, nil
}

// cutElement takes one element with the given tag off the front of der.
func cutElement(der []byte, tag byte) (body, rest []byte, err error) {
	if len(der) < 2 || der[0] != tag {
		return nil, nil, errDER
	}
	length, der := int(der[1]), der[2:]
	if length == 0x81 && len(der) > 0 {
		length, der = int(der[0]), der[1:]
	} else if length >= 0x80 {
		return nil, nil, errDER
	}
	if len(der) < length {
		return nil, nil, errDER
	}
	return der[:length], der[length:], nil
}
