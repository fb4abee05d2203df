package execwrap_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new pseudo terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return master, slave
}

func TestRun_leavesTheTerminalsSignalsToTheTerminal(t *testing.T) {
	t.Parallel()
	master, slave := openTerminal(t)
	cmd, lines := startWrapper(t, func(cmd *exec.Cmd) {
		cmd.Stdin = slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	})
	require.NoError(t, slave.Close())
	require.Equal(t, "ready", <-lines)
	// Two signals that wait at the same time would be one: a second Ctrl-C may hide
	// in some rounds, but not in all of them.
	for range 50 {
		_, err := master.WriteString("\x03") // Ctrl-C, which goes to the whole group
		require.NoError(t, err)
		require.Equal(t, "interrupt", <-lines)
		// A signal that no terminal sends is still sent on; that nothing came
		// between shows that the Ctrl-C came once.
		require.NoError(t, cmd.Process.Signal(syscall.SIGUSR1))
		require.Equal(t, "user defined signal 1", <-lines)
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, "terminated", <-lines)
	require.Error(t, cmd.Wait())
	require.Equal(t, 7, cmd.ProcessState.ExitCode())
}

func TestRun_givesATerminalToTheProgramItself(t *testing.T) {
	t.Parallel()
	master, slave := openTerminal(t)
	args := self(t, "as-wrapper", "/bin/sh", "-c", `test -t 1 && echo terminal || echo no; test -t 2 && echo terminal || echo no`)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, w
	require.NoError(t, cmd.Run())
	require.NoError(t, slave.Close())
	require.NoError(t, w.Close())
	buf := make([]byte, 256)
	var got strings.Builder
	for strings.Count(got.String(), "\n") < 2 {
		n, err := master.Read(buf)
		require.NoError(t, err)
		got.Write(buf[:n])
	}
	require.Equal(t, "terminal\r\nno\r\n", got.String())
}

func TestRun_stopsAndContinuesWithTheTerminal(t *testing.T) {
	t.Parallel()
	master, slave := openTerminal(t)
	cmd, lines := startWrapper(t, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"/bin/sh", "-mc", `"$@"; echo "stopped $?"; jobs -p; fg >/dev/null; echo "ended $?"`, "sh"}, cmd.Args...)
		cmd.Path = "/bin/sh"
		cmd.Stdin = slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	})
	require.NoError(t, slave.Close())
	require.Equal(t, "ready", <-lines)
	_, err := master.WriteString("\x1a") // Ctrl-Z
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("stopped %d", 128+int(syscall.SIGTSTP)), <-lines)
	var wrapper int
	_, err = fmt.Sscan(<-lines, &wrapper)
	require.NoError(t, err)
	// Stopped, it takes nothing; continued by fg it hears what it was sent.
	require.NoError(t, syscall.Kill(wrapper, syscall.SIGUSR1))
	require.Equal(t, "user defined signal 1", <-lines)
	require.NoError(t, syscall.Kill(wrapper, syscall.SIGTERM))
	require.Equal(t, "terminated", <-lines)
	require.Equal(t, "ended 7", <-lines)
	require.NoError(t, cmd.Wait())
}
