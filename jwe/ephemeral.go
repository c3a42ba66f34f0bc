package jwe

import (
	"crypto/ecdh"
	"fmt"

	"github.com/ostiary/ostiary/internal/strictjson"
	"github.com/ostiary/ostiary/jwa"
)

// An exchangeCurve is a curve of ECDH-ES as RFC 7518 §6.2 and RFC 8037 §2 write
// its keys.
type exchangeCurve struct {
	name  jwa.Curve
	kty   jwa.KeyType
	curve ecdh.Curve
	size  int // of a coordinate in bytes
}

var exchangeCurves = []exchangeCurve{
	{jwa.P256, jwa.EC, ecdh.P256(), 32},
	{jwa.P384, jwa.EC, ecdh.P384(), 48},
	{jwa.P521, jwa.EC, ecdh.P521(), 66},
	{jwa.X25519, jwa.OKP, ecdh.X25519(), 32},
}

// readEphemeral reads the sender's public key in an "epk" member, RFC 7518
// §4.6.1.1. A private key has no business there, and a point that is not on its
// curve is none (RFC 8725 §3.4): somebody who can choose the curve can find out our
// private key.
func readEphemeral(text string) (*ecdh.PublicKey, error) {
	var m struct{ kty, crv, x, y, d strictjson.Value }
	s := strictjson.New(text)
	for s.Next() {
		switch s.Name() {
		case "kty":
			m.kty = s.Value()
		case "crv":
			m.crv = s.Value()
		case "x":
			m.x = s.Value()
		case "y":
			m.y = s.Value()
		case "d":
			m.d = s.Value()
		}
	}
	if s.Err() != nil { // also if there is no epk
		return nil, fmt.Errorf("%w: header: epk: %w", ErrMalformed, s.Err())
	}
	kty, _ := m.kty.Text()
	crv, _ := m.crv.Text()
	for _, c := range exchangeCurves {
		if string(c.name) != crv || string(c.kty) != kty || m.d.Kind() != 0 {
			continue
		}
		// At the full length of the curve, RFC 7518 §6.2.1.2. Uncompressed, SEC 1 §2.3.3.
		point := make([]byte, 0, 1+2*maxCoordinate)
		if c.kty == jwa.EC {
			point = append(point, 4)
		}
		point, okX := appendCoordinate(point, m.x, c.size)
		okY := c.kty == jwa.OKP
		if !okY {
			point, okY = appendCoordinate(point, m.y, c.size)
		}
		public, err := c.curve.NewPublicKey(point)
		if !okX || !okY || err != nil {
			return nil, fmt.Errorf("%w: header: epk is no point on %s", ErrMalformed, c.name)
		}
		return public, nil
	}
	return nil, fmt.Errorf("%w: header: epk is no public key of type %.40q on a curve %.40q that is known here", ErrMalformed, kty, crv)
}

// maxCoordinate is the length of the longest coordinate, one on P-521.
const maxCoordinate = 66

func appendCoordinate(dst []byte, value strictjson.Value, size int) ([]byte, bool) {
	text, _ := value.Text()
	out, err := appendDecoded(dst, []byte(text))
	if err != nil {
		return dst, false
	}
	return out, len(out) == len(dst)+size
}

// appendEphemeral appends an "epk" member and the comma before it.
func appendEphemeral(dst []byte, public *ecdh.PublicKey) []byte {
	for _, c := range exchangeCurves {
		if c.curve != public.Curve() {
			continue
		}
		dst = append(append(dst, `,"epk":{"kty":"`...), c.kty...)
		dst = append(append(append(dst, `","crv":"`...), c.name...), '"')
		point := public.Bytes()
		if c.kty == jwa.OKP {
			dst = appendBytes(dst, "x", point)
		} else {
			dst = appendBytes(appendBytes(dst, "x", point[1:1+c.size]), "y", point[1+c.size:])
		}
		return append(dst, '}')
	}
	return dst
}
