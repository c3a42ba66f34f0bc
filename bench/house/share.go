package house

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// period is how often a share is dealt out, in microseconds: often enough that nobody
// waits for long for a node that has used up its own.
const period = 10_000

// confine lets a process have so much of a processor and no more. It returns what undoes
// that when the process is gone. Linux alone knows how, by control groups of either
// version, and who may make one is root.
func confine(pid int, share float64) (undo func() error, err error) {
	quota := strconv.Itoa(int(share * period))
	name := fmt.Sprintf("ostiary-bench-%d", pid)
	folder := filepath.Join("/sys/fs/cgroup/cpu", name)
	settings := [][2]string{{"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", quota}}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		folder = filepath.Join("/sys/fs/cgroup", name)
		settings = [][2]string{{"cpu.max", quota + " " + strconv.Itoa(period)}}
	}
	refused := func(err error) error {
		return fmt.Errorf("a share of a processor needs Linux, its controller cpu, and the right to make a control group: be root (%w)", err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, refused(err)
	}
	undo = func() error {
		if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	for _, one := range append(settings, [2]string{"cgroup.procs", strconv.Itoa(pid)}) {
		if err := os.WriteFile(filepath.Join(folder, one[0]), []byte(one[1]), 0o644); err != nil {
			return nil, errors.Join(refused(err), undo())
		}
	}
	return undo, nil
}
