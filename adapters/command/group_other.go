//go:build !unix

package command

import "os/exec"

// group does nothing: there are no process groups to signal.
func group(*exec.Cmd) {}

// kill ends the program; what it has started goes on.
func kill(cmd *exec.Cmd) error { return cmd.Process.Kill() }
