//go:build unix

package command

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// group gives the program a process group of its own, so that kill reaches what it
// has started too.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// kill ends the program and its group. When the program has ended by itself, its
// number may be somebody else's already.
func kill(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		return err
	}
	err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
