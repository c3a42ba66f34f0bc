package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"syscall"
)

// signature measures a bare ES256 signature, in milliseconds of processor time: the
// yardstick of all that a server signs.
func signature() (float64, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, err
	}
	digest := sha256.Sum256([]byte("ostiary"))
	const times = 2000
	before, err := ownTime()
	if err != nil {
		return 0, err
	}
	for range times {
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
			return 0, err
		}
	}
	after, err := ownTime()
	return (after - before) * 1e3 / times, err
}

// ownTime is the processor time of this process, in seconds.
func ownTime() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, nil
}
