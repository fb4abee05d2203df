//go:build unix

package command

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// group gives the program its own process group, so that kill also ends the processes
// that it has started.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// kill ends the program and its group. If the program has already ended, its process id
// may belong to another process.
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
