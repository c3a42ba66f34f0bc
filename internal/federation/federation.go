// Package federation knows the identity providers whose people may sign in here:
// what an operator has said of them, their sealed secrets, which account belongs to
// whom over there, and how they fare.
//
// It is a rule book like account, and stands above it: a sign-in elsewhere becomes a
// proof of account's. It never speaks a provider's protocol, which is upstream's.
package federation
