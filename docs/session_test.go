package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// session is one reader's way through one document: a shell, a folder, ports.
type session struct {
	path  string            // of the document
	root  string            // stands for the root of the file system
	ports map[string]string // from those in the document
	texts []substitution    // done to every block
	began time.Time         // when the reader began
}

// newSession finds free ports and makes the folders that every system has.
func newSession(t *testing.T, d document) *session {
	t.Helper()
	s := &session{began: time.Now(), path: d.path, root: t.TempDir(), ports: map[string]string{}}
	for _, dir := range []string{"work", "home", "log", "out", "etc/ostiary", "etc/systemd/system", "usr/local/bin", "var/lib/ostiary"} {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"8080", "8081", "8082", "8083", "8084", "8085"} {
		s.ports[p] = freePort(t)
	}
	s.texts = substitutions(t, s, d)
	return s
}

// freePort returns a port that nothing listens on. It is none of those that a
// system gives to programs which ask for any: they could take it meanwhile.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(15000 + rand.IntN(5000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// substitution is a text of the documents that cannot be used as it stands.
type substitution struct {
	pattern *regexp.Regexp
	with    func(match string) string
}

func (s *session) substitute(text string) string {
	for _, one := range s.texts {
		text = one.pattern.ReplaceAllStringFunc(text, one.with)
	}
	return text
}

// run goes through the document and, while its programs still run, does what
// else there is to do.
func (s *session) run(t *testing.T, d document, all []block) {
	t.Helper()
	binary(t) // what it takes to build is none of the reader's time
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", s.script(t, d, all))
	cmd.Env = s.environment(t)
	// The first signal lets the script end its programs.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var faults bytes.Buffer
	cmd.Stderr = &faults
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reached := make([]byte, len(finished))
	if _, err := io.ReadFull(stdout, reached); err == nil && string(reached) == finished {
		if d.after != nil {
			d.after(t, s)
		}
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		s.end()
		at, _ := os.ReadFile(filepath.Join(s.root, "at"))
		line, i, _ := strings.Cut(strings.TrimSpace(string(at)), " ")
		t.Fatalf("%s:%s: %v\n%s\n%s", s.path, line, err, s.output(i), faults.String())
	}
	for i, b := range all {
		if i > 0 && b.adjacent && (b.language == "text" || b.language == "json") && all[i-1].kind() == "sh" {
			s.compare(t, b, s.output(strconv.Itoa(i-1)))
		}
	}
}

// end ends what a script that was ended itself has left behind.
func (s *session) end() {
	cmd := exec.Command("bash", "-c", `for p in $(cat "$ROOT/programs"); do kill -KILL -- "-$p"; done`)
	cmd.Env = []string{"ROOT=" + s.root, "PATH=" + os.Getenv("PATH")}
	_ = cmd.Run() // as a rule there is nothing to end
}

// finished is what the script prints when the document is through.
const finished = "finished\n"

func (s *session) output(block string) string {
	text, _ := os.ReadFile(filepath.Join(s.root, "out", block)) // not there before the first block
	return string(text)
}

// logs returns what the programs that kept running have printed.
func (s *session) logs(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.root, "log", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

var space = regexp.MustCompile(`\s+`)

// compare holds what a command printed against what the document shows. "…"
// stands for anything, and the width of columns does not count.
func (s *session) compare(t *testing.T, b block, got string) {
	t.Helper()
	var parts []string
	for part := range strings.SplitSeq(s.substitute(strings.TrimSpace(b.text)), "…") {
		parts = append(parts, space.ReplaceAllString(regexp.QuoteMeta(part), `\s+`))
	}
	pattern := `^\s*` + strings.Join(parts, `[\s\S]*?`) + `\s*$`
	// "…" between line ends may stand for nothing at all.
	pattern = strings.ReplaceAll(pattern, `\s+[\s\S]*?\s+`, `\s+(?:[\s\S]*?\s+)?`)
	if !regexp.MustCompile(pattern).MatchString(got) {
		t.Errorf("%s:%d: the document shows\n%s\nbut it is\n%s", s.path, b.line, b.text, got)
	}
}

func (s *session) environment(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	folders := strings.Fields(string(out))
	here, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"PATH=" + filepath.Dir(binary(t)) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + filepath.Join(s.root, "home"), "TZ=UTC", "NO_COLOR=1", "LC_ALL=C.UTF-8",
		"ROOT=" + s.root, "WORK=" + filepath.Join(s.root, "work"),
		"BINARY=" + binary(t), "REPOSITORY=" + repository, "TEST=" + here,
		// The programs of the documents are compiled as everybody else's, but
		// with this tree as the module, and without a network.
		"GOMODCACHE=" + folders[0], "GOCACHE=" + folders[1], "GOFLAGS=-mod=mod", "GOPROXY=off", "GOTOOLCHAIN=local", "GONOSUMDB=*",
		"PORT_8080=" + s.ports["8080"], "PORT_8081=" + s.ports["8081"], "PORT_8082=" + s.ports["8082"], "PORT_8083=" + s.ports["8083"], "PORT_8084=" + s.ports["8084"], "PORT_8085=" + s.ports["8085"],
		// What serve listens on if nobody says anything.
		"OSTIARY_LISTEN=127.0.0.1:" + s.ports["8080"],
		// Cheap hashes: what they cost is tested where they are made.
		"OSTIARY_PASSWORD_MEMORY=8192", "OSTIARY_PASSWORD_PASSES=1",
	}
}

