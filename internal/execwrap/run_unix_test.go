//go:build unix

package execwrap_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/execwrap"
)

// TestMain lets the test binary be the wrapper and the program under it.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "as-wrapper":
			o := execwrap.Run(execwrap.Command{Args: os.Args[2:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
			os.Exit(o.Code)
		case "as-child":
			os.Exit(child(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

func child(role string) int {
	switch role {
	case "copy": // what comes in goes out twice
		if _, err := io.Copy(io.MultiWriter(os.Stdout, os.Stderr), os.Stdin); err != nil {
			return 1
		}
	case "signals": // names what it hears; SIGTERM ends it with 7
		c := make(chan os.Signal, 64)
		signal.Notify(c, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
		fmt.Println("ready")
		parent := os.Getppid()
		for {
			select {
			case s := <-c:
				fmt.Println(s)
				if s == syscall.SIGTERM {
					return 7
				}
			case <-time.After(100 * time.Millisecond):
				if os.Getppid() != parent {
					return 0 // its wrapper was killed: nobody is left to end it
				}
			}
		}
	}
	return 0
}

// self is the command line of the test binary in a role.
func self(t *testing.T, args ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return append([]string{exe}, args...)
}

// run runs a shell script in this process and returns what it wrote.
func run(t *testing.T, capture execwrap.Capture, script string) (o execwrap.Outcome, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	outFile, err := os.Create(filepath.Join(dir, "out"))
	require.NoError(t, err)
	errFile, err := os.Create(filepath.Join(dir, "err"))
	require.NoError(t, err)
	told := 0
	o = execwrap.Run(execwrap.Command{
		Args: []string{"/bin/sh", "-c", script}, Stdout: outFile, Stderr: errFile, Capture: capture,
		Ended: func(execwrap.Outcome) { told++ },
	})
	require.Equal(t, 1, told)
	require.NoError(t, outFile.Close())
	require.NoError(t, errFile.Close())
	return o, read(t, outFile.Name()), read(t, errFile.Name())
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

func TestRun_passesTheExitCodeOn(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		script, text string
		code         int
	}{
		{"exit 0", "exit status 0", 0},
		{"exit 3", "exit status 3", 3},
		{"exit 255", "exit status 255", 255},
		{"kill -KILL $$", "killed by signal 9 (killed)", 137},
		{"kill -TERM $$", "killed by signal 15 (terminated)", 143},
	} {
		t.Run(tc.script, func(t *testing.T) {
			t.Parallel()
			o, _, _ := run(t, execwrap.CaptureAuto, tc.script)
			require.Equal(t, tc.code, o.Code)
			require.Equal(t, tc.text, o.Text())
			require.Equal(t, tc.code == 0, o.Good())
		})
	}
}

func TestRun_saysWhyItCannotRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, []byte("echo hello\n"), 0o644))
	for _, tc := range []struct {
		path string
		code int
	}{
		{"no-such-program-anywhere", execwrap.CodeNotFound},
		{filepath.Join(dir, "nothing"), execwrap.CodeNotFound},
		{plain, execwrap.CodeNotExecutable},
		{dir, execwrap.CodeNotExecutable},
	} {
		var told execwrap.Outcome
		o := execwrap.Run(execwrap.Command{
			Args: []string{tc.path}, Stdout: os.Stdout, Stderr: os.Stderr,
			Ended: func(o execwrap.Outcome) { told = o },
		})
		require.Equal(t, tc.code, o.Code, tc.path)
		require.Error(t, o.Err)
		require.Contains(t, told.Message(4096), "cannot run: ")
		require.False(t, o.Good())
	}
}

func TestRun_takesAScriptWithoutFirstLineAsShellsDo(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "job")
	require.NoError(t, os.WriteFile(script, []byte("exit $1\n"), 0o755))
	o := execwrap.Run(execwrap.Command{Args: []string{script, "5"}, Stdout: os.Stdout, Stderr: os.Stderr})
	require.Equal(t, 5, o.Code)
}

func TestRun_keepsTheEndOfBothOutputs(t *testing.T) {
	t.Parallel()
	for _, capture := range []execwrap.Capture{execwrap.CaptureAuto, execwrap.CaptureAlways} {
		o, stdout, stderr := run(t, capture, `echo working; echo "disk full" >&2; exit 3`)
		require.Equal(t, "working\n", stdout)
		require.Equal(t, "disk full\n", stderr)
		require.Contains(t, string(o.Tail), "working\n")
		require.Contains(t, string(o.Tail), "disk full\n")
		require.NoError(t, o.OutputErr)
	}
	o, stdout, _ := run(t, execwrap.CaptureNever, "echo working; exit 3")
	require.Equal(t, "working\n", stdout)
	require.Empty(t, o.Tail)
}

func TestRun_keepsTheOrderWhereBothOutputsAreOne(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(name)
	require.NoError(t, err)
	defer f.Close()
	o := execwrap.Run(execwrap.Command{
		Args:   []string{"/bin/sh", "-c", `i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); done`},
		Stdout: f, Stderr: f,
	})
	require.Zero(t, o.Code)
	var want strings.Builder
	for i := range 400 {
		fmt.Fprintln(&want, i)
	}
	require.Equal(t, want.String(), read(t, name))
}

func TestRun_passesTenMegabytesThroughUnchanged(t *testing.T) {
	t.Parallel()
	data := make([]byte, 10<<20)
	_, _ = rand.Read(data)
	args := self(t, append([]string{"as-wrapper"}, self(t, "as-child", "copy")...)...)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(data), &stdout, &stderr
	require.NoError(t, cmd.Run())
	require.True(t, bytes.Equal(data, stdout.Bytes()), "stdout differs")
	require.True(t, bytes.Equal(data, stderr.Bytes()), "stderr differs")
}

func TestRun_sendsSignalsOn(t *testing.T) {
	t.Parallel()
	cmd, lines := startWrapper(t, nil)
	require.Equal(t, "ready", <-lines)
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGTERM} {
		require.NoError(t, cmd.Process.Signal(s))
		require.Equal(t, s.String(), <-lines)
	}
	_, more := <-lines
	require.False(t, more)
	require.Error(t, cmd.Wait())
	require.Equal(t, 7, cmd.ProcessState.ExitCode())
}

// startWrapper starts a wrapper around the program that names its signals, and
// returns the lines that it writes.
func startWrapper(t *testing.T, prepare func(*exec.Cmd)) (*exec.Cmd, <-chan string) {
	t.Helper()
	args := self(t, append([]string{"as-wrapper"}, self(t, "as-child", "signals")...)...)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout = w
	if prepare != nil {
		prepare(cmd)
	}
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())
	return cmd, linesOf(t, r, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
}

func TestRun_diesOfABrokenPipeAsTheProgramWould(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	defer w.Close()
	o := execwrap.Run(execwrap.Command{Args: []string{"/bin/sh", "-c", "while :; do echo y; done"}, Stdout: w, Stderr: os.Stderr})
	require.Equal(t, 128+int(syscall.SIGPIPE), o.Code)
}

func TestRun_brokenPipeAtTheWrappersOwnOutputsDoesNotKillIt(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{"stdout": "while :; do echo y; done", "stderr": "while :; do echo y >&2; done"} {
		args := self(t, "as-wrapper", "/bin/sh", "-c", script)
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		r, w, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, r.Close())
		if name == "stdout" {
			cmd.Stdout = w
		} else {
			cmd.Stderr = w
		}
		require.Error(t, cmd.Run())
		require.NoError(t, w.Close())
		require.Equal(t, 128+int(syscall.SIGPIPE), cmd.ProcessState.ExitCode(), "%s: it ends by itself, and says how the program did", name)
	}
}

