package signal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

// Where the endpoints for receivers stand, below the issuer.
const (
	PathStreams       = "/ssf/streams"
	PathStatus        = "/ssf/status"
	PathAddSubject    = "/ssf/subjects/add"
	PathRemoveSubject = "/ssf/subjects/remove"
	PathVerify        = "/ssf/verify"
	PathPoll          = "/ssf/poll/" // and the stream_id
)

// PathConfiguration is put between the host and the path of the issuer, OpenID
// Shared Signals Framework §7.2.
const PathConfiguration = "/.well-known/ssf-configuration"

const (
	maxStreams      = 10 // of one client
	maxRequested    = 100
	maxEndpoint     = 2048 // bytes
	maxHeader       = 4096 // bytes of an Authorization header
	maxDescription  = 512  // bytes; more is cut off, which OpenID Shared Signals Framework §8.1.1 allows
	maxReason       = 512
	maxState        = 1024
	verifyInterval  = 30 // seconds between two verifications
	longestStreamID = 64
)

// Errors of the rules about streams, beside ErrInvalid.
var (
	// ErrNoStream says that the caller has no such stream.
	ErrNoStream = errors.New("there is no such stream of this receiver")
	// ErrManyStreams says that the caller has as many streams as one may have.
	ErrManyStreams = fmt.Errorf("a receiver may have %d streams", maxStreams)
	// ErrTooSoon says that a verification was asked for a moment ago.
	ErrTooSoon = fmt.Errorf("a verification can be asked for every %d seconds", verifyInterval)
)

// ErrInvalid says what is wrong with a request.
type ErrInvalid struct{ Reason string }

func (e ErrInvalid) Error() string { return e.Reason }

func wrong(format string, args ...any) error { return ErrInvalid{fmt.Sprintf(format, args...)} }

// Streams is the rule book about what receivers agree with us about being told.
// Each of them, a client, sees its own streams only.
type Streams struct {
	Config

	mu      sync.Mutex
	changed chan struct{}          // closed when something new may be in a stream
	waiting map[model.StreamID]int // polls that wait on this node
	stopped chan struct{}          // closed when none may wait any more
}

func newStreams(c Config) *Streams {
	return &Streams{Config: c, changed: make(chan struct{}), waiting: map[model.StreamID]int{}, stopped: make(chan struct{})}
}

// Caller is a receiver that asks for something about its streams.
type Caller struct {
	Client model.Client
	Actor  model.Actor
}

// Metadata describes the transmitter, OpenID Shared Signals Framework §7.1. What
// it says is true: what is not offered is not in it.
type Metadata struct {
	SpecVersion          string        `json:"spec_version"`
	Issuer               string        `json:"issuer"`
	JWKSURI              string        `json:"jwks_uri"`
	DeliveryMethods      []string      `json:"delivery_methods_supported"`
	Configuration        string        `json:"configuration_endpoint"`
	Status               string        `json:"status_endpoint"`
	AddSubject           string        `json:"add_subject_endpoint"`
	RemoveSubject        string        `json:"remove_subject_endpoint"`
	Verification         string        `json:"verification_endpoint"`
	AuthorizationSchemes []interchange `json:"authorization_schemes"`
	DefaultSubjects      string        `json:"default_subjects"`
}

// interchange names a way to be authorized, OpenID Shared Signals Framework §7.1.1.
type interchange struct {
	SpecURN string `json:"spec_urn"`
}

// Metadata returns the description of the transmitter, whose keys are at jwks.
func (s *Streams) Metadata(jwks string) Metadata {
	return Metadata{
		SpecVersion:          "1_0",
		Issuer:               s.Issuer,
		JWKSURI:              jwks,
		DeliveryMethods:      []string{model.DeliverPush, model.DeliverPoll},
		Configuration:        s.Issuer + PathStreams,
		Status:               s.Issuer + PathStatus,
		AddSubject:           s.Issuer + PathAddSubject,
		RemoveSubject:        s.Issuer + PathRemoveSubject,
		Verification:         s.Issuer + PathVerify,
		AuthorizationSchemes: []interchange{{"urn:ietf:rfc:6749"}}, // CAEP Interoperability Profile §2.3.7
		DefaultSubjects:      "ALL",
	}
}

