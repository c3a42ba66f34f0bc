package jwe

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// AES Key Wrap, RFC 3394: n blocks of 64 bits become n+1 that also prove that
// they were not changed.

const wrapBlock = 8 // bytes in a block of RFC 3394, half one of AES

// wrapIV is the initial value of RFC 3394 §2.2.3.1, by which unwrapping sees
// that the right key was used on the right text.
var wrapIV = [wrapBlock]byte{0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6}

// wrap encrypts a key whose length is a multiple of 8 bytes, 16 at the least,
// RFC 3394 §2.2.1 in the form that works in place. The result is 8 bytes longer.
func wrap(block cipher.Block, key []byte) []byte {
	n := len(key) / wrapBlock
	out := make([]byte, len(key)+wrapBlock+2*wrapBlock)
	// b is the block A | R[i] that AES works on; out has room for it so that
	// one allocation serves both.
	out, b := out[:len(key)+wrapBlock], out[len(key)+wrapBlock:]
	registers := out[wrapBlock:]
	copy(registers, key)
	copy(b, wrapIV[:])
	for j := range uint64(6) {
		for i := range n {
			r := registers[i*wrapBlock : (i+1)*wrapBlock]
			copy(b[wrapBlock:], r)
			block.Encrypt(b, b)
			xorCounter(b, j*uint64(n)+uint64(i)+1)
			copy(r, b[wrapBlock:])
		}
	}
	copy(out, b[:wrapBlock])
	clear(b)
	return out
}

// unwrap decrypts a wrapped key, RFC 3394 §2.2.2, into key, which must be 8
// bytes shorter than wrapped. It returns 1 if the key is the one that was wrapped,
// and 0 if not; then key holds what nobody must use. Both take the same time.
func unwrap(block cipher.Block, key, wrapped []byte) int {
	n := len(wrapped)/wrapBlock - 1
	if n < 2 || len(wrapped)%wrapBlock != 0 || len(key) != n*wrapBlock {
		return 0
	}
	buffer := make([]byte, n*wrapBlock+2*wrapBlock)
	registers, b := buffer[:n*wrapBlock], buffer[n*wrapBlock:]
	copy(registers, wrapped[wrapBlock:])
	copy(b, wrapped[:wrapBlock])
	for j := uint64(6); j > 0; j-- {
		for i := n; i > 0; i-- {
			r := registers[(i-1)*wrapBlock : i*wrapBlock]
			xorCounter(b, (j-1)*uint64(n)+uint64(i))
			copy(b[wrapBlock:], r)
			block.Decrypt(b, b)
			copy(r, b[wrapBlock:])
		}
	}
	copy(key, registers)
	ok := subtle.ConstantTimeCompare(b[:wrapBlock], wrapIV[:])
	clear(buffer)
	return ok
}

// xorCounter computes A = A xor t on the first half of a block.
func xorCounter(b []byte, t uint64) {
	binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)^t)
}
