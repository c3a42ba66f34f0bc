package deploy

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// units puts the unit where systemd-analyze finds it, with a program that is there.
func units(t *testing.T) (dir, unit string) {
	t.Helper()
	dir = t.TempDir()
	unit = replaceAll(t, read(t, folder, "systemd", "ostiary.service"), "/usr/local/bin/ostiary", binary(t))
	write(t, filepath.Join(dir, "ostiary.service"), unit, 0o644)
	return dir, unit
}

func analyze(t *testing.T, arguments ...string) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("systemd-analyze is missing: run make test, which installs it")
	}
	out, err := exec.Command(path, arguments...).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze %s: %v", strings.Join(arguments, " "), err)
	}
	return string(out)
}

// systemd understands the unit, with TLS of its own and without, and finds it shut in.
func TestUnit(t *testing.T) {
	dir, _ := units(t)
	unit := filepath.Join(dir, "ostiary.service")
	if out := analyze(t, "verify", "--man=no", unit); out != "" {
		t.Errorf("systemd-analyze verify says %s", out)
	}
	if out := analyze(t, "security", "--offline=true", "--no-pager", "--threshold=20", unit); !strings.Contains(out, "OK") {
		t.Errorf("systemd-analyze security says %s", out)
	}
	write(t, filepath.Join(dir, "ostiary.service.d", "tls.conf"), read(t, folder, "systemd", "ostiary.service.d", "tls.conf"), 0o644)
	if out := analyze(t, "verify", "--man=no", unit); out != "" {
		t.Errorf("with TLS systemd-analyze verify says %s", out)
	}
	// The name of a setting that does not exist is a warning of verify's: this one is seen.
	write(t, unit, read(t, unit)+"[Service]\nProtectEverything=yes\n", 0o644)
	if out := analyze(t, "verify", "--man=no", unit); !strings.Contains(out, "ProtectEverything") {
		t.Errorf("systemd-analyze verify overlooks what does not exist: %s", out)
	}
}

// A server that starts before its database ends within a moment. Systemd starts it again
// for as long as that takes, where it would give up after some seconds if it counted;
// what it does not start again is a server with a mistake in its settings.
func TestUnitWaitsForDatabase(t *testing.T) {
	for _, unit := range []string{read(t, folder, "systemd", "ostiary.service"), read(t, folder, "..", "docs", "operate.md")} {
		for _, line := range []string{"StartLimitIntervalSec=0", "Restart=on-failure", "RestartSec=2", "RestartPreventExitStatus=2"} {
			if !strings.Contains(unit, "\n"+line+"\n") {
				t.Errorf("there is no %s in %.40s…", line, unit)
			}
		}
	}
	for want, setting := range map[int]string{
		1: "--database=postgres://ostiary@" + free(t) + "/ostiary", // where nobody is
		2: "--session-life=1h",
	} {
		cmd := exec.Command(binary(t), "serve", "--data", filepath.Join(t.TempDir(), "state"), "--listen", free(t), setting)
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != want {
			t.Errorf("with %s it ends with %d: %s", setting, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// What ExecStart= says is run by a plain user, who gets the master key as systemd gives
// it: in a file of root's that may be read.
func TestExecStart(t *testing.T) {
	_, unit := units(t)
	dir := t.TempDir()
	for parent := dir; parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		os.Chmod(parent, 0o755)
	}
	at := free(t)
	write(t, filepath.Join(dir, "ostiary.yaml"), "listen: "+at+"\nissuer: https://"+host+"\ndata: "+filepath.Join(dir, "state")+"\n", 0o644)
	write(t, filepath.Join(dir, "credentials", "master.key"), strings.Repeat("0123456789abcdef", 4)+"\n", 0o440)
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)[1]
	words := strings.Fields(replaceAll(t, line, "/etc/ostiary/ostiary.yaml", filepath.Join(dir, "ostiary.yaml"), "${CREDENTIALS_DIRECTORY}", filepath.Join(dir, "credentials")))
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Env = state, []string{"STATE_DIRECTORY=" + state, "CREDENTIALS_DIRECTORY=" + filepath.Join(dir, "credentials")}
	if os.Getuid() == 0 {
		for _, path := range []string{state, filepath.Join(dir, "credentials", "master.key")} {
			owner := user
			if path != state {
				owner = 0
			}
			if err := os.Chown(path, owner, user); err != nil {
				t.Fatal(err)
			}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	}
	p := start(t, cmd)
	p.waitFor(t, http.DefaultClient, "http://"+at+"/readyz")
	p.stop(t)
	if _, err := os.Stat(filepath.Join(state, "ostiary.db")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(state, "master.key")); err == nil {
		t.Error("the data folder has a master key")
	}
}
