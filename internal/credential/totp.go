package credential

import (
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// Codes by the time, RFC 6238, with the values that every app knows: SHA-1, six
// digits, a step of 30 seconds. The clocks may be apart by one step (§5.2).
const (
	totpStep   = 30 // seconds
	totpDigits = 6
	totpDrift  = 1  // steps
	totpSize   = 20 // bytes of a secret, RFC 4226 §4
)

// NewTOTP returns a new secret, as people and apps write it: in base32.
func NewTOTP() model.Secret {
	return model.Secret(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(randomBytes(totpSize)))
}

// CheckTOTP returns for which step a code is the right one, of those around a time
// that come after the step last. It returns ErrWrong. It does the same work for
// every code that has six digits.
func CheckTOTP(secret model.Secret, code string, at time.Time, last int64) (step int64, err error) {
	code = strings.Join(strings.Fields(code), "")
	if len(code) != totpDigits {
		return 0, ErrWrong
	}
	now, found := at.Unix()/totpStep, int64(0)
	for s := now - totpDrift; s <= now+totpDrift; s++ {
		right, err := hotp.GenerateCodeCustom(secret.Reveal(), uint64(s), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, fmt.Errorf("credential: a secret of an app cannot be used: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(right), []byte(code)) == 1 && s > last && found == 0 {
			found = s
		}
	}
	if found == 0 {
		return 0, ErrWrong
	}
	return found, nil
}

// TOTPAddress is a secret as apps take it from a picture or a link: the "Key URI"
// format that all of them read.
func TOTPAddress(secret model.Secret, issuer, login string) model.Secret {
	label := url.PathEscape(strings.ReplaceAll(issuer, ":", " ")) + ":" + url.PathEscape(login)
	q := url.Values{"secret": {secret.Reveal()}, "issuer": {issuer}}
	// Some apps read a "+" as it stands.
	return model.Secret("otpauth://totp/" + label + "?" + strings.ReplaceAll(q.Encode(), "+", "%20"))
}

// QR is a text as a picture: a square with sides of Size modules, in which Path, of
// SVG, is what is dark.
type QR struct {
	Size int
	Path string
}

// quiet is how many modules around the code are light, ISO/IEC 18004 §6.3.8.
const quiet = 4

// NewQR draws a text of some hundred characters.
func NewQR(text model.Secret) (QR, error) {
	code, err := qr.Encode(text.Reveal(), qr.M, qr.Auto)
	if err != nil {
		return QR{}, fmt.Errorf("credential: %w", err)
	}
	side := code.Bounds().Dx()
	var path strings.Builder
	for y := range side {
		for x := 0; x < side; x++ {
			begin := x
			for x < side && dark(code.At(x, y)) {
				x++
			}
			if x > begin {
				fmt.Fprintf(&path, "M%d %dh%dv1H%dz", begin+quiet, y+quiet, x-begin, begin+quiet)
			}
		}
	}
	return QR{Size: side + 2*quiet, Path: path.String()}, nil
}

func dark(c interface{ RGBA() (r, g, b, a uint32) }) bool {
	r, _, _, _ := c.RGBA()
	return r < 0x8000
}

// Box is the part of a picture that is seen: all of it.
func (q QR) Box() string { return "0 0 " + strconv.Itoa(q.Size) + " " + strconv.Itoa(q.Size) }

// Spaced is a secret in groups of four, for people to type.
func Spaced(secret model.Secret) string {
	var b strings.Builder
	for i, c := range secret.Reveal() {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}
