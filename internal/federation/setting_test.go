package federation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/store/storetest"
	"github.com/ostiary/ostiary/internal/upstream"
)

func TestCheck(t *testing.T) {
	h := open(t, storetest.SQLite(t))
	good := model.UpstreamSettings{Kind: "visited", Connection: json.RawMessage(`{}`)}
	for _, row := range []struct {
		name, id string
		change   func(s *model.UpstreamSettings)
		member   string
	}{
		{"a good one", "corp-1", func(*model.UpstreamSettings) {}, ""},
		{"no id", "", func(*model.UpstreamSettings) {}, "id"},
		{"an id in upper case", "Corp", func(*model.UpstreamSettings) {}, "id"},
		{"an id like a flag", "-corp", func(*model.UpstreamSettings) {}, "id"},
		{"a long id", strings.Repeat("a", 41), func(*model.UpstreamSettings) {}, "id"},
		{"an unknown kind", "a", func(s *model.UpstreamSettings) { s.Kind = "magic" }, "kind"},
		{"a name of two lines", "a", func(s *model.UpstreamSettings) { s.Name = "a\nb" }, "name"},
		{"no connection", "a", func(s *model.UpstreamSettings) { s.Connection = nil }, "connection"},
		{"a connection that is a list", "a", func(s *model.UpstreamSettings) { s.Connection = []byte(`[]`) }, "connection"},
		{"a connection that cannot be one", "a", func(s *model.UpstreamSettings) { s.Connection = []byte(`{"broken":1}`) }, "connection: issuer"},
		{"a domain in upper case", "a", func(s *model.UpstreamSettings) { s.Domains = []string{"Example.org"} }, "domains"},
		{"an address as a domain", "a", func(s *model.UpstreamSettings) { s.Domains = []string{"a@example.org"} }, "domains"},
		{"a domain twice", "a", func(s *model.UpstreamSettings) { s.Domains = []string{"b.example", "b.example"} }, "domains"},
		{"a default one without a button", "a", func(s *model.UpstreamSettings) { s.Default, s.Hidden = true, true }, "default"},
		{"trust in nothing", "a", func(s *model.UpstreamSettings) { s.TrustACR = []string{""} }, "trust_acr"},
		{"a mapping to no claim", "a", func(s *model.UpstreamSettings) { s.Mapping = []model.Mapping{{Claim: "sub", From: "a"}} }, "mapping[0]"},
		{"a mapping to admin", "a", func(s *model.UpstreamSettings) { s.Mapping = []model.Mapping{{Claim: "admin", From: "a"}} }, "mapping[0]"},
		{"a mapping of nothing", "a", func(s *model.UpstreamSettings) { s.Mapping = []model.Mapping{{Claim: "name"}} }, "mapping[0]"},
		{"a mapping of two", "a", func(s *model.UpstreamSettings) { s.Mapping = []model.Mapping{{Claim: "name", From: "a", Value: "b"}} }, "mapping[0]"},
		{"a claim twice", "a", func(s *model.UpstreamSettings) {
			s.Mapping = []model.Mapping{{Claim: "name", From: "a"}, {Claim: "name", From: "b"}}
		}, "mapping[1]"},
		{"groups as they are there", "a", func(s *model.UpstreamSettings) { s.Mapping = []model.Mapping{{Claim: "groups", From: "groups"}} }, "mapping[0]"},
		{"a group without a name", "a", func(s *model.UpstreamSettings) {
			s.Mapping = []model.Mapping{{Claim: "groups", From: "g", Map: map[string]string{"a": "b\n"}}}
		}, "mapping[0]"},
		{"an unknown secret", "a", func(s *model.UpstreamSettings) { s.Name = "with a secret" }, "secrets"},
	} {
		s := good
		row.change(&s)
		c := Change{ID: model.UpstreamID(row.id), After: &model.Upstream{UpstreamSettings: s}}
		if row.member == "secrets" {
			c.Secrets = map[string]model.Secret{"password": "x"}
		}
		_, err := h.Change(h.ctx(), operator, c)
		var invalid ErrInvalid
		if row.member == "" {
			h.ok(err)
		} else if !errors.As(err, &invalid) || invalid.Member != row.member || invalid.Reason == "" {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// Providers are changed by one and the same plan, or not at all; their secrets are
// sealed and stay unless others are given.
func TestPlan(t *testing.T) {
	each(t, func(h house) {
		u := func(id string, s model.UpstreamSettings) Wanted {
			s.Kind, s.Connection = "visited", []byte(`{"a":1}`)
			return Wanted{Upstream: model.Upstream{ID: model.UpstreamID(id), UpstreamSettings: s}}
		}
		apply := func(wanted []Wanted, prune bool) ([]Change, error) {
			plan, err := h.Plan(h.ctx(), wanted, prune)
			if err == nil {
				err = h.Store.Update(h.ctx(), func(tx *store.Tx) error { return h.CarryOut(tx, operator, plan) })
			}
			return plan, err
		}
		a, b := u("a", model.UpstreamSettings{Domains: []string{"x.example"}, Default: true}), u("b", model.UpstreamSettings{})
		a.Secrets = map[string]model.Secret{"client_secret": "s3cret"}
		plan, err := apply([]Wanted{a, b}, false)
		h.ok(err)
		if len(plan) != 2 {
			t.Fatalf("%+v", plan)
		}
		is, err := h.Upstream(h.ctx(), "a")
		h.ok(err)
		if strings.Contains(is.Sealed, "s3cret") || is.Sealed == "" {
			t.Errorf("stored: %q", is.Sealed)
		}
		if plan, err = apply([]Wanted{a, b}, true); err != nil || len(plan) != 0 {
			t.Errorf("twice: %+v %v", plan, err)
		}
		a.Secrets = nil
		if plan, err = apply([]Wanted{a}, false); err != nil || len(plan) != 0 {
			t.Errorf("without its secret: %+v %v", plan, err)
		}
		// A domain moves from one to the other, and so does the default.
		a.Domains, a.Default, b.Domains, b.Default = nil, false, []string{"x.example"}, true
		if plan, err = apply([]Wanted{a, b}, false); err != nil || len(plan) != 2 {
			t.Errorf("moved: %+v %v", plan, err)
		}
		a.Domains = []string{"x.example"}
		if _, err = apply([]Wanted{a}, false); err == nil {
			t.Error("a domain belongs to two")
		}
		a.Domains, a.Default = nil, true
		if _, err = apply([]Wanted{a}, false); err == nil {
			t.Error("there are two default ones")
		}
		if _, err = apply([]Wanted{a, a}, false); err == nil {
			t.Error("one comes twice")
		}
		if plan, err = apply([]Wanted{b}, true); err != nil || len(plan) != 1 || plan[0].After != nil {
			t.Errorf("pruned: %+v %v", plan, err)
		}
		// What was planned is not done if something has changed meanwhile.
		b.Name = "Other"
		late, err := h.Plan(h.ctx(), []Wanted{b}, false)
		h.ok(err)
		b.Name = "Another"
		_, err = apply([]Wanted{b}, false)
		h.ok(err)
		err = h.Store.Update(h.ctx(), func(tx *store.Tx) error { return h.CarryOut(tx, operator, late) })
		if !errors.Is(err, ErrChanged) {
			t.Errorf("late: %v", err)
		}
		_, err = h.Change(h.ctx(), operator, Change{ID: "b", After: &b.Upstream})
		if !errors.Is(err, ErrUpstreamTaken) {
			t.Errorf("taken: %v", err)
		}
		for _, action := range []string{"upstream.add", "upstream.update", "upstream.remove"} {
			if len(h.events(action)) == 0 {
				t.Errorf("%s was not written down", action)
			}
		}
	})
}

// What is changed at one node takes effect at the others within a second, and a
// connector is kept as long as nothing is changed.
func TestNodes(t *testing.T) {
	each(t, func(h house) {
		other := h
		other.Federation, _ = New(h.Config)
		h.add("corp", model.UpstreamSettings{})
		_ = other.leave("corp", "r0")
		is, err := h.Upstream(h.ctx(), "corp")
		h.ok(err)
		first, err := other.find(h.ctx(), "corp")
		h.ok(err)
		h.clock.advance(2 * time.Second)
		again, err := other.find(h.ctx(), "corp")
		h.ok(err)
		if first.calls != again.calls {
			t.Error("the connector was made anew")
		}
		off := is
		off.Disabled = true
		_, err = h.Change(h.ctx(), operator, Change{ID: "corp", Before: &is, After: &off})
		h.ok(err)
		h.clock.advance(time.Second + time.Millisecond)
		_, err = other.Begin(h.ctx(), Departing{Upstream: "corp", Holder: "r1"})
		h.refuses(err, Unknown)
	})
}

func TestOffer(t *testing.T) {
	each(t, func(h house) {
		h.add("b", model.UpstreamSettings{Name: "B", Position: 1, Domains: []string{"b.example"}})
		h.add("a", model.UpstreamSettings{Name: "A", Position: 2})
		h.add("hidden", model.UpstreamSettings{Name: "H", Hidden: true})
		h.add("dir", model.UpstreamSettings{Name: "D", Kind: "directory", Position: -1})
		for _, row := range []struct {
			name   string
			asking Asking
			want   string // the buttons, and behind ">" where one goes at once
		}{
			{"by position", Asking{}, "dir b a"},
			{"that used last first", Asking{Last: "a"}, "a dir b"},
			{"of the client", Asking{Allowed: []string{"a", "hidden"}}, "a"},
			{"by a hint", Asking{Hint: "hidden"}, "dir hidden b a > hidden"},
			{"by a hint of one that the client does not take", Asking{Hint: "b", Allowed: []string{"a"}}, "a"},
			{"by an unknown hint", Asking{Hint: "nobody"}, "dir b a"},
			{"by a domain", Asking{Login: "Ada@B.example"}, "dir b a > b"},
			{"by another domain", Asking{Login: "ada@sub.b.example"}, "dir b a"},
			{"a hint comes before a domain", Asking{Login: "ada@b.example", Hint: "a"}, "dir b a > a"},
			{"a page is wanted", Asking{Hint: "a", Page: true}, "dir b a"},
		} {
			o, err := h.Offer(h.ctx(), row.asking)
			h.ok(err)
			got := ""
			for _, b := range o.Buttons {
				got += " " + string(b.ID)
				if b.Directory != (b.ID == "dir") || b.Last != (b.ID == row.asking.Last) {
					t.Errorf("%s: %+v", row.name, b)
				}
			}
			if got = got[1:]; o.Go != "" {
				got += " > " + string(o.Go)
			}
			if got != row.want {
				t.Errorf("%s: %s, want %s", row.name, got, row.want)
			}
		}
		is, err := h.Upstream(h.ctx(), "a")
		h.ok(err)
		usual := is
		usual.Default = true
		_, err = h.Change(h.ctx(), operator, Change{ID: "a", Before: &is, After: &usual})
		h.ok(err)
		if o, err := h.Offer(h.ctx(), Asking{}); err != nil || o.Go != "a" {
			t.Errorf("the default one: %+v %v", o, err)
		}
		if realm, err := h.Realm(h.ctx(), Asking{Login: "x@b.example"}); err != nil || realm.ID != "b" {
			t.Errorf("%q %v", realm.ID, err)
		}
		if realm, err := h.Realm(h.ctx(), Asking{Login: "x@b.example", Allowed: []string{"a"}}); err != nil || realm.ID != "" {
			t.Errorf("%q %v", realm.ID, err)
		}
	})
}

// A provider that does not answer is left alone for growing times, and tried by one.
func TestCircuit(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{SignUp: true, Default: true})
		h.add("other", model.UpstreamSettings{SignUp: true})
		h.user("first", "")
		h.there.people["c"] = person("s1", "")
		down := &upstream.Error{Code: upstream.Unavailable, Reason: "no answer"}
		begin := func(holder string) error {
			_, err := h.Begin(h.ctx(), Departing{Upstream: "corp", Holder: holder})
			return err
		}
		health := func() model.Health {
			u, err := h.Upstream(h.ctx(), "corp")
			h.ok(err)
			return u.Health
		}

		// What the browser brings is no sign of anything.
		h.there.fails = &upstream.Error{Code: upstream.Unavailable, Reason: "temporarily_unavailable", Hearsay: true}
		for range 5 {
			h.refuses(begin("r"), Unavailable)
		}
		h.there.fails = &upstream.Error{Code: upstream.Denied, Reason: "no"}
		for range 5 {
			h.refuses(begin("r"), Denied)
		}
		if got := health(); got.Failures != 0 {
			t.Fatalf("counted: %+v", got)
		}

		h.there.fails = down
		for range failuresFree {
			h.refuses(begin("r"), Unavailable)
		}
		calls := h.there.calls
		h.refuses(begin("r"), Unavailable)
		if got := health(); h.there.calls != calls || got.Failures != failuresFree || got.RetryAt != h.clock.now().Unix()+shortestPause || got.Problem != "no answer" {
			t.Fatalf("asked again, or %+v", got)
		}
		o, err := h.Offer(h.ctx(), Asking{})
		h.ok(err)
		if o.Go != "" || !o.Buttons[0].Unavailable || o.Buttons[1].Unavailable {
			t.Errorf("offered: %+v", o)
		}

		// After the pause one may try, and the next pause is longer.
		h.clock.advance(shortestPause * time.Second)
		calls = h.there.calls
		tried := h.together(6, func(i int) bool {
			h.refuses(begin(fmt.Sprint("t", i)), Unavailable)
			return true
		})
		if h.there.calls != calls+1 || tried != 6 {
			t.Errorf("it was asked %d times", h.there.calls-calls)
		}
		h.clock.advance(shortestPause * time.Second)
		h.refuses(begin("r"), Unavailable)
		if got := health(); got.RetryAt != h.clock.now().Unix()+2*shortestPause {
			t.Errorf("the pause does not grow: %+v", got)
		}
		h.clock.advance(2 * shortestPause * time.Second)
		h.there.fails = nil
		out, err := h.visit("corp", "well", "c")
		h.ok(err)
		if got := health(); out.Result != Newcomer || got.Failures != 0 || got.RetryAt != 0 || got.Problem != "" || got.WorkedAt == 0 {
			t.Errorf("%+v %+v", out, got)
		}
		if err := h.Probe(h.ctx(), "corp"); err != nil {
			t.Error(err)
		}
		if _, err := h.visit("other", "beside", "c"); err != nil {
			t.Error("the other one does not work either")
		}
	})
}