// StreamConfiguration is a stream as its receiver sees it, OpenID Shared Signals
// Framework §8.1.1.
type StreamConfiguration struct {
	StreamID              model.StreamID `json:"stream_id"`
	Issuer                string         `json:"iss"`
	Audience              string         `json:"aud"`
	EventsSupported       []string       `json:"events_supported"`
	EventsRequested       []string       `json:"events_requested,omitempty"`
	EventsDelivered       []string       `json:"events_delivered"`
	Delivery              Delivery       `json:"delivery"`
	MinVerificationPeriod int64          `json:"min_verification_interval"`
	Description           string         `json:"description,omitempty"`
}

// Delivery says how events reach the receiver, OpenID Shared Signals Framework
// §6.1. The header for its endpoint is a secret, and is never shown again.
type Delivery struct {
	Method      string `json:"method"`
	EndpointURL string `json:"endpoint_url"`
}

// StreamRequest is what a receiver sends about a stream, member by member as it
// came: whether one is there matters.
type StreamRequest map[string]json.RawMessage

func (s *Streams) configuration(t model.Stream) StreamConfiguration {
	c := StreamConfiguration{
		StreamID: t.ID, Issuer: s.Issuer, Audience: string(t.ClientID),
		EventsSupported: EventTypes, EventsRequested: t.Requested, EventsDelivered: append([]string{}, t.Delivered...),
		Delivery:              Delivery{Method: t.Method, EndpointURL: t.Endpoint},
		MinVerificationPeriod: verifyInterval, Description: t.Description,
	}
	if t.Method == model.DeliverPoll {
		c.Delivery.EndpointURL = s.pollURL(t.ID)
	}
	return c
}

// pollURL is where the events of a stream are retrieved. It is "unique per stream
// for a given Receiver", OpenID Shared Signals Framework §6.1.2.
func (s *Streams) pollURL(id model.StreamID) string { return s.Issuer + PathPoll + string(id) }

// Create makes a stream, OpenID Shared Signals Framework §8.1.1.1. It returns
// ErrInvalid and ErrManyStreams.
func (s *Streams) Create(ctx context.Context, by Caller, r StreamRequest) (StreamConfiguration, error) {
	now := s.unix()
	t := model.Stream{
		ID: model.StreamID(model.NewID()), ClientID: by.Client.ID, Status: model.StreamEnabled, CreatedAt: now, UpdatedAt: now,
	}
	if err := s.replace(&t, r); err != nil {
		return StreamConfiguration{}, err
	}
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertStream(t, maxStreams); err != nil {
			return err
		}
		return recordStream(tx, by, "stream.create", t)
	})
	if errors.Is(err, store.ErrConflict) {
		return StreamConfiguration{}, ErrManyStreams
	}
	return s.configuration(t), err
}

func recordStream(tx *store.Tx, by Caller, action string, t model.Stream) error {
	return tx.Record(model.Event{Actor: by.Actor, Action: action, ClientID: t.ClientID, Detail: fmt.Sprintf("stream=%s method=%s", t.ID, t.Method)})
}

// Stream returns a stream of a client, or ErrNoStream.
func (s *Streams) Stream(ctx context.Context, client model.ClientID, id model.StreamID) (StreamConfiguration, error) {
	t, err := s.find(ctx, client, id)
	if err != nil {
		return StreamConfiguration{}, err
	}
	return s.configuration(t), nil
}

// List returns all streams of a client, OpenID Shared Signals Framework §8.1.1.2.
func (s *Streams) List(ctx context.Context, client model.ClientID) ([]StreamConfiguration, error) {
	list := []StreamConfiguration{} // "MUST return an empty list"
	err := s.Store.View(ctx, func(tx *store.Tx) error {
		list = list[:0]
		streams, err := tx.StreamsOf(client)
		for _, t := range streams {
			list = append(list, s.configuration(t))
		}
		return err
	})
	return list, err
}

func (s *Streams) find(ctx context.Context, client model.ClientID, id model.StreamID) (model.Stream, error) {
	var t model.Stream
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		t, err = own(tx, client, id)
		return err
	})
	return t, err
}

