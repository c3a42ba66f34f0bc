package web

import (
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/internal/oauth"
)

// devicePage asks for the code that a device shows, RFC 8628 §3.3. It posts
// user_code.
type devicePage struct {
	Status int // 0: 200
	Action string
	Typed  string
	Error  string
}

func (p *pages) device(w http.ResponseWriter, r *http.Request, v devicePage) {
	p.draw(w, r, drawing{view: "device", status: statusOr(v.Status, http.StatusOK), opener: openerFlow, data: v})
}

// maxUserCode bounds what is shown again of what somebody typed, in bytes.
const maxUserCode = 20

// showDevice fills in the code that is in the address, and goes no further: the person
// compares it with that of their device (RFC 8628 §3.3.1, §5.4).
func (s *Web) showDevice(w http.ResponseWriter, r *http.Request) error {
	f, err := form(r)
	if err != nil {
		return err
	}
	s.pages.device(w, r, devicePage{Action: s.base + oauth.PathDevice, Typed: typedCode(f.Get("user_code"))})
	return nil
}

func typedCode(code string) string {
	if code = tidy(code); len(code) > maxUserCode {
		return ""
	}
	return code
}

// device begins the request of the device that shows the code.
func (s *Web) device(w http.ResponseWriter, r *http.Request) error {
	f, err := pageForm(r)
	if err != nil {
		return err
	}
	typed := f.Get("user_code")
	z, err := s.Authority.BeginDevice(r.Context(), typed, s.Address(r))
	if errors.Is(err, oauth.ErrUserCode) {
		s.pages.device(w, r, devicePage{
			Status: http.StatusUnprocessableEntity, Action: s.base + oauth.PathDevice, Typed: typedCode(typed), Error: s.pages.text(r, "device.wrong"),
		})
		return nil
	}
	if err != nil {
		return err
	}
	s.wear(r, z.Client)
	return s.proceed(w, r, z)
}

func (s *Web) deviceDone(w http.ResponseWriter, r *http.Request) error {
	s.pages.done(w, r, donePage{Title: s.pages.text(r, "device.done.title"), Text: s.pages.text(r, "device.done.text")})
	return nil
}

func (s *Web) deviceRefused(w http.ResponseWriter, r *http.Request) error {
	// Nothing failed, but nobody was let in: no check mark.
	s.pages.done(w, r, donePage{Status: http.StatusOK, Title: s.pages.text(r, "device.refused.title"), Text: s.pages.text(r, "device.refused.text")})
	return nil
}
