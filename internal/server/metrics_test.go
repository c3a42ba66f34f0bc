package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/goccy/go-yaml"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ostiary/ostiary/internal/measure"
	ours "github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// measured has the metrics served, with the tokens of each client.
func measured(t *testing.T) servertest.Option {
	return func(c *server.Config) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.MetricsListener, c.Measure.Clients = listener, true
	}
}

// scrape returns what Prometheus gets: the series by name with labels.
func scrape(t *testing.T, h *servertest.House, accept string) (map[string]float64, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+h.MetricsAddr().String()+measure.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the metrics answer %d", res.StatusCode)
	}
	if strings.Contains(accept, "openmetrics") {
		text, err := io.ReadAll(res.Body)
		if err != nil || !strings.HasSuffix(string(text), "# EOF\n") {
			t.Fatalf("it is no OpenMetrics: %v", err)
		}
		return nil, res.Header.Get("Content-Type")
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			slices.Sort(labels)
			at := name + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.Counter != nil:
				series[at] = m.GetCounter().GetValue()
			case m.Gauge != nil:
				series[at] = m.GetGauge().GetValue()
			case m.Histogram != nil:
				series[name+"_bucket{"] = 1
				series[name+"_count"+strings.TrimPrefix(at, name)] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return series, res.Header.Get("Content-Type")
}

// traffic is some of everything that is counted.
func traffic(t *testing.T, h *servertest.House) {
	t.Helper()
	h.User("olena", "correct horse battery")
	c, secret := h.Client("shop", web)
	b := h.Browser()
	p := b.Get(servertest.AuthorizePath(c))
	p.Submit("primary", "login", "olena", "password", "wrong horse battery!")
	at := b.SignIn(servertest.AuthorizePath(c), "olena", "correct horse battery")
	a := h.Redeem(c, secret, at)
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	if again := renew(h, c, secret, a.String("refresh_token")); again.Status != http.StatusOK {
		t.Fatal(again.Text)
	}
	h.Call("/token", c, secret, url.Values{"grant_type": {"authorization_code"}, "code": {"ost_invented"}, "redirect_uri": {c.RedirectURIs[0]}})
	h.Call("/token", c, secret, url.Values{"grant_type": {"invented-by-a-stranger"}})
	for i := range 50 {
		b.Get(fmt.Sprintf("/interaction/invented-%d/login", i))
		b.Get(fmt.Sprintf("/invented-%d", i))
	}
	if req, err := http.NewRequest("INVENT", h.Issuer+"/token", nil); err == nil {
		servertest.Do(t, req)
	}
}

// TestMetrics: what is counted is what happened, and nothing that a stranger invents
// makes a series.
func TestMetrics(t *testing.T) {
	servertest.Each(t, func(t *testing.T, h *servertest.House) {
		traffic(t, h)
		// The log is sealed after the answer, in order; the refusals come last.
		var series map[string]float64
		var kind string
		until(t, "the audit log is sealed", func() bool {
			series, kind = scrape(t, h, "")
			return series["ostiary_audit_events_total{action=code.redeem}"] > 0
		})
		if !strings.HasPrefix(kind, "text/plain") {
			t.Errorf("it is %s", kind)
		}
		for at, want := range map[string]float64{
			"ostiary_sign_ins_total{method=password,outcome=proved}":                          1,
			"ostiary_sign_ins_total{method=password,outcome=refused}":                         1,
			"ostiary_tokens_issued_total{client_kind=confidential,grant=authorization_code}":  1,
			"ostiary_tokens_issued_total{client_kind=confidential,grant=refresh_token}":       1,
			"ostiary_client_tokens_issued_total{client=shop,grant=refresh_token}":             1,
			"ostiary_token_refusals_total{error=invalid_grant,grant=authorization_code}":      1,
			"ostiary_token_refusals_total{error=unsupported_grant_type,grant=other}":          1,
			"ostiary_http_requests_total{class=4xx,method=GET,route=/interaction/{id}/login}": 50,
			"ostiary_http_requests_total{class=4xx,method=GET,route=/}":                       50,
			"ostiary_http_requests_total{class=2xx,method=POST,route=/token}":                 2,
			"ostiary_http_requests_total{class=4xx,method=other,route=/token}":                1,
			"ostiary_http_request_duration_seconds_count{method=POST,route=/token}":           4,
			"ostiary_http_requests_in_flight{}":                                               0,
			"ostiary_database_up{}":                                                           1,
			"ostiary_outbox_waiting{queue=logout}":                                            0,
			"ostiary_audit_events_total{action=code.redeem}":                                  1,
			"ostiary_signing_keys{algorithm=ES256}":                                           1,
		} {
			if got, ok := series[at]; !ok || got != want {
				t.Errorf("%s is %v (%t), want %v", at, got, ok, want)
			}
		}
		if lag := series["ostiary_revocation_lag_seconds{}"]; lag <= 0 || lag > 60 {
			t.Errorf("the lag is %v", lag)
		}
		for at := range series {
			if strings.Contains(at, "invented") {
				t.Errorf("a stranger made %s", at)
			}
		}
		if _, kind := scrape(t, h, "application/openmetrics-text; version=1.0.0"); !strings.HasPrefix(kind, "application/openmetrics-text") {
			t.Errorf("OpenMetrics is %s", kind)
		}
		for _, path := range []string{"/metrics", "/metrics/"} {
			if p := h.Browser().Get(path); p.Status != http.StatusNotFound {
				t.Errorf("the public address answers %d at %s", p.Status, path)
			}
		}
	}, measured(t))
}

