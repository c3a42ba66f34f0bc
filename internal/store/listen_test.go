package store_test

import (
	"database/sql"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// hears reports whether the reader of a store is woken within a time.
func hears(s *store.Store, within time.Duration) bool {
	select {
	case <-s.Changed(store.Revocations):
		return true
	case <-time.After(within):
		return false
	}
}

// quiet waits until nothing more is heard.
func quiet(s *store.Store) {
	for hears(s, 200*time.Millisecond) {
	}
}

// Two nodes on one PostgreSQL: what one ends wakes the other, also after its
// connection was lost; and another installation in the same database hears nothing.
func TestListen(t *testing.T) {
	address := storetest.PostgresURL(t)
	here, there, elsewhere := storetest.Open(t, address), storetest.Open(t, address), storetest.Postgres(t)
	for _, s := range []*store.Store{here, there, elsewhere} {
		if !hears(s, 5*time.Second) { // what came before it listened
			t.Fatal("does not listen")
		}
		quiet(s)
	}
	revoke := func() {
		t.Helper()
		upkeep(t, here, func(tx *store.Tx) error { return tx.RevokeToken("t", nil, store.Ending{}) })
	}
	for range 20 {
		revoke()
		if !hears(there, 5*time.Second) {
			t.Fatal("the other node was not woken")
		}
	}
	upkeep(t, here, func(tx *store.Tx) error { return tx.PutSetting("a", "b") })
	quiet(there)
	if hears(elsewhere, 100*time.Millisecond) {
		t.Error("another installation was woken")
	}

	severListeners(t, address, 3)
	if !hears(there, 5*time.Second) {
		t.Fatal("not woken when it listens again: it may have missed something")
	}
	quiet(there)
	revoke()
	if !hears(there, 5*time.Second) {
		t.Error("not woken after the connection was lost")
	}
}

// Each kind of change wakes those who ask for it, on every node, and nobody else.
func TestListenTopics(t *testing.T) {
	address := storetest.PostgresURL(t)
	here, there := storetest.Open(t, address), storetest.Open(t, address)
	all := []store.Topic{store.Revocations, store.Clients, store.SigningKeys, store.Upstreams}
	woken := func(s *store.Store, topic store.Topic, within time.Duration) bool {
		select {
		case <-s.Changed(topic):
			return true
		case <-time.After(within):
			return false
		}
	}
	for _, s := range []*store.Store{here, there} {
		for _, topic := range all {
			if !woken(s, topic, 5*time.Second) { // anything may have come before it listened
				t.Fatal("does not listen")
			}
		}
	}
	client, key := model.Client{ID: "shop"}, model.SigningKey{ID: "k1"}
	upstream := model.Upstream{ID: "corp", UpstreamSettings: model.UpstreamSettings{Connection: []byte(`{}`)}}
	upkeep(t, here, func(tx *store.Tx) error { return tx.InsertClient(client) }) // which nobody can know yet
	for _, row := range []struct {
		name   string
		topic  store.Topic
		change func(tx *store.Tx) error
	}{
		{"revocation", store.Revocations, func(tx *store.Tx) error { return tx.RevokeToken("t", nil, store.Ending{}) }},
		{"client", store.Clients, func(tx *store.Tx) error { return tx.UpdateClient(client) }},
		{"secret", store.Clients, func(tx *store.Tx) error {
			return tx.InsertClientSecret(model.ClientSecret{ID: "s1", ClientID: "shop"})
		}},
		{"no secret", store.Clients, func(tx *store.Tx) error { return tx.DeleteClientSecret("s1") }},
		{"no client", store.Clients, func(tx *store.Tx) error { return tx.DeleteClient("shop") }},
		{"key", store.SigningKeys, func(tx *store.Tx) error { return tx.InsertSigningKey(key) }},
		{"key that ends", store.SigningKeys, func(tx *store.Tx) error { return tx.UpdateSigningKey(key) }},
		{"no key", store.SigningKeys, func(tx *store.Tx) error { return tx.DeleteSigningKey("k1") }},
		{"provider", store.Upstreams, func(tx *store.Tx) error { return tx.InsertUpstream(upstream) }},
		{"other provider", store.Upstreams, func(tx *store.Tx) error { return tx.UpdateUpstream(upstream) }},
		{"provider that rests", store.Upstreams, func(tx *store.Tx) error { return tx.PauseUpstream("corp", 1, 2) }},
		{"no provider", store.Upstreams, func(tx *store.Tx) error { return tx.DeleteUpstream("corp") }},
	} {
		upkeep(t, here, row.change)
		for _, s := range []*store.Store{here, there} {
			if !woken(s, row.topic, 5*time.Second) {
				t.Errorf("%s: a node was not woken", row.name)
			}
		}
		quiet := 50 * time.Millisecond
		for _, topic := range all {
			if topic != row.topic && woken(there, topic, quiet) {
				t.Errorf("%s: who asked for something else was woken", row.name)
			}
			quiet = 0
		}
		woken(here, row.topic, 20*time.Millisecond) // it also hears itself
	}
}

// A node of another version is understood: an older one says nothing when the revocation
// log has grown, and a newer one may speak of what is unknown here.
func TestListenToOtherVersions(t *testing.T) {
	address := storetest.PostgresURL(t)
	s := storetest.Open(t, address)
	heard := func(within time.Duration) (topics []store.Topic) {
		for _, topic := range []store.Topic{store.Revocations, store.Clients, store.SigningKeys, store.Upstreams} {
			select {
			case <-s.Changed(topic):
				topics = append(topics, topic)
			case <-time.After(within):
			}
		}
		return topics
	}
	if got := heard(5 * time.Second); len(got) != 4 { // what came before it listened
		t.Fatalf("does not listen: %v", got)
	}
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for said, want := range map[string][]store.Topic{
		"": {store.Revocations}, "clients something_new": {store.Clients}, "something_new": nil,
		"signing_keys upstreams": {store.SigningKeys, store.Upstreams},
	} {
		if _, err := db.ExecContext(t.Context(), `SELECT pg_notify('ostiary_revoked_' || md5(current_schema()), $1)`, said); err != nil {
			t.Fatal(err)
		}
		if got := heard(500 * time.Millisecond); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", said, got, want)
		}
	}
}

// severListeners ends the connections that listen in the schema of an address.
func severListeners(t *testing.T, address string, most int) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var ended int
	err = db.QueryRowContext(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE query = 'LISTEN "ostiary_revoked_' || md5($1) || '"'`, u.Query().Get("search_path")).Scan(&ended)
	if err != nil || ended == 0 || ended > most {
		t.Fatalf("ended %d connections: %v", ended, err)
	}
}

// A store whose log is followed closes at once.
func TestListenClose(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		s, err := store.Open(t.Context(), store.Config{URL: address})
		if err != nil {
			t.Fatal(err)
		}
		hears(s, 100*time.Millisecond)
		start := time.Now()
		if err := s.Close(); err != nil || time.Since(start) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		s.Changed(store.Revocations) // does nothing any more
	})
}
