package signal

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// StreamState is whether a stream goes on, OpenID Shared Signals Framework
// §8.1.2.1.
type StreamState struct {
	StreamID model.StreamID     `json:"stream_id"`
	Status   model.StreamStatus `json:"status"`
	Reason   string             `json:"reason,omitempty"`
}

// State returns whether a stream of a client goes on, or ErrNoStream.
func (s *Streams) State(ctx context.Context, client model.ClientID, id model.StreamID) (StreamState, error) {
	t, err := s.find(ctx, client, id)
	return StreamState{StreamID: t.ID, Status: t.Status, Reason: t.Reason}, err
}

// SetState lets a receiver pause a stream, stop it, or go on with it, OpenID
// Shared Signals Framework §8.1.2.2. It returns ErrInvalid and ErrNoStream.
func (s *Streams) SetState(ctx context.Context, by Caller, r StreamRequest) (StreamState, error) {
	id, err := r.streamID()
	if err != nil {
		return StreamState{}, err
	}
	state := StreamState{StreamID: id}
	if json.Unmarshal(r["status"], &state.Status) != nil {
		return StreamState{}, wrong("The member status is missing")
	}
	switch state.Status {
	case model.StreamEnabled, model.StreamPaused, model.StreamDisabled: // CAEP Interoperability Profile §2.3.5
	default:
		return StreamState{}, wrong("The status must be enabled, paused or disabled")
	}
	if raw, ok := r["reason"]; ok && json.Unmarshal(raw, &state.Reason) != nil {
		return StreamState{}, wrong("The member reason must be a text")
	}
	state.Reason = cut(state.Reason, maxReason)
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		t, err := own(tx, by.Client.ID, id)
		if err != nil {
			return err
		}
		if err := tx.SetStreamStatus(id, state.Status, state.Reason, s.unix()); err != nil {
			return err
		}
		return recordStream(tx, by, "stream."+string(state.Status), t)
	})
	return state, err
}

// Verify sends a verification event over a stream, OpenID Shared Signals Framework
// §8.1.4.2. It returns ErrInvalid, ErrNoStream and ErrTooSoon.
func (s *Streams) Verify(ctx context.Context, client model.ClientID, r StreamRequest) error {
	id, err := r.streamID()
	if err != nil {
		return err
	}
	var state string
	if raw, ok := r["state"]; ok && (json.Unmarshal(raw, &state) != nil || len(state) > maxState) {
		return wrong("The member state must be a text of at most %d bytes", maxState)
	}
	now := s.unix()
	err = s.Store.Upkeep(ctx, func(tx *store.Tx) error {
		t, err := own(tx, client, id)
		if err != nil {
			return err
		}
		if err := tx.AskVerification(id, now-verifyInterval, now); err != nil {
			return err
		}
		if t.Status == model.StreamDisabled {
			return nil // §8.1.2.1: nothing is transmitted over it, or held
		}
		return tx.InsertSignal(model.Signal{StreamID: id, Type: model.EventVerification, At: now, Detail: model.SignalDetail{State: state}})
	})
	if errors.Is(err, store.ErrConflict) {
		return ErrTooSoon
	}
	return err
}

// VerifyInterval is how often a verification can be asked for, in seconds.
const VerifyInterval = verifyInterval

// AddSubject lets a receiver hear of a person again (OpenID Shared Signals
// Framework §8.1.3.2), and RemoveSubject hear no more of them (§8.1.3.3). Nobody
// learns from the answer whether there is such a person (§9.1): one whom the
// receiver does not know is passed over. They return ErrInvalid and ErrNoStream.
func (s *Streams) AddSubject(ctx context.Context, by Caller, r StreamRequest) error {
	return s.choose(ctx, by, r, choice{"stream.add-subject", (*store.Tx).IncludeSubject})
}

// RemoveSubject is the opposite of AddSubject.
func (s *Streams) RemoveSubject(ctx context.Context, by Caller, r StreamRequest) error {
	return s.choose(ctx, by, r, choice{"stream.remove-subject", (*store.Tx).ExcludeSubject})
}

// choice is what a receiver wants of a person.
type choice struct {
	action string // of the event
	do     func(*store.Tx, model.StreamID, model.UserID) error
}

func (s *Streams) choose(ctx context.Context, by Caller, r StreamRequest, c choice) error {
	id, err := r.streamID()
	if err != nil {
		return err
	}
	var subject model.SubjectID
	if len(r["subject"]) == 0 {
		return wrong("The member subject is missing")
	}
	if err := json.Unmarshal(r["subject"], &subject); err != nil {
		return wrong("The member subject is not a subject identifier")
	}
	if raw, ok := r["verified"]; ok && json.Unmarshal(raw, new(bool)) != nil {
		return wrong("The member verified must be true or false")
	}
	if _, err := s.find(ctx, by.Client.ID, id); err != nil {
		return err
	}
	user, err := s.meant(ctx, by.Client, subject)
	if err != nil || user == "" {
		return err
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := own(tx, by.Client.ID, id); err != nil {
			return err
		}
		if err := c.do(tx, id, user); err != nil {
			return err
		}
		return tx.Record(model.Event{Actor: by.Actor, Action: c.action, UserID: user, ClientID: by.Client.ID, Detail: "stream=" + string(id)})
	})
}

// meant returns the person whom a receiver names as it knows them, if it does: by
// the "sub" of its ID tokens, or by a verified address. "" is nobody.
func (s *Streams) meant(ctx context.Context, client model.Client, id model.SubjectID) (model.UserID, error) {
	if id.Format == model.FormatComplex {
		if id.User == nil || id.Session != nil || len(id.Others) > 0 {
			return "", nil // that is less than a person
		}
		id = *id.User
	}
	var user model.UserID
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		user, err = candidate(tx, s.Issuer, id)
		if err != nil {
			return err
		}
		knows, err := tx.Knows(client.ID, user)
		if err == nil && !knows {
			err = store.ErrNotFound
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil || id.Format == model.FormatEmail {
		return user, err
	}
	// A sub of another sector would tell that two names are of one person.
	if sub, err := s.Subject(ctx, client, user); err != nil || sub != id.Sub {
		return "", err
	}
	return user, nil
}

func candidate(tx *store.Tx, issuer string, id model.SubjectID) (model.UserID, error) {
	switch {
	case id.Format == model.FormatEmail:
		list, err := tx.UsersByEmail(id.Email)
		if err != nil || len(list) != 1 {
			return "", errors.Join(err, store.ErrNotFound)
		}
		return list[0].ID, nil
	case id.Format != model.FormatIssSub || id.Issuer != issuer:
		return "", store.ErrNotFound
	}
	known, err := tx.Subject(id.Sub)
	if errors.Is(err, store.ErrNotFound) {
		u, err := tx.User(model.UserID(id.Sub))
		return u.ID, err
	}
	return known.UserID, err
}
