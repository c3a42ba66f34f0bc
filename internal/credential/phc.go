package credential

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// phc is an Argon2 hash in the form of the PHC string format.
type phc struct {
	kind   string // "argon2id", or "argon2i" of other programs
	params Params
	salt   []byte
	hash   []byte
}

func (p phc) String() string {
	return fmt.Sprintf("$%s$v=%d$m=%d,t=%d,p=%d$%s$%s", p.kind, argon2.Version, p.params.Memory, p.params.Time, p.params.Threads,
		base64.RawStdEncoding.EncodeToString(p.salt), base64.RawStdEncoding.EncodeToString(p.hash))
}

// key computes the hash of a password with the parameters, the salt and the size of p.
func (p phc) key(text []byte) []byte {
	compute := argon2.IDKey
	if p.kind == "argon2i" {
		compute = argon2.Key
	}
	return compute(text, p.salt, p.params.Time, p.params.Memory, p.params.Threads, uint32(len(p.hash)))
}

func (p phc) fits(text []byte) bool { return subtle.ConstantTimeCompare(p.key(text), p.hash) == 1 }

var errPHC = errors.New("the stored password hash is damaged")

// parsePHC accepts what String writes, with costs up to the bounds of Params. Its
// errors hold nothing of the hash.
func parsePHC(s string) (phc, error) {
	if len(s) > 512 || strings.ContainsAny(s, "\r\n") { // the decoder of base64 would skip those
		return phc{}, errPHC
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" && parts[1] != "argon2i" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errPHC
	}
	p := phc{kind: parts[1]}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return phc{}, errPHC
	}
	var values [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		text, ok := strings.CutPrefix(costs[i], name)
		n, err := strconv.ParseUint(text, 10, 32)
		if !ok || err != nil || strconv.FormatUint(n, 10) != text {
			return phc{}, errPHC
		}
		values[i] = n
	}
	// RFC 9106 §3.1: eight KiB for each thread. What others made with little memory
	// can be compared with; it is hashed anew.
	if values[0] < 8*values[2] || values[0] > MaxMemory || values[1] < 1 || values[1] > MaxTime || values[2] < 1 || values[2] > MaxThreads {
		return phc{}, errPHC
	}
	p.params = Params{Memory: uint32(values[0]), Time: uint32(values[1]), Threads: uint8(values[2])}
	var err error
	if p.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(p.salt) < 8 || len(p.salt) > 64 {
		return phc{}, errPHC
	}
	if p.hash, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(p.hash) < 16 || len(p.hash) > 64 {
		return phc{}, errPHC
	}
	return p, nil
}