// own reads a stream of a client. That of another is as unknown as none.
func own(tx *store.Tx, client model.ClientID, id model.StreamID) (model.Stream, error) {
	if len(id) > longestStreamID {
		return model.Stream{}, ErrNoStream
	}
	t, err := tx.Stream(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && t.ClientID != client {
		return model.Stream{}, ErrNoStream
	}
	return t, err
}

// Change changes a stream: with whole, what is not in the request is taken back
// (OpenID Shared Signals Framework §8.1.1.4), and otherwise it stays (§8.1.1.3). It
// returns ErrNoStream and ErrInvalid.
func (s *Streams) Change(ctx context.Context, by Caller, r StreamRequest, whole bool) (StreamConfiguration, error) {
	id, err := r.streamID()
	if err != nil {
		return StreamConfiguration{}, err
	}
	for range 3 {
		before, err := s.find(ctx, by.Client.ID, id)
		if err != nil {
			return StreamConfiguration{}, err
		}
		after, err := s.wanted(before, r, whole)
		if err != nil {
			return StreamConfiguration{}, err
		}
		err = s.Store.Update(ctx, func(tx *store.Tx) error { return changeStream(tx, by, before, after) })
		if !errors.Is(err, errMeanwhile) {
			return s.configuration(after), err
		}
	}
	return StreamConfiguration{}, errMeanwhile
}

// errMeanwhile says that a stream was changed by another request between reading
// and writing it.
var errMeanwhile = errors.New("the stream was changed meanwhile")

// wanted is a stream as a request wants it.
func (s *Streams) wanted(t model.Stream, r StreamRequest, whole bool) (model.Stream, error) {
	err := s.checkOurs(t, r)
	t.UpdatedAt = s.unix()
	switch {
	case err != nil:
	case whole:
		err = s.replace(&t, r)
	default:
		err = s.update(&t, r)
	}
	return t, err
}

func changeStream(tx *store.Tx, by Caller, before, after model.Stream) error {
	is, err := own(tx, by.Client.ID, after.ID)
	if err != nil {
		return err
	}
	if is.Method != before.Method || is.Endpoint != before.Endpoint || is.Authorization != before.Authorization || is.Description != before.Description ||
		!slices.Equal(is.Requested, before.Requested) {
		return errMeanwhile
	}
	if err := tx.UpdateStream(after); err != nil {
		return err
	}
	return recordStream(tx, by, "stream.update", after)
}

// Delete removes a stream with what waits in it, OpenID Shared Signals Framework
// §8.1.1.5. It returns ErrNoStream.
func (s *Streams) Delete(ctx context.Context, by Caller, id model.StreamID) error {
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		t, err := own(tx, by.Client.ID, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteStream(id); err != nil {
			return err
		}
		return recordStream(tx, by, "stream.delete", t)
	})
	s.wakeAll() // who waits for its events
	return err
}

// streamID is REQUIRED in whatever is about a stream that there is.
func (r StreamRequest) streamID() (model.StreamID, error) {
	var id string
	if json.Unmarshal(r["stream_id"], &id) != nil || id == "" {
		return "", wrong("The member stream_id is missing")
	}
	return model.StreamID(id), nil
}

// checkOurs holds what the transmitter alone decides to what it has decided:
// "they MUST match the expected value" (OpenID Shared Signals Framework §8.1.1.3).
func (s *Streams) checkOurs(t model.Stream, r StreamRequest) error {
	is := s.configuration(t)
	for name, value := range map[string]any{
		"iss": is.Issuer, "aud": is.Audience, "min_verification_interval": is.MinVerificationPeriod,
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if sent, ok := r[name]; ok && string(sent) != string(text) && string(sent) != "["+string(text)+"]" {
			return wrong("The member %s is the transmitter's to decide, and is another one", name)
		}
	}
	for name, value := range map[string][]string{"events_supported": is.EventsSupported, "events_delivered": is.EventsDelivered} {
		sent, ok := r[name]
		if !ok {
			continue
		}
		var list []string
		if json.Unmarshal(sent, &list) != nil || !sameSet(list, value) {
			return wrong("The member %s is the transmitter's to decide, and is another one", name)
		}
	}
	if _, ok := r["inactivity_timeout"]; ok {
		return wrong("The member inactivity_timeout is the transmitter's to decide, and there is none")
	}
	return nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b)))
	return slices.Equal(a, b)
}

