package credential

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// The bounds of hashes that come from elsewhere. Who imports them does not know what
// was put into them, and each is computed as often as somebody tries to sign in.
const (
	maxForeignMemory = 256 * 1024 // KiB, of Argon2 and scrypt
	maxForeignWork   = 1024       // MiB that Argon2 and scrypt go over: memory times passes
	minBcrypt        = 4
	maxBcrypt        = 14
	maxPBKDF2        = 5_000_000 // iterations, times the blocks of output
	maxParallel      = 16        // of scrypt and Argon2
	maxHash          = 1024      // bytes of the whole text
)

var (
	// ErrScheme says that a text is no password hash of a kind that is known here.
	ErrScheme = errors.New("is not a password hash that can be used here: bcrypt, scrypt, PBKDF2, Argon2i or Argon2id")
	// ErrDamaged says that a hash has the beginning of its kind and not its form.
	ErrDamaged = errors.New("is damaged: it has not the form of its kind")
	// ErrCostly says that a hash costs more than is good for a server.
	ErrCostly = fmt.Errorf("costs too much: at most Argon2 and scrypt with %d MiB, going over %d MiB in all, bcrypt with cost %d, PBKDF2 with %d iterations",
		maxForeignMemory/1024, maxForeignWork, maxBcrypt, maxPBKDF2)
)

// stored is a password hash of any kind, ready to be compared with.
type stored struct {
	cost string // what it costs, for those who count
	// fits compares a password, as it was typed and in normal form.
	fits func(typed, normal []byte) bool
}

// CheckForeign says whether a hash that another program made can be compared with
// here, and is not too costly. It returns ErrScheme, ErrDamaged and ErrCostly, which
// hold nothing of the hash.
func CheckForeign(text string) error {
	if p, err := parsePHC(text); err == nil {
		if p.params.Memory > maxForeignMemory || work(uint64(p.params.Memory)*1024, uint64(p.params.Time)) {
			return ErrCostly
		}
		return nil
	}
	_, err := parseForeign(text)
	return err
}

// work reports whether going over so many bytes so many times is too much.
func work(size, times uint64) bool { return times > maxForeignWork || size*times > maxForeignWork<<20 }

// parseForeign reads a hash of another kind than ours. Their bounds are held here, so
// that what somebody wrote into the database is bounded as well.
func parseForeign(text string) (stored, error) {
	if len(text) > maxHash || strings.ContainsAny(text, "\r\n") { // the decoder of base64 would skip those
		return stored{}, ErrScheme
	}
	kind, rest, _ := strings.Cut(strings.TrimPrefix(text, "$"), "$")
	named := strings.HasPrefix(text, "$")
	family, _, _ := strings.Cut(kind, ":")
	switch {
	case named && (kind == "2a" || kind == "2b" || kind == "2y"):
		return parseBcrypt(text, func(b []byte) []byte { return b })
	case kind == "bcrypt": // Django
		return parseBcrypt(rest, func(b []byte) []byte { return b })
	case kind == "bcrypt_sha256": // Django
		return parseBcrypt(rest, func(b []byte) []byte {
			sum := sha256.Sum256(b)
			return []byte(hex.EncodeToString(sum[:]))
		})
	case named && (kind == "argon2id" || kind == "argon2i"):
		return parseArgon2(text)
	case kind == "argon2": // Django
		return parseArgon2("$" + rest)
	case named && kind == "scrypt":
		return parseScrypt(rest)
	case kind == "scrypt":
		return parseDjangoScrypt(rest)
	case family == "scrypt":
		return parseWerkzeugScrypt(kind, rest)
	case named && (kind == "pbkdf2" || strings.HasPrefix(kind, "pbkdf2-")):
		return parsePBKDF2(kind, rest)
	case strings.HasPrefix(kind, "pbkdf2_"):
		return parseDjangoPBKDF2(kind, rest)
	case family == "pbkdf2":
		return parseWerkzeugPBKDF2(kind, rest)
	case strings.HasPrefix(text, "AQ"):
		return parseIdentity(text)
	}
	return stored{}, ErrScheme
}

var bcryptForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`) })

// parseBcrypt reads a bcrypt hash. bcrypt looks at 72 bytes of a password and no
// further, whoever wrote it; so a longer one is compared by its first 72, as it was
// when the hash was made. By the next sign-in all of it counts.
func parseBcrypt(text string, prepare func([]byte) []byte) (stored, error) {
	m := bcryptForm().FindStringSubmatch(text)
	if m == nil {
		return stored{}, ErrDamaged
	}
	cost, _ := strconv.Atoi(m[1])
	switch {
	case cost < minBcrypt:
		return stored{}, ErrDamaged
	case cost > maxBcrypt:
		return stored{}, ErrCostly
	}
	return stored{"bcrypt " + m[1], func(typed, _ []byte) bool {
		if bytes.IndexByte(typed, 0) >= 0 {
			return false // most programs stop there, and this one would not
		}
		key := prepare(typed)
		return bcrypt.CompareHashAndPassword([]byte(text), key[:min(len(key), 72)]) == nil
	}}, nil
}

// parseArgon2 reads an Argon2 hash in the PHC string format.
func parseArgon2(text string) (stored, error) {
	p, err := parsePHC(text)
	switch {
	case err != nil && !phcForm().MatchString(text):
		return stored{}, ErrDamaged
	case err != nil, p.params.Memory > maxForeignMemory, work(uint64(p.params.Memory)*1024, uint64(p.params.Time)):
		return stored{}, ErrCostly
	}
	return stored{p.kind + " " + p.params.costs(), func(typed, _ []byte) bool { return p.fits(typed) }}, nil
}

// phcForm is that of an Argon2 hash whose numbers may be too large.
var phcForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\$argon2id?\$v=19\$m=[1-9][0-9]{0,18},t=[1-9][0-9]{0,18},p=[1-9][0-9]{0,18}\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`)
})

// parseScrypt reads the rest of "$scrypt$ln=14,r=8,p=1$salt$hash", as passlib and
// others write it.
func parseScrypt(rest string) (stored, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return stored{}, ErrDamaged
	}
	costs, err := numbers(parts[0], "ln", "r", "p")
	salt, saltErr := loose(parts[1])
	sum, sumErr := loose(parts[2])
	if err != nil || saltErr != nil || sumErr != nil {
		return stored{}, ErrDamaged
	}
	if costs["ln"] > 40 {
		return stored{}, ErrCostly
	}
	return newScrypt([3]uint64{1 << costs["ln"], costs["r"], costs["p"]}, salt, sum)
}

// parseDjangoScrypt reads the rest of "scrypt$16384$salt$8$5$hash".
func parseDjangoScrypt(rest string) (stored, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 5 {
		return stored{}, ErrDamaged
	}
	return textScrypt([]string{parts[0], parts[2], parts[3]}, parts[1], parts[4], loose)
}

// parseWerkzeugScrypt reads "scrypt:32768:8:1$salt$hash in hexadecimal".
func parseWerkzeugScrypt(kind, rest string) (stored, error) {
	costs := strings.Split(kind, ":")
	salt, sum, ok := strings.Cut(rest, "$")
	if !ok || len(costs) != 4 {
		return stored{}, ErrDamaged
	}
	return textScrypt(costs[1:], salt, sum, hex.DecodeString)
}

func textScrypt(costs []string, salt, sum string, decode func(string) ([]byte, error)) (stored, error) {
	var n [3]uint64
	for i, text := range costs {
		var err error
		if n[i], err = strconv.ParseUint(text, 10, 32); err != nil {
			return stored{}, ErrDamaged
		}
	}
	raw, err := decode(sum)
	if err != nil {
		return stored{}, ErrDamaged
	}
	return newScrypt(n, []byte(salt), raw)
}

// newScrypt bounds N, r and p. RFC 7914 §2: 128·N·r bytes are filled, p times.
func newScrypt(costs [3]uint64, salt, sum []byte) (stored, error) {
	n, r, p := costs[0], costs[1], costs[2]
	switch {
	case n < 2 || n&(n-1) != 0 || r < 1 || p < 1 || !sizes(salt, sum):
		return stored{}, ErrDamaged
	case n > 1<<30 || r > 1024 || p > maxParallel || 128*n*r > maxForeignMemory*1024 || work(128*n*r, p):
		return stored{}, ErrCostly
	}
	return stored{fmt.Sprintf("scrypt N=%d,r=%d,p=%d", n, r, p), func(typed, _ []byte) bool {
		got, err := scrypt.Key(typed, salt, int(n), int(r), int(p), len(sum))
		return err == nil && subtle.ConstantTimeCompare(got, sum) == 1
	}}, nil
}

