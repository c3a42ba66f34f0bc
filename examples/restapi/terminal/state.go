package terminal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// state is what is kept between two runs.
type state struct {
	Login     string    `json:"login"`
	Role      string    `json:"role,omitempty"`
	Remember  bool      `json:"remember,omitempty"`
	Access    string    `json:"access_token,omitempty"`
	Refresh   string    `json:"refresh_token,omitempty"`
	Auth      string    `json:"auth_session,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// margin is how long before its end a token is renewed: it must not die on its way.
const margin = 5 * time.Second

// dying reports whether the token is to be renewed before it is used. One that lives
// no longer than that anyway is used while it lives.
func (s state) dying(now time.Time) bool {
	return s.Access != "" && s.Refresh != "" && now.After(s.ExpiresAt.Add(-margin)) && now.Before(s.ExpiresAt)
}

func (p *Program) load() (state, error) {
	text, err := os.ReadFile(p.State)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, stop(Failed, "cannot read %s: choose another file with --state", p.State)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return state{}, stop(Failed, "%s is not a file of this program: remove it, or choose another one with --state", p.State)
	}
	return s, nil
}

// save replaces the file at once, so that a crash leaves the old one or the new one.
func (p *Program) save(s state) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	folder := filepath.Dir(p.State)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("cannot make %s: choose another file with --state", folder)
	}
	f, err := os.CreateTemp(folder, ".notes-") // 0600
	if err != nil {
		return fmt.Errorf("cannot write to %s: choose another file with --state", folder)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), p.State)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write %s: choose another file with --state", p.State), os.Remove(f.Name()))
	}
	return nil
}