func TestDirectory(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{Kind: "directory", SignUp: true})
		h.user("first", "")
		h.there.people["ada/right"] = person("cn=ada", "")
		try := func(login, password string) (Outcome, error) {
			return h.Password(h.ctx(), Typing{Upstream: "corp", Holder: "r", Attempt: account.Attempt{Login: login, Password: model.Secret(password), Address: "192.0.2.7"}})
		}
		for _, row := range [][2]string{{"ada", "wrong"}, {"eve", "right"}, {"ada", ""}, {"", "right"}, {strings.Repeat("a", 300), "right"}} {
			if _, err := try(row[0], row[1]); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("%.10s: %v", row[0], err)
			}
		}
		out, err := try("ada", "right")
		if err != nil || out.Result != Newcomer {
			t.Fatalf("%+v %v", out, err)
		}
		h.ok(h.Join(h.ctx(), Joining{Holder: "r", Login: "ada"}))
		if in := h.begin("r"); in.User.Login != "ada" {
			t.Errorf("%+v", in)
		}
		// Wrong ones are slowed down, also when the right one comes.
		var soon account.ErrTooSoon
		for i := range 8 {
			if _, err = try("ada", "wrong"); errors.As(err, &soon) != (i > 5) {
				t.Errorf("wrong password %d: %v", i, err)
			}
		}
		calls := h.there.calls
		if _, err = try("ada", "right"); !errors.As(err, &soon) || h.there.calls != calls {
			t.Errorf("the right one: %v", err)
		}
		// A login there is not one of ours.
		h.ok(h.Accounts.Password(h.ctx(), "own", account.Attempt{Login: "first", Password: goodPassword, Address: "192.0.2.7"}))
		// It is no place to go to.
		_, err = h.Begin(h.ctx(), Departing{Upstream: "corp", Holder: "r"})
		h.refuses(err, Unknown)
		trial, err := h.TryLogin(h.ctx(), "corp", "ada", "right")
		if err != nil || trial.Profile.Name != "Ada Lovelace" || trial.Factors != "one" {
			t.Errorf("%+v %v", trial, err)
		}
	})
}

