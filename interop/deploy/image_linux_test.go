package deploy

import (
	"debug/elf"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// dockerfile is what BuildKit makes of it, which must have nothing to complain of.
func dockerfile(t *testing.T) []instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, folder, "Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Errorf("Dockerfile: %+v", w)
	}
	complain := linter.New(&linter.Config{Warn: func(rule, what, _, why string, _ []parser.Range) { t.Errorf("Dockerfile: %s: %s: %s", rule, what, why) }})
	stages, args, err := instructions.Parse(parsed.AST, complain)
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 || stages[1].BaseName != "scratch" || len(args) != 1 {
		t.Fatalf("%d stages, %d arguments", len(stages), len(args))
	}
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, root, "go.mod"))[1]
	if got := args[0].Args[0].ValueString(); got != version {
		t.Errorf("the Dockerfile builds with Go %s, go.mod says %s", got, version)
	}
	return stages
}

const version = "v1.2.3-test"

// place finds the folders of the image that is made.
var place = regexp.MustCompile(`(^|\s)/(image|data)\b`)

// build does what the first stage says, below dir.
func build(t *testing.T, stage instructions.Stage, dir string) {
	t.Helper()
	for _, c := range stage.Commands {
		run, ok := c.(*instructions.RunCommand)
		if !ok {
			continue
		}
		line := strings.Join(run.CmdLine, " ")
		if line == "go mod download" {
			continue
		}
		// All that it compiles is there from the other tests, but not without its paths.
		line = strings.Replace(place.ReplaceAllString(line, "${1}"+dir+"/${2}"), " -trimpath", "", 1)
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "VERSION="+version)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

// binary returns the program, as the first stage builds it.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "ostiary-deploy-")
		if err != nil {
			t.Fatal(err)
		}
		os.Chmod(dir, 0o755) // others run what is in there
		build(t, dockerfile(t)[0], dir)
		built.path = filepath.Join(dir, "image", "ostiary")
		if err := os.Rename(filepath.Join(dir, "image"), filepath.Join(dir, "built")); err != nil {
			t.Fatal(err)
		}
		built.path = filepath.Join(dir, "built", "ostiary")
	})
	if built.path == "" {
		t.Fatal("the program was not built")
	}
	return built.path
}

// image is the second stage, unpacked into a folder.
type image struct {
	dir         string
	env         []string
	run, health []string
}

func unpack(t *testing.T) image {
	t.Helper()
	binary(t)
	from := map[string]string{"/image/": filepath.Dir(built.path), "/data": filepath.Join(filepath.Dir(filepath.Dir(built.path)), "data")}
	i := image{dir: t.TempDir()}
	for parent := i.dir; parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		os.Chmod(parent, 0o755)
	}
	for _, c := range dockerfile(t)[1].Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			to := i.dir + c.DestPath
			source := from[c.SourcePaths[0]]
			if len(c.SourcePaths) != 1 || source == "" || c.From != "build" {
				t.Fatalf("%s is not understood", c)
			}
			if out, err := exec.Command("cp", "-aT", source, to).CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			if c.Chown == "65532:65532" && os.Getuid() == 0 {
				if err := os.Chown(to, user, user); err != nil {
					t.Fatal(err)
				}
			}
		case *instructions.EnvCommand:
			for _, e := range c.Env {
				i.env = append(i.env, e.String())
			}
		case *instructions.UserCommand:
			if c.User != "65532:65532" {
				t.Errorf("the user is %s", c.User)
			}
		case *instructions.EntrypointCommand:
			i.run = c.CmdLine
		case *instructions.CmdCommand:
			i.run = append(i.run, c.CmdLine...)
		case *instructions.HealthCheckCommand:
			i.health = c.Health.Test[1:]
		case *instructions.VolumeCommand, *instructions.ExposeCommand:
		default:
			t.Errorf("%s is not understood", c.Name())
		}
	}
	return i
}

// inside is a command of the image: in its root, as its user, with its environment.
func (i image) inside(env []string, command ...string) *exec.Cmd {
	cmd := &exec.Cmd{Path: command[0], Args: command, Dir: "/", Env: append(slices.Clone(i.env), env...)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: i.dir, Credential: &syscall.Credential{Uid: user, Gid: user, NoSetGroups: os.Getuid() != 0}}
	if os.Getuid() != 0 { // whoever is not root is that user in a namespace of their own
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// The image runs with nothing around it: the program, whom to trust, and two folders.
func TestImage(t *testing.T) {
	i := unpack(t)
	var files []string
	err := filepath.WalkDir(i.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, strings.TrimPrefix(path, i.dir))
		}
		return err
	})
	if want := []string{"/etc/ssl/certs/ca-certificates.crt", "/ostiary"}; err != nil || !slices.Equal(files, want) {
		t.Fatalf("in the image are %v, %v", files, err)
	}
	program, err := elf.Open(filepath.Join(i.dir, "ostiary"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if needed, err := program.ImportedLibraries(); err != nil || len(needed) > 0 || program.Section(".interp") != nil {
		t.Errorf("the program is not static: %v %v", needed, err)
	}
	out, err := i.inside(nil, "/ostiary", "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "ostiary "+version+" (go") {
		t.Errorf("version: %s %v", out, err)
	}
	at := free(t)
	env := []string{"OSTIARY_ISSUER=https://" + host, "OSTIARY_LISTEN=" + at}
	if out, err := i.inside(env, i.health...).CombinedOutput(); err == nil {
		t.Errorf("it is healthy before it was started: %s", out)
	}
	p := start(t, i.inside(env, i.run...))
	p.waitFor(t, http.DefaultClient, "http://"+at+"/readyz")
	if out, err := i.inside(env, i.health...).CombinedOutput(); err != nil || string(out) != "ready\n" {
		t.Errorf("health: %s %v", out, err)
	}
	for name, mode := range map[string]fs.FileMode{"data": 0o700 | fs.ModeDir, "data/master.key": 0o600, "data/ostiary.db": 0o600} {
		if info, err := os.Stat(filepath.Join(i.dir, name)); err != nil || info.Mode()&^0o044 != mode {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	p.stop(t)
	if out, err := i.inside(env, i.health...).CombinedOutput(); err == nil {
		t.Errorf("it is healthy after its end: %s", out)
	}
}

// All that the program is built from gets to the builder, and no more.
func TestDockerignore(t *testing.T) {
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, root, ".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	left := func(path string) bool {
		t.Helper()
		out, err := ignored.MatchesOrParentMatches(path)
		if err != nil {
			t.Fatal(err)
		}
		return !out
	}
	cmd := exec.Command("go", "list", "-deps", "-json=Dir,Module,GoFiles,EmbedFiles", "./cmd/ostiary")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			Dir                 string
			Module              *struct{ Main bool }
			GoFiles, EmbedFiles []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		for _, name := range append(p.GoFiles, p.EmbedFiles...) {
			path, err := filepath.Rel(here, filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if n++; !left(path) {
				t.Errorf("%s is needed, and ignored", path)
			}
		}
	}
	if n < 300 {
		t.Errorf("the program has only %d files", n)
	}
	for _, path := range []string{"go.mod", "go.sum"} {
		if !left(path) {
			t.Errorf("%s is needed, and ignored", path)
		}
	}
	for _, path := range []string{
		".git/config", "data/master.key", "deploy/compose/secrets/master-key", "bin/ostiary", "artifacts/page.png", "ostiary.yaml", ".env",
		"internal/server/tls_test.go", "internal/upstream/testdata/key.pem", "interop/go.mod",
	} {
		if left(path) {
			t.Errorf("%s goes to the builder", path)
		}
	}
}
