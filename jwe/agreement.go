package jwe

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/ostiary/ostiary/jwa"
)

// parties are the "apu" and "apv" parameters of a key agreement, decoded,
// RFC 7518 §4.6.1.2 and §4.6.1.3.
type parties struct{ u, v []byte }

// derive computes the key that both sides make of the shared secret Z, RFC 7518
// §4.6.2: the Concat KDF of NIST SP 800-56A §5.8.1 with SHA-256. The key is that
// of the content encryption in direct agreement, and else that of the key wrap; the
// algorithm's name goes into it, so that neither can be had for the other.
func derive(z []byte, row jwa.KeyManagement, content jwa.ContentEncryption, p parties) []byte {
	name, size := string(content.Name), content.KeySize
	if row.Mode == jwa.AgreementWrap {
		name, size = string(row.Name), row.WrapSize
	}
	return concatKDF(z, name, size, p)
}

func concatKDF(z []byte, algorithm string, size int, p parties) []byte {
	round := make([]byte, 0, 4+len(z)+3*4+len(algorithm)+len(p.u)+len(p.v)+4)
	round = append(round, 0, 0, 0, 0) // the counter
	round = append(round, z...)
	round = appendSized(round, []byte(algorithm)) // AlgorithmID
	round = appendSized(round, p.u)               // PartyUInfo
	round = appendSized(round, p.v)               // PartyVInfo
	// SuppPubInfo is the length in bits; SuppPrivInfo is empty.
	round = binary.BigEndian.AppendUint32(round, uint32(size*8))
	key := make([]byte, 0, maxCEK)
	for counter := uint32(1); len(key) < size; counter++ {
		binary.BigEndian.PutUint32(round, counter)
		sum := sha256.Sum256(round)
		key = append(key, sum[:]...)
	}
	clear(round)
	return key[:size]
}

// appendSized appends data behind its length in 32 bits.
func appendSized(dst, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(data))), data...)
}
