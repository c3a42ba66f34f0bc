package house

import (
	"fmt"
	"os/exec"
	"slices"
	"syscall"
)

// node is the process that runs at an address.
func (h *House) node(address string) (int, *exec.Cmd, error) {
	i := slices.IndexFunc(h.running, func(c *exec.Cmd) bool { return slices.Contains(c.Args, address) })
	if i < 0 {
		return 0, nil, fmt.Errorf("no node runs at %s", address)
	}
	return i, h.running[i], nil
}

// Kill ends a node at once: nothing is flushed, and nothing said.
func (h *House) Kill(address string) error {
	i, node, err := h.node(address)
	if err != nil {
		return err
	}
	err = node.Process.Kill()
	node.Wait() // says that it was killed
	h.running = slices.Delete(h.running, i, i+1)
	return err
}

// Signal sends a signal to a node, such as SIGSTOP and SIGCONT.
func (h *House) Signal(address string, s syscall.Signal) error {
	_, node, err := h.node(address)
	if err != nil {
		return err
	}
	return node.Process.Signal(s)
}

// Process is the number of the process of a node.
func (h *House) Process(address string) (int, error) {
	_, node, err := h.node(address)
	if err != nil {
		return 0, err
	}
	return node.Process.Pid, nil
}
