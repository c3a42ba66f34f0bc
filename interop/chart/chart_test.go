// Package chart tries the Helm chart of deploy/ without a cluster: Helm's own library
// renders it, and the types of Kubernetes read what comes out. It stands alone, because
// those take long to compile.
package chart

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	security "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

const (
	root   = "../.."
	folder = root + "/deploy/helm/ostiary"
	host   = "login.example.com"

	// user is the one of the image.
	user = 65532
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// serviceMonitor is what the Prometheus Operator takes, of what we say.
type serviceMonitor struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		Selector  meta.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port     string `json:"port"`
			Path     string `json:"path"`
			Interval string `json:"interval"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// cluster is what a chart brings to one.
type cluster struct {
	settings   *core.ConfigMap
	deployment *apps.Deployment
	service    *core.Service
	account    *core.ServiceAccount
	budget     *policy.PodDisruptionBudget
	ingress    *networking.Ingress
	network    *networking.NetworkPolicy
	monitor    *serviceMonitor
	notes      string
}

const least = `
issuer: https://login.example.com
masterKey: {existingSecret: ostiary-master-key}
database: {url: "postgres://ostiary@db.example.com/ostiary?sslmode=verify-full", existingSecret: ostiary-database}
`

const most = `
replicas: 3
settings: {mail-server: "smtp://mail.example.com:587", mail-from: "Example <sign-in@example.com>", password-hashes: 2, debugger: "off", trusted-proxies: "10.244.0.0/16"}
image: {repository: registry.example.com/ostiary, tag: v1.2.3, pullSecrets: [registry]}
ingress: {enabled: true, className: nginx, tlsSecret: login-tls, annotations: {example.com/a: b}}
networkPolicy: {enabled: true, from: [{namespaceSelector: {matchLabels: {name: ingress}}}], metricsFrom: [{podSelector: {matchLabels: {app: prometheus}}}]}
metrics: {enabled: true, serviceMonitor: {enabled: true, labels: {release: prometheus}}}
serviceAccount: {annotations: {example.com/c: d}}
service: {type: LoadBalancer, annotations: {example.com/e: f}}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: auth, operator: Exists}]
affinity: {nodeAffinity: {}}
podAnnotations: {example.com/g: h}
podLabels: {team: identity}
`

func theChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

// render returns the files that Helm makes with some values.
func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	c := theChart(t)
	all, err := chartutil.ToRenderValues(c, given, chartutil.ReleaseOptions{Name: "login", Namespace: "auth", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(c, all)
}

// bring reads each file as the API of Kubernetes does: no member that it does not know.
func bring(t *testing.T, values string) (c cluster) {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		base := filepath.Base(name)
		if base == "NOTES.txt" {
			c.notes = text
			continue
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		into := map[string]any{
			"configmap.yaml": &c.settings, "deployment.yaml": &c.deployment, "service.yaml": &c.service, "serviceaccount.yaml": &c.account,
			"poddisruptionbudget.yaml": &c.budget, "ingress.yaml": &c.ingress, "networkpolicy.yaml": &c.network, "servicemonitor.yaml": &c.monitor,
		}[base]
		if into == nil {
			t.Fatalf("%s is not known", name)
		}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
	}
	return c
}

func TestChart(t *testing.T) {
	for name, values := range map[string]string{"least": least, "most": least + most} {
		t.Run(name, func(t *testing.T) {
			c := bring(t, values)
			everything := name == "most"
			for kind, there := range map[string]bool{"ingress": c.ingress != nil, "network policy": c.network != nil, "monitor": c.monitor != nil} {
				if there != everything {
					t.Errorf("%s: %v", kind, there)
				}
			}
			if c.budget == nil || c.account == nil || c.notes == "" {
				t.Error("something is missing")
			}
			c.restricted(t)
			c.belongsTogether(t)
			c.isHeard(t)
			c.probes(t)
		})
	}
}

// restricted: the strictest profile of the Pod Security Standards lets it in.
func (c cluster) restricted(t *testing.T) {
	evaluator, err := security.NewEvaluator(security.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := c.deployment.Spec.Template
	for _, r := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
		if !r.Allowed {
			t.Errorf("%s: %s", r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
	one := pod.Spec.Containers[0].SecurityContext
	if !*one.ReadOnlyRootFilesystem || *pod.Spec.AutomountServiceAccountToken || *pod.Spec.EnableServiceLinks || *pod.Spec.SecurityContext.RunAsUser != user {
		t.Error("the pod is not shut in")
	}
}

// belongsTogether: who selects pods selects these, and ports have the names by which
// they are called.
func (c cluster) belongsTogether(t *testing.T) {
	pod := c.deployment.Spec.Template
	selectors := []map[string]string{c.deployment.Spec.Selector.MatchLabels, c.service.Spec.Selector, c.budget.Spec.Selector.MatchLabels, pod.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels}
	if c.network != nil {
		selectors = append(selectors, c.network.Spec.PodSelector.MatchLabels)
	}
	for i, s := range selectors {
		if len(s) == 0 || !labels.SelectorFromSet(s).Matches(labels.Set(pod.Labels)) {
			t.Errorf("selector %d, %v, does not select the pods", i, s)
		}
	}
	if c.monitor != nil && !labels.SelectorFromSet(c.monitor.Spec.Selector.MatchLabels).Matches(labels.Set(c.service.Labels)) {
		t.Error("the monitor does not select the service")
	}
	var ports, services []string
	for _, p := range pod.Spec.Containers[0].Ports {
		ports = append(ports, p.Name)
	}
	for _, p := range c.service.Spec.Ports {
		if services = append(services, p.Name); !slices.Contains(ports, p.TargetPort.String()) {
			t.Errorf("the pods have no port %s", p.TargetPort.String())
		}
	}
	if c.monitor != nil && !slices.Contains(services, c.monitor.Spec.Endpoints[0].Port) {
		t.Errorf("the service has no port %s", c.monitor.Spec.Endpoints[0].Port)
	}
	if c.ingress != nil && (c.ingress.Spec.Rules[0].Host != host || !slices.Contains(services, c.ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port.Name)) {
		t.Errorf("the ingress leads from %s", c.ingress.Spec.Rules[0].Host)
	}
	if pod.Spec.ServiceAccountName != c.account.Name {
		t.Errorf("the account is %s", pod.Spec.ServiceAccountName)
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range pod.Spec.Containers[0].VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %s", m.Name)
		}
	}
	if len(volumes) != len(pod.Spec.Containers[0].VolumeMounts) {
		t.Error("a volume is mounted nowhere")
	}
}

// isHeard: the program understands the settings, and finds the secrets where they are
// mounted.
func (c cluster) isHeard(t *testing.T) {
	dir := t.TempDir()
	text := c.settings.Data["ostiary.yaml"]
	path := filepath.Join(dir, "ostiary.yaml")
	for name, text := range map[string]string{path: strings.ReplaceAll(text, "/secrets/database/", dir+"/"), filepath.Join(dir, "password"): "secret\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "run", "./cmd/ostiary", "health", "--config", path)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "OSTIARY_LISTEN=127.0.0.1:1") // where nobody listens
	out, _ := cmd.CombinedOutput()
	if !strings.Contains(string(out), "the server does not answer") {
		t.Errorf("the program says %s of\n%s", out, text)
	}
	for _, m := range c.deployment.Spec.Template.Spec.Containers[0].VolumeMounts {
		if strings.HasPrefix(m.MountPath, "/secrets/") && !strings.Contains(text, m.MountPath+"/") {
			t.Errorf("no setting is about %s", m.MountPath)
		}
	}
}

// probes: what is asked for is there.
func (c cluster) probes(t *testing.T) {
	routes := read(t, root, "docs", "reference", "endpoints.md")
	one := c.deployment.Spec.Template.Spec.Containers[0]
	for name, p := range map[string]*core.Probe{"liveness": one.LivenessProbe, "readiness": one.ReadinessProbe, "startup": one.StartupProbe} {
		if p == nil || !strings.Contains(routes, "`"+p.HTTPGet.Path+"`") {
			t.Errorf("%s: the server has no %+v", name, p)
		}
	}
	if one.LivenessProbe.HTTPGet.Path == one.ReadinessProbe.HTTPGet.Path {
		t.Error("a pod whose database is away would be killed")
	}
}

// What is missing or cannot be is refused before anything is changed.
func TestChartRefuses(t *testing.T) {
	if _, err := render(t, least); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"no issuer":                    {"issuer: https://login.example.com", ""},
		"an issuer in the clear":       {"https://login.example.com", "http://login.example.com"},
		"no master key":                {"ostiary-master-key", `""`},
		"a password in the address":    {"ostiary@db", "ostiary:secret@db"},
		"SQLite for several":           {`"postgres://ostiary@db.example.com/ostiary?sslmode=verify-full"`, "sqlite:x"},
		"a value that there is not":    {"issuer:", "replica: 3\nissuer:"},
		"a setting that the chart has": {"issuer:", "settings: {listen: ':1'}\nissuer:"},
		"no replica":                   {"issuer:", "replicas: 0\nissuer:"},
		"a list as a setting":          {"issuer:", "settings: {trusted-proxies: [10.0.0.0/8]}\nissuer:"},
	} {
		if _, err := render(t, strings.Replace(least, change[0], change[1], 1)); err == nil {
			t.Errorf("%s is not refused", name)
		} else if !strings.Contains(fmt.Sprint(err), "schema") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