// until waits for a condition, with patience: the machine may be slow.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !met(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute it is not so that %s", what)
		}
	}
}

// TestMetricsOfNothing: what alerts compare with, or count from nothing, has a series
// before it happens. The one about guessing said nothing after a start until somebody
// had signed in, because what is compared with nothing is nothing.
func TestMetricsOfNothing(t *testing.T) {
	series, _ := scrape(t, servertest.Start(t, measured(t)), "")
	for _, at := range []string{
		"ostiary_sign_ins_total{method=password,outcome=proved}",
		"ostiary_sign_ins_total{method=password,outcome=slowed}",
		"ostiary_sign_ins_total{method=upstream,outcome=failed}",
		"ostiary_audit_events_total{action=code.replay}",
		"ostiary_audit_events_total{action=grant.reuse}",
		"ostiary_letters_total{outcome=given_up}",
		"ostiary_outbox_deliveries_total{outcome=given_up,queue=logout}",
		"ostiary_outbox_deliveries_total{outcome=delivered,queue=stream}",
	} {
		if got, ok := series[at]; !ok || got != 0 {
			t.Errorf("%s is %v (%t), want 0", at, got, ok)
		}
	}
}

// TestMetricsWithoutDatabase: a node that cannot read its database tells all but what
// only that knows.
func TestMetricsWithoutDatabase(t *testing.T) {
	h := servertest.Start(t, measured(t))
	if err := h.Store.Close(); err != nil {
		t.Fatal(err)
	}
	var series map[string]float64
	until(t, "the database is down", func() bool {
		series, _ = scrape(t, h, "")
		return series["ostiary_database_up{}"] == 0
	})
	for _, at := range []string{"ostiary_revocation_lag_seconds{}", "ostiary_signing_keys{algorithm=ES256}", "ostiary_database_connections_limit{}"} {
		if _, ok := series[at]; !ok {
			t.Errorf("%s is not told", at)
		}
	}
	if _, ok := series["ostiary_outbox_waiting{queue=logout}"]; ok {
		t.Error("it tells what waits, and cannot know")
	}
}

// TestMetricsAreNotPublic: who is not on this machine or in a private network is told
// nothing, and no public address is listened on.
func TestMetricsAreNotPublic(t *testing.T) {
	handler := measure.New(measure.Config{}).Handler()
	for peer, want := range map[string]int{
		"127.0.0.1:1": 200, "[::1]:1": 200, "10.2.3.4:1": 200, "[fd00::1]:1": 200, "[::ffff:192.168.0.1]:1": 200,
		"8.8.8.8:1": 403, "[2001:4860:4860::8888]:1": 403, "[::ffff:8.8.8.8]:1": 403, "": 403, "unix": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, measure.Path, nil)
		r.RemoteAddr = peer
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q is answered %d, want %d", peer, w.Code, want)
		}
	}
	for listen, want := range map[string]string{
		"8.8.8.8:9464":   "public address",
		"127.0.0.1:8080": "the port of listen",
		"nonsense":       "write HOST:PORT",
	} {
		_, err := server.New(t.Context(), server.Config{Data: t.TempDir(), Observation: server.Observation{MetricsListen: listen}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", listen, err, want)
		}
	}
}

var documented = regexp.MustCompile("(?m)^\\| `(ostiary_\\w+)` \\| (\\w+) \\| ([^|]*)\\|")

// table is what docs/observe.md tells: the labels of each metric.
func table(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/observe.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, m := range documented.FindAllStringSubmatch(string(text), -1) {
		all[m[1]+" "+m[2]] = regexp.MustCompile(`\w+`).FindAllString(m[3], -1)
	}
	return all
}

// TestMetricsDocumented: docs/observe.md has every metric, with its type and its labels,
// and no other.
func TestMetricsDocumented(t *testing.T) {
	h := servertest.Start(t, measured(t))
	set, told := h.Measures, table(t)
	found := set.Described()
	for name, labels := range found {
		want, ok := told[name]
		if !ok {
			t.Errorf("docs/observe.md does not have %s", name)
			continue
		}
		slices.Sort(labels)
		slices.Sort(want)
		if !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %q, and docs/observe.md says %q", name, labels, want)
		}
	}
	for name := range told {
		if _, ok := found[name]; !ok {
			t.Errorf("docs/observe.md has %s, and the server has not", name)
		}
	}
}