func TestRun_tellsTheEndWhileAGrandchildStillWrites(t *testing.T) {
	t.Parallel()
	stdinR, stdinW, err := os.Pipe()
	require.NoError(t, err)
	stdoutR, stdoutW, err := os.Pipe()
	require.NoError(t, err)
	defer stdoutR.Close()
	ended := make(chan execwrap.Outcome, 1)
	result := make(chan execwrap.Outcome, 1)
	go func() {
		defer stdoutW.Close()
		result <- execwrap.Run(execwrap.Command{
			Args:  []string{"/bin/sh", "-c", `exec 3<&0; (read x <&3; echo "late $x") & echo first; exit 3`},
			Stdin: stdinR, Stdout: stdoutW, Stderr: os.Stderr,
			Ended: func(o execwrap.Outcome) { ended <- o },
		})
	}()
	o := <-ended
	require.Equal(t, 3, o.Code)
	require.Equal(t, "first\n", string(o.Tail))
	select {
	case <-result:
		require.Fail(t, "the output of the grandchild was given up")
	default:
	}
	_, err = io.WriteString(stdinW, "word\n")
	require.NoError(t, err)
	require.NoError(t, stdinW.Close())
	all, err := io.ReadAll(stdoutR)
	require.NoError(t, err)
	require.Equal(t, "first\nlate word\n", string(all))
	require.Equal(t, 3, (<-result).Code)
}

func TestRun_endsOnASignalWhileAGrandchildStillWrites(t *testing.T) {
	t.Parallel()
	args := self(t, "as-wrapper", "/bin/sh", "-c", `exec 3<&0; (read x <&3) & echo $$; exit 3`)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	stdin, err := cmd.StdinPipe() // held open: the grandchild waits for it
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var pid int
	_, err = fmt.Fscanln(stdout, &pid)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil }, 10*time.Second, 5*time.Millisecond, "the program has not ended")
	// The wrapper hears of the end a moment after the system has forgotten the
	// program; a signal before that finds nobody to be sent on to.
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	// Seldom enough that none meets a wrapper which has ended its waiting and not
	// yet exited: that one would be killed.
	for range 20 {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
			require.Equal(t, 3, cmd.ProcessState.ExitCode())
			return
		case <-time.After(time.Second):
		}
	}
	require.Fail(t, "the wrapper did not end")
}

func TestRun_leavesIgnoredSignalsIgnored(t *testing.T) {
	t.Parallel()
	args := self(t, "as-wrapper", "/bin/sh", "-c", "kill -HUP $$; echo survived")
	nohup := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", `trap "" HUP; exec "$@"`, "sh"}, args...)...)
	out, err := nohup.Output()
	require.NoError(t, err)
	require.Equal(t, "survived\n", string(out))
}

func TestRun_isSilentWhenTheWrapperIsKilled(t *testing.T) {
	t.Parallel()
	cmd, lines := startWrapper(t, nil)
	require.Equal(t, "ready", <-lines)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Equal(t, -1, cmd.ProcessState.ExitCode())
}
