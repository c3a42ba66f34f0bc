package jwk

import (
	"crypto/ed25519"
	"fmt"
	"math/big"
	"slices"
	"sync"
)

// edwards is the curve of Ed25519, -x² + y² = 1 + d·x²·y² modulo 2²⁵⁵-19 (RFC 8032 §5.1),
// computed when it is first asked for: who has no such key pays nothing at the start.
var edwards = sync.OnceValues(func() (prime, d *big.Int) {
	prime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	d = new(big.Int).ModInverse(big.NewInt(121666), prime)
	return prime, d.Mod(d.Mul(d, big.NewInt(-121665)), prime)
})

// checkEd25519 refuses what crypto/ed25519 takes for a public key until it verifies
// with it: bytes that are no point, RFC 8032 §5.1.3, and the points of low order. Under
// one of those a signature can be made for every message without any private key.
func checkEd25519(public ed25519.PublicKey) error {
	prime, d := edwards()
	encoded := slices.Clone(public)
	encoded[31] &= 0x7f // the sign of x
	slices.Reverse(encoded)
	y := new(big.Int).SetBytes(encoded)
	if y.Cmp(prime) >= 0 {
		return fmt.Errorf("%w: the point is not on Ed25519", ErrInvalid)
	}
	square := new(big.Int).Mul(y, y)
	square.Mod(square, prime)
	u := new(big.Int).Sub(square, big.NewInt(1)) // x² is u/v
	v := new(big.Int).Mul(square, d)
	v.Mod(v.Add(v, big.NewInt(1)), prime)
	product := new(big.Int).Mul(u, v) // a square if the quotient is one; v is never 0
	if big.Jacobi(product.Mod(product, prime), prime) < 0 {
		return fmt.Errorf("%w: the point is not on Ed25519", ErrInvalid)
	}
	// The order is 1 or 2 where x is 0, 4 where y is 0, and 8 where doubling the point
	// makes y 0: where x² + y² is 0.
	sum := new(big.Int).Mul(square, v)
	sum.Mod(sum.Add(sum, u), prime)
	if u.Sign() == 0 || y.Sign() == 0 || sum.Sign() == 0 {
		return fmt.Errorf("%w: a point of low order on Ed25519", ErrWeak)
	}
	return nil
}