// A client takes the providers that an operator has named, and no others.
func TestAllowed(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{})
		h.add("dir", model.UpstreamSettings{Kind: "directory"})
		_, err := h.Begin(h.ctx(), Departing{Upstream: "corp", Holder: "r", Allowed: []string{"other"}})
		h.refuses(err, Unknown)
		_, err = h.Password(h.ctx(), Typing{Upstream: "dir", Holder: "r", Allowed: []string{"other"}})
		h.refuses(err, Unknown)
		_, err = h.Begin(h.ctx(), Departing{Upstream: "none", Holder: "r"})
		h.refuses(err, Unknown)
	})
}

func TestAssign(t *testing.T) {
	each(t, func(h house) {
		h.add("corp", model.UpstreamSettings{})
		ada, eve := h.user("ada", ""), h.user("eve", "")
		p := person("s1", "")
		n := Assigning{User: ada.ID, Upstream: "corp", Issuer: p.Issuer, Subject: "s1"}
		_, err := h.Assign(h.ctx(), operator, n)
		h.ok(err)
		n.User = eve.ID
		_, err = h.Assign(h.ctx(), operator, n)
		h.refuses(err, Taken)
		for _, row := range []struct {
			n    Assigning
			want error
		}{
			{Assigning{User: "nobody", Upstream: "corp", Issuer: "i", Subject: "s"}, account.ErrNoUser},
			{Assigning{User: ada.ID, Upstream: "none", Issuer: "i", Subject: "s"}, ErrNoUpstream},
		} {
			if _, err := h.Assign(h.ctx(), operator, row.n); !errors.Is(err, row.want) {
				t.Errorf("%+v: %v", row.n, err)
			}
		}
		h.there.people["c"] = p
		_, err = h.visit("corp", "r", "c")
		h.ok(err)
		if h.begin("r").User.ID != ada.ID {
			t.Error("somebody else came in")
		}
		people, alone, err := h.People(h.ctx(), "corp")
		if err != nil || people != 1 || alone != 0 {
			t.Errorf("%d %d %v", people, alone, err)
		}
	})
}
