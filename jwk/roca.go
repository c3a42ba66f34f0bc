package jwk

import "math/big"

// rocaPrimes are the small primes by which a generator with the ROCA fault
// (CVE-2017-15361, Nemec and others, 2017) gives itself away: its primes have
// the form k·M + (65537^a mod M) where M is the product of these primes, so the
// modulus is a power of 65537 modulo each of them. An honest modulus passes
// all of these tests with a probability below 2^-27.
var rocaPrimes = []uint64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83,
	89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

// fingerprintROCA reports whether the modulus comes from such a generator.
func fingerprintROCA(n *big.Int) bool {
	var rest, prime big.Int
	for _, p := range rocaPrimes {
		r := rest.Mod(n, prime.SetUint64(p)).Uint64()
		if !powerOf65537(r, p) {
			return false
		}
	}
	return true
}

// powerOf65537 reports whether r is 65537^a modulo the prime p for some a.
func powerOf65537(r, p uint64) bool {
	generator := 65537 % p
	for x, i := uint64(1), uint64(0); i < p; i++ {
		if x == r {
			return true
		}
		x = x * generator % p
	}
	return false
}
