package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// The formats of subject identifiers that mean something here, RFC 9493 §3.2 and
// OpenID Shared Signals Framework §3.3.
const (
	FormatAccount = "account"
	FormatEmail   = "email"
	FormatIssSub  = "iss_sub"
	FormatOpaque  = "opaque"
	FormatComplex = "complex"
)

// SubjectID says whom or what an event is about, RFC 9493 §3. A complex one has
// simple ones as its members (OpenID Shared Signals Framework §3.3), each of
// which is an attribute of the same subject.
type SubjectID struct {
	Format string `json:"format"`
	Issuer string `json:"iss,omitempty"`
	Sub    string `json:"sub,omitempty"`
	ID     string `json:"id,omitempty"`
	Email  string `json:"email,omitempty"`
	URI    string `json:"uri,omitempty"`

	User    *SubjectID `json:"user,omitempty"`
	Session *SubjectID `json:"session,omitempty"`

	// Others are the members of a complex one that nobody here can interpret.
	Others []string `json:"-"`
}

// UnmarshalJSON implements json.Unmarshaler. It holds an identifier to what its
// format requires, for the formats above, and takes of another one its name.
func (s *SubjectID) UnmarshalJSON(text []byte) error {
	var members map[string]json.RawMessage // by their very names, which a struct would not insist on
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return errors.New("a subject identifier must be an object")
	}
	*s = SubjectID{}
	known := map[string]*string{"format": &s.Format, "iss": &s.Issuer, "sub": &s.Sub, "id": &s.ID, "email": &s.Email, "uri": &s.URI}
	if err := readText(members, "format", &s.Format); err != nil {
		return err
	}
	if s.Format == FormatComplex {
		return s.readComplex(members)
	}
	for _, name := range required[s.Format] {
		if err := readText(members, name, known[name]); err != nil {
			return err
		}
	}
	return nil
}

// required lists the members of each simple format, RFC 9493 §3.2.
var required = map[string][]string{
	FormatAccount: {"uri"},
	FormatEmail:   {"email"},
	FormatIssSub:  {"iss", "sub"},
	FormatOpaque:  {"id"},
}

func readText(members map[string]json.RawMessage, name string, to *string) error {
	if err := json.Unmarshal(members[name], to); err != nil || *to == "" || len(*to) > 2048 {
		return fmt.Errorf("the member %q of a subject identifier must be a text", name)
	}
	return nil
}

func (s *SubjectID) readComplex(members map[string]json.RawMessage) error {
	for name, raw := range members {
		if name == "format" {
			continue
		}
		simple := &SubjectID{}
		if err := simple.UnmarshalJSON(raw); err != nil {
			return err
		}
		if simple.Format == FormatComplex {
			return errors.New("a complex subject must have simple members")
		}
		switch name {
		case "user":
			s.User = simple
		case "session":
			s.Session = simple
		default:
			s.Others = append(s.Others, name)
		}
	}
	slices.Sort(s.Others)
	if len(members) < 2 {
		return errors.New("a complex subject must have a member")
	}
	return nil
}
