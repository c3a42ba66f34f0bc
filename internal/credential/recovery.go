package credential

import (
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

// RecoveryCodes is how many there are at once.
const RecoveryCodes = 10

// recoveryAlphabet leaves out what is taken for something else on paper. Of its 32
// signs 16 are 80 random bits: what nobody finds from its hash.
const (
	recoveryAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	recoveryLength   = 16
)

// NewRecoveryCodes returns codes that each replace a second factor once, as they are
// shown: in groups of four.
func NewRecoveryCodes() []model.Secret {
	codes := make([]model.Secret, RecoveryCodes)
	for i := range codes {
		var b strings.Builder
		for j, r := range randomBytes(recoveryLength) {
			if j > 0 && j%4 == 0 {
				b.WriteByte('-')
			}
			b.WriteByte(recoveryAlphabet[r%32]) // 256 is eight times 32: none comes more often
		}
		codes[i] = model.Secret(b.String())
	}
	return codes
}

// RecoveryCode reads a code however it was typed, and returns what is hashed. It
// returns ErrWrong for what can be none.
func RecoveryCode(typed string) (model.Secret, error) {
	if len(typed) > 64 {
		return "", ErrWrong
	}
	typed = strings.Map(func(c rune) rune {
		switch c {
		case '-', '–', ' ', '\t':
			return -1
		case 'o':
			return '0'
		case 'i', 'l':
			return '1'
		}
		return c
	}, strings.ToLower(typed))
	if len(typed) != recoveryLength || strings.Trim(typed, recoveryAlphabet) != "" {
		return "", ErrWrong
	}
	return model.Secret(typed), nil
}
