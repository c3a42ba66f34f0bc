package server

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// forgetStart takes out of the process what is mapped of the program's own file. A
// start touches all corners of it, most of them once; whatever is wanted again is
// there after a fault of a microsecond, because the file is in the system's cache. A
// part that the process has changed is not the file's any more and is left alone.
func forgetStart() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var from, to uintptr
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if !strings.HasSuffix(name, ":") { // the addresses of the next mapping
			from, to = ownMapping(lines.Text(), self)
			continue
		}
		if name == "Anonymous:" && from < to && strings.TrimSpace(value) == "0 kB" {
			// What fails costs memory and nothing else.
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
}

// ownMapping reads the head of a mapping in smaps (proc(5)) and returns where it is,
// if it is of that file and can be read only; else nothing.
func ownMapping(head, file string) (from, to uintptr) {
	field := strings.Fields(head) // addresses, rights, offset, device, inode, path
	if len(field) < 6 || strings.Join(field[5:], " ") != file || strings.Contains(field[1], "w") {
		return 0, 0
	}
	start, end, _ := strings.Cut(field[0], "-")
	a, err1 := strconv.ParseUint(start, 16, strconv.IntSize)
	b, err2 := strconv.ParseUint(end, 16, strconv.IntSize)
	if err1 != nil || err2 != nil {
		return 0, 0
	}
	return uintptr(a), uintptr(b)
}
