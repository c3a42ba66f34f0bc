package api

import (
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// token is the token endpoint, RFC 6749 §3.2.
func (s *API) token(w http.ResponseWriter, r *http.Request) error {
	call, err := s.call(r)
	if err != nil {
		return err
	}
	tokens, err := s.Authority.Token(r.Context(), call)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, tokens)
}

// introspectionJWT is asked for by whoever wants the answer signed, RFC 9701 §4.
const introspectionJWT = "application/token-introspection+jwt"

// prefers reports whether a request names the special type, and the usual one, which
// everybody gets who does not, has no greater weight (RFC 9110 §12.5.1).
func prefers(r *http.Request, special, usual string) bool {
	weight := map[string]float64{}
	for _, one := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(one)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		weight[kind] = max(weight[kind], q)
	}
	return weight[special] > 0 && weight[special] >= weight[usual]
}

// introspect is the introspection endpoint, RFC 7662 §2 and RFC 9701 §4.
func (s *API) introspect(w http.ResponseWriter, r *http.Request) error {
	call, err := s.call(r)
	if err != nil {
		return err
	}
	if prefers(r, introspectionJWT, "application/json") {
		signed, err := s.Authority.IntrospectSigned(r.Context(), call)
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", introspectionJWT)
		h.Set("Cache-Control", "no-store")
		io.WriteString(w, signed) // a peer that has gone cannot be told
		return nil
	}
	answer, err := s.Authority.Introspect(r.Context(), call)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// revoke is the revocation endpoint, RFC 7009 §2.
func (s *API) revoke(w http.ResponseWriter, r *http.Request) error {
	call, err := s.call(r)
	if err != nil {
		return err
	}
	if err := s.Authority.Revoke(r.Context(), call); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}