// named lists the metrics that an expression of PromQL names.
func named(t *testing.T, expression string) []string {
	t.Helper()
	e, err := metricsql.Parse(strings.ReplaceAll(expression, "$__rate_interval", "1m"))
	if err != nil {
		t.Errorf("%s: %v", expression, err)
		return nil
	}
	var names []string
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		m, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, filters := range m.LabelFilterss {
			for _, f := range filters {
				if f.Label == "__name__" {
					names = append(names, f.Value)
				}
			}
		}
	})
	if len(names) == 0 {
		t.Errorf("%s names no metric", expression)
	}
	return names
}

// served are the names of all series of a server after some traffic, and those whose
// first moment a test has not the time for.
func served(t *testing.T) map[string]bool {
	h := servertest.Start(t, measured(t), func(c *server.Config) { c.AuditOutput = io.Discard })
	traffic(t, h)
	names := map[string]bool{"up": true} // Prometheus's own
	h.Measures.Delivered("logout", "delivered")
	h.Measures.Letter("sent")
	h.Measures.Failed("sweep")
	until(t, "something was streamed", func() bool {
		series, _ := scrape(t, h, "")
		for at := range series {
			name, _, _ := strings.Cut(at, "{")
			names[name] = true
		}
		return names["ostiary_audit_stream_entries_total"] && names["ostiary_audit_events_total"]
	})
	return names
}

// TestDashboardAndAlerts: every metric that a panel or an alert names is served, every
// expression can be read, and the dashboard is one to Grafana.
func TestDashboardAndAlerts(t *testing.T) {
	names := served(t)
	for where, expressions := range map[string][]string{"dashboard": dashboard(t), "alerts": alerts(t)} {
		for _, e := range expressions {
			for _, name := range named(t, e) {
				if !names[name] {
					t.Errorf("the %s names %s, which is not served: %s", where, name, e)
				}
			}
		}
	}
}

// dashboard reads the file and returns the expressions of its panels.
func dashboard(t *testing.T) (expressions []string) {
	text, err := os.ReadFile("../../deploy/grafana/ostiary.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title, UID    string
		SchemaVersion int
		Time          struct{ From, To string }
		Templating    struct {
			List []struct{ Name, Type string }
		}
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 36 || d.Time.From == "" || d.Time.To == "" {
		t.Errorf("it lacks a title, an identifier, a version or a time: %+v", d)
	}
	known := []string{"__rate_interval", "datasource"}
	for _, v := range d.Templating.List {
		known = append(known, v.Name)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" || !slices.Contains([]string{"row", "stat", "timeseries"}, p.Type) {
			t.Errorf("panel %d, %q, is not one of its kind", p.ID, p.Title)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("panel %q does not fit: %+v", p.Title, g)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" {
					t.Fatalf("panel %q lies over %q", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
		if len(p.Targets) == 0 != (p.Type == "row") {
			t.Errorf("panel %q has %d expressions", p.Title, len(p.Targets))
		}
		for _, one := range p.Targets {
			for _, v := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(one.Expr, -1) {
				if !slices.Contains(known, v[1]) {
					t.Errorf("panel %q: there is no variable %s", p.Title, v[1])
				}
			}
			expressions = append(expressions, one.Expr)
		}
	}
	return expressions
}

// alerts reads the file and returns the expressions of its rules.
func alerts(t *testing.T) (expressions []string) {
	text, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert       string
				Expr        string
				For         string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if names[r.Alert] || r.Alert == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" ||
				!slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
				t.Errorf("the alert %q is not whole", r.Alert)
			}
			if _, err := model.ParseDuration(r.For); r.For != "" && err != nil {
				t.Errorf("the alert %q: %v", r.Alert, err)
			}
			names[r.Alert] = true
			expressions = append(expressions, r.Expr)
		}
	}
	if len(names) < 10 {
		t.Errorf("there are %d alerts: %v", len(names), slices.Sorted(maps.Keys(names)))
	}
	return expressions
}

// BenchmarkAnswered is what a request costs to be counted.
func BenchmarkAnswered(b *testing.B) {
	s := measure.New(measure.Config{})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			s.Begun()
			s.Answered("/token", http.MethodPost, http.StatusOK, time.Millisecond)
		}
	})
}

// BenchmarkIssued is what a token costs to be counted.
func BenchmarkIssued(b *testing.B) {
	s := measure.New(measure.Config{})
	b.ReportAllocs()
	for b.Loop() {
		s.Issued(ours.GrantRefreshToken, ours.Client{ID: "shop"})
	}
}