// hashes are the functions that PBKDF2 is used with, under the name that each has
// after "pbkdf2".
var hashes = map[string]func() hash.Hash{"": sha1.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// parsePBKDF2 reads the rest of "$pbkdf2-sha256$29000$salt$hash" of passlib, or of
// "$pbkdf2-sha256$i=29000$salt$hash", which is how to write what Keycloak exports.
func parsePBKDF2(kind, rest string) (stored, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return stored{}, ErrDamaged
	}
	count, _, _ := strings.Cut(strings.TrimPrefix(parts[0], "i="), ",l=")
	salt, err := loose(parts[1])
	if err != nil {
		return stored{}, ErrDamaged
	}
	sum, err := loose(parts[2])
	if err != nil {
		return stored{}, ErrDamaged
	}
	return newPBKDF2(strings.TrimPrefix(strings.TrimPrefix(kind, "pbkdf2"), "-"), count, salt, sum)
}

// parseDjangoPBKDF2 reads the rest of "pbkdf2_sha256$260000$salt$hash".
func parseDjangoPBKDF2(kind, rest string) (stored, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return stored{}, ErrDamaged
	}
	sum, err := loose(parts[2])
	if err != nil {
		return stored{}, ErrDamaged
	}
	return newPBKDF2(strings.TrimPrefix(kind, "pbkdf2_"), parts[0], []byte(parts[1]), sum)
}

// parseWerkzeugPBKDF2 reads "pbkdf2:sha256:600000$salt$hash in hexadecimal".
func parseWerkzeugPBKDF2(kind, rest string) (stored, error) {
	parts := strings.Split(kind, ":")
	salt, digest, ok := strings.Cut(rest, "$")
	sum, err := hex.DecodeString(digest)
	if !ok || err != nil || len(parts) != 3 {
		return stored{}, ErrDamaged
	}
	return newPBKDF2(parts[1], parts[2], []byte(salt), sum)
}

// parseIdentity reads what ASP.NET Core Identity writes since version 3: base64 of a
// one, the function, the iterations, the size of the salt, the salt and the hash.
func parseIdentity(text string) (stored, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < 13 || raw[0] != 1 {
		return stored{}, ErrScheme
	}
	function, count, size := binary.BigEndian.Uint32(raw[1:]), binary.BigEndian.Uint32(raw[5:]), binary.BigEndian.Uint32(raw[9:])
	if function > 2 || uint64(size) > uint64(len(raw)-13) {
		return stored{}, ErrDamaged
	}
	salt, sum := raw[13:13+size], raw[13+size:]
	return newPBKDF2([]string{"sha1", "sha256", "sha512"}[function], strconv.FormatUint(uint64(count), 10), salt, sum)
}

// newPBKDF2 bounds the iterations. RFC 8018 §5.2: each block of output costs all of
// them.
func newPBKDF2(name, count string, salt, sum []byte) (stored, error) {
	function, known := hashes[name]
	n, err := strconv.ParseUint(count, 10, 64)
	switch {
	case !known:
		return stored{}, ErrScheme
	case err != nil || n < 1 || !sizes(salt, sum):
		return stored{}, ErrDamaged
	}
	block := function().Size()
	if blocks := uint64((len(sum) + block - 1) / block); n > maxPBKDF2 || n*blocks > maxPBKDF2 {
		return stored{}, ErrCostly
	}
	return stored{"pbkdf2 " + name + " " + count, func(typed, _ []byte) bool {
		got, err := pbkdf2.Key(function, string(typed), salt, int(n), len(sum))
		return err == nil && subtle.ConstantTimeCompare(got, sum) == 1
	}}, nil
}

// sizes bounds a salt and a hash; a short hash would fit by chance.
func sizes(salt, sum []byte) bool { return len(salt) <= 256 && len(sum) >= 16 && len(sum) <= 128 }

// numbers reads "ln=14,r=8,p=1", in any order.
func numbers(text string, names ...string) (map[string]uint64, error) {
	all := map[string]uint64{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return nil, ErrDamaged
		}
		all[name] = n
	}
	for _, name := range names {
		if _, ok := all[name]; !ok || len(all) != len(names) {
			return nil, ErrDamaged
		}
	}
	return all, nil
}

// loose reads base64 as programs write it: with or without padding, and passlib's
// form, which has a dot for the plus.
func loose(text string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.ReplaceAll(strings.TrimRight(text, "="), ".", "+"))
}