// replace sets all that the receiver says of a stream.
func (s *Streams) replace(t *model.Stream, r StreamRequest) error {
	all := StreamRequest{"delivery": json.RawMessage(`{"method":"` + model.DeliverPoll + `"}`)} // §8.1.1.1: poll is assumed
	for _, name := range []string{"delivery", "events_requested", "description"} {
		if value, ok := r[name]; ok && string(value) != "null" {
			all[name] = value
		}
	}
	t.Requested, t.Delivered, t.Description = nil, EventTypes, ""
	return s.update(t, all)
}

// update sets what the receiver says of a stream and leaves the rest.
func (s *Streams) update(t *model.Stream, r StreamRequest) error {
	if raw, ok := r["events_requested"]; ok {
		var list []string
		if err := json.Unmarshal(raw, &list); err != nil || list == nil || len(list) > maxRequested {
			return wrong("The member events_requested must be a list of at most %d event types", maxRequested)
		}
		t.Requested, t.Delivered = []string{}, []string{}
		for _, kind := range list {
			if len(kind) > maxEndpoint {
				return wrong("The member events_requested must be a list of event types")
			}
			if slices.Contains(t.Requested, kind) {
				continue
			}
			t.Requested = append(t.Requested, kind)
			if slices.Contains(EventTypes, kind) { // "MUST ignore any array values that it does not understand"
				t.Delivered = append(t.Delivered, kind)
			}
		}
	}
	if raw, ok := r["description"]; ok {
		if err := json.Unmarshal(raw, &t.Description); err != nil {
			return wrong("The member description must be a text")
		}
		t.Description = cut(t.Description, maxDescription)
	}
	if raw, ok := r["delivery"]; ok {
		return s.deliver(t, raw)
	}
	return nil
}

// cut shortens a text to so many bytes, between two characters.
func cut(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// deliver sets how the events of a stream reach its receiver.
func (s *Streams) deliver(t *model.Stream, raw json.RawMessage) error {
	var d struct {
		Method        string  `json:"method"`
		EndpointURL   string  `json:"endpoint_url"`
		Authorization *string `json:"authorization_header"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return wrong("The member delivery must be an object with a method")
	}
	switch d.Method {
	case model.DeliverPoll:
		if created := t.Method == ""; !created && d.EndpointURL != "" && d.EndpointURL != s.pollURL(t.ID) {
			return wrong("The endpoint_url of a stream that is polled is the transmitter's to decide")
		}
		t.Method, t.Endpoint, t.Authorization = d.Method, "", ""
		return nil
	case model.DeliverPush:
	default:
		return wrong("The method of delivery must be %s or %s", model.DeliverPush, model.DeliverPoll)
	}
	if err := s.checkEndpoint(d.EndpointURL); err != nil {
		return err
	}
	if t.Method != d.Method || t.Endpoint != d.EndpointURL {
		t.Authorization = "" // what was for one address is not sent to another
	}
	t.Method, t.Endpoint = d.Method, d.EndpointURL
	if d.Authorization == nil {
		return nil // as it was: the receiver could not read it and so not repeat it
	}
	return s.sealHeader(t, *d.Authorization)
}

func (s *Streams) sealHeader(t *model.Stream, header string) error {
	t.Authorization = ""
	if header == "" {
		return nil
	}
	if len(header) > maxHeader || strings.ContainsFunc(header, func(r rune) bool { return r < 0x20 || r > 0x7e }) || strings.TrimSpace(header) != header {
		return wrong("The authorization_header must be one line of at most %d ASCII characters", maxHeader)
	}
	sealed, err := s.Keys.Seal(keys.PurposeStreamHeader, string(t.ID), []byte(header))
	t.Authorization = sealed
	return err
}

// checkEndpoint holds an address to which events are pushed to https (RFC 8935
// §1); on loopback http will do.
func (s *Streams) checkEndpoint(address string) error {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxEndpoint || u.Hostname() == "" || u.User != nil || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return wrong("The endpoint_url must be an https address without a fragment")
	}
	return nil
}

func loopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