// script makes one script of a document, so that a later block has the folder
// and the variables of an earlier one.
func (s *session) script(t *testing.T, d document, all []block) string {
	t.Helper()
	var out strings.Builder
	out.WriteString(prelude)
	for _, r := range replaced {
		fmt.Fprintf(&out, "%s() {\n%s\n}\n", r.program, r.with)
	}
	out.WriteString(s.substitute(d.before) + "\n")
	for i, b := range all {
		step := s.step(t, b)
		if step != "" {
			fmt.Fprintf(&out, "echo '%d %d' >\"$ROOT/at\"\n{\n%s\n} >\"$ROOT/out/%d\" 2>&1 </dev/null\n", b.line, i, step, i)
		}
	}
	out.WriteString("echo finished\nread -r _ || true\n")
	return out.String()
}

// step returns what a block asks of the shell, "" where it is nothing.
func (s *session) step(t *testing.T, b block) string {
	t.Helper()
	text := s.substitute(b.text)
	file := s.substitute(named(b.text))
	switch kind := b.kind(); kind {
	case "sh":
		return commands(text)
	case "program":
		return write("main.go", text)
	case "python":
		name, _, _ := strings.Cut(strings.TrimPrefix(b.text, "# "), "\n")
		return write(name, text)
	case "html", "js":
		if file != "" {
			return write(file, text)
		}
		if notRun[kind] == "" {
			t.Errorf("%s:%d: the first line of the file must be its name, as a comment", s.path, b.line)
		}
	case "yaml", "ini":
		if file == "" {
			t.Errorf("%s:%d: the first line of the file must be its name, as a comment", s.path, b.line)
		}
		return write(file, text)
	case "sql":
		return `OSTIARY_DOCS_SQLITE=` + file + ` "$TEST" <<'END_OF_BLOCK'` + "\n" + text + "END_OF_BLOCK"
	case "go":
		checkFragment(t, s.path, b)
	case "text", "json":
		if !b.adjacent {
			t.Errorf("%s:%d: what a command prints must stand directly below it", s.path, b.line)
		}
	case "":
		if strings.HasPrefix(s.path, "docs/") {
			t.Errorf("%s:%d: the fence must say what it holds", s.path, b.line)
		}
	default:
		if notRun[kind] == "" {
			t.Errorf("%s:%d: a block of %q is not run: use another fence, or say in the table why", s.path, b.line, kind)
		}
	}
	return ""
}

// named returns the name of a file from the comment in its first line.
func named(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	for _, mark := range []string{"# /", "-- /"} {
		if name, ok := strings.CutPrefix(first, mark); ok {
			return "/" + name
		}
	}
	if beside := besideIt.FindStringSubmatch(first); beside != nil {
		return beside[1] + beside[2] + beside[3]
	}
	return ""
}

// besideIt is the name of a file in the folder of the reader.
var besideIt = regexp.MustCompile(`^(?:# ([a-z-]+\.(?:yaml|ini))|// ([a-z-]+/[a-z-]+\.js)|<!-- ([a-z-]+/[a-z-]+\.html) -->)$`)

func write(file, text string) string {
	return "mkdir -p \"$(dirname " + file + ")\" && cat >" + file + " <<'END_OF_BLOCK'\n" + text + "END_OF_BLOCK"
}

// staying recognises a command that keeps its terminal until it is interrupted.
var staying = regexp.MustCompile(`^((?:[A-Z_]+=\S+ )*)((?:\./)?ostiary (?:serve|demo|debugger|guard)[^|&]*|go run [^|&]*|python3 [^|&]*)$`)

// commands makes a script of the lines that somebody types.
func commands(text string) string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		command, comment, _ := strings.Cut(line, " #")
		for from, to := range rewritten {
			command = strings.ReplaceAll(command, from, to)
		}
		command = strings.TrimSpace(command)
		if m := staying.FindStringSubmatch(command); m != nil {
			command = m[1] + "start " + m[2] + `; cat "$log"`
			if strings.Contains(comment, "Ctrl-C") {
				command += "; interrupt"
			}
		}
		out = append(out, command)
	}
	return strings.Join(out, "\n")
}

// prelude holds what the documents take for granted: a terminal for each
// program that keeps running, and Ctrl-C.
const prelude = `
set -eu -o pipefail
cd "$WORK"
started=0 programs=() log= last=

# start runs a program until the end of the document, and returns when it is
# ready. The reader goes on in another terminal, in the folder of the document.
start() {
	started=$((started + 1)) log="$ROOT/log/$started"
	: >"$log"
	set -m # a group of its own, so that it ends with its children
	"$@" >"$log" 2>&1 &
	last=$!
	set +m # no notices about jobs
	programs+=("$last")
	echo "$last" >>"$ROOT/programs"
	for _ in $(seq 1200); do
		if grep -qE 'msg"?[=:]"?listening|listening on|Serving HTTP on|is open|Ctrl-C|Until [0-9]|Open this address' "$log"; then
			cd "$WORK"
			return 0
		fi
		if ! kill -0 "$last" 2>/dev/null; then
			break
		fi
		sleep 0.05
	done
	echo "not running: $*"
	cat "$log"
	return 1
}

# interrupt is Ctrl-C in the terminal of the last program, which ends in order.
interrupt() {
	kill -INT -- "-$last"
	wait "$last"
}

finish() {
	status=$?
	trap - EXIT INT TERM
	for p in ${programs[@]+"${programs[@]}"}; do
		kill -INT -- "-$p" 2>/dev/null || true
	done
	wait
	exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM
`
