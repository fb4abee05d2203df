//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	core "github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/cmd/internal/cli"
)

// wrapper is "laneswap exec" as a process of its own.
func wrapper(t *testing.T, url string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), exe, append([]string{"as-laneswap", "exec"}, args...)...)
	cmd.Env = append(os.Environ(), "LANESWAP_SERVER="+url)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// service is how a service stands.
func service(t *testing.T, url string, id core.ServiceID) core.ServiceStatus {
	t.Helper()
	c, err := client.New(url)
	require.NoError(t, err)
	defer c.Close()
	st, err := c.Service(t.Context(), id)
	require.NoError(t, err)
	return st
}

func TestExec_reportsAFailureWithStatusAndOutput(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	cmd, stdout, stderr := wrapper(t, url, "--name", "job", "--", "/bin/sh", "-c", "echo working; echo 'no disk' >&2; exit 3")
	require.Error(t, cmd.Run())
	require.Equal(t, 3, cmd.ProcessState.ExitCode())
	require.Equal(t, "working\n", stdout.String())
	require.Equal(t, "no disk\n", stderr.String())

	st := service(t, url, client.DefaultID("job"))
	require.Equal(t, "job", st.Name)
	require.Equal(t, core.StatusError, st.Status)
	require.True(t, strings.HasPrefix(st.Message, "exit status 3\n"), st.Message)
	require.Contains(t, st.Message, "working")
	require.Contains(t, st.Message, "no disk")
	require.Equal(t, 10*time.Second, st.Interval)
	require.Equal(t, time.Minute, st.Window, "its registration stays as it was")
	require.Zero(t, st.Deadline, "it says what went wrong and does not go stale as well")
}

func TestExec_failureLeavesAnotherWrapperUnderItsIDWatched(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	start := func() *exec.Cmd {
		cmd, _, _ := wrapper(t, url, "--id", "job", "--interval", "200ms", "--stale-after", "2s", "--", "/bin/sh", "-c", "echo ready; read x")
		cmd.Stdout = nil
		_, err := cmd.StdinPipe() // held open: the program ends with its wrapper
		require.NoError(t, err)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(stdout).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "ready\n", line)
		return cmd
	}
	c, err := client.New(url)
	require.NoError(t, err)
	defer c.Close()
	reached := func(status core.Status) {
		require.Eventually(t, func() bool {
			st, err := c.Service(t.Context(), "job")
			return err == nil && st.Status == status && !st.Deadline.IsZero() == (status == core.StatusHealthy)
		}, 20*time.Second, 10*time.Millisecond, status)
	}
	older := start()
	reached(core.StatusHealthy)
	newer := start() // a rolling restart: both live for a while
	require.NoError(t, older.Process.Signal(syscall.SIGTERM))
	require.Error(t, older.Wait())
	require.Equal(t, 143, older.ProcessState.ExitCode())
	reached(core.StatusHealthy) // the newer one beats on
	require.NoError(t, newer.Process.Kill())
	require.Error(t, newer.Wait())
	reached(core.StatusStale)
}

func TestExec_messageIsFourKibibytesAtMost(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	cmd, _, _ := wrapper(t, url, "--id", "long", "--", "/bin/sh", "-c", `i=0; while [ $i -lt 2000 ]; do echo "zeile $i äöü"; i=$((i+1)); done; printf '\377end'; exit 1`)
	require.Error(t, cmd.Run())
	msg := service(t, url, "long").Message
	require.LessOrEqual(t, len(msg), 4096)
	require.Greater(t, len(msg), 4090)
	require.True(t, utf8.ValidString(msg))
	require.True(t, strings.HasPrefix(msg, "exit status 1\n"))
	require.True(t, strings.HasSuffix(msg, "zeile 1999 äöü\n?end"), msg[len(msg)-40:])
}

func TestExec_saysGoodbyeWhenAllWentWell(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	cmd, stdout, stderr := wrapper(t, url, "--id", "fine", "--tag", "nightly", "--interval", "5", "--stale-after", "20s", "--", "/bin/echo", "-n", "--name", "x")
	require.NoError(t, cmd.Run())
	require.Equal(t, "--name x", stdout.String())
	require.Empty(t, stderr.String())
	st := service(t, url, "fine")
	require.Equal(t, core.StatusShutdown, st.Status)
	require.Equal(t, "echo", st.Name, "the program's, when nobody said")
	require.Equal(t, []string{"nightly"}, st.Tags)
	require.Equal(t, 5*time.Second, st.Interval)
	require.Equal(t, 20*time.Second, st.Window)
	require.Nil(t, st.Incident)
}

func TestExec_registersAllThatItsFlagsSay(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	_, err := s.Manager().Register(t.Context(), core.Registration{ID: "job", Tags: []string{"old"}, Metadata: map[string]any{"zone": "eu"}})
	require.NoError(t, err)
	cmd, _, _ := wrapper(t, s.URL(), "--id", "job", "--must-run", "--forget-after", "never", "--metadata", "n=3",
		"--alert-after", "2", "--recover-after", "1m", "--", "/bin/echo")
	require.NoError(t, cmd.Run())
	st := service(t, s.URL(), "job")
	require.Empty(t, st.Tags, "it replaces what was registered before")
	require.Equal(t, map[string]any{"zone": "eu", "n": 3.0}, st.Metadata)
	require.Equal(t, []core.Threshold{{Beats: 2}, {For: time.Minute}}, []core.Threshold{st.AlertAfter, st.RecoverAfter})
	require.Equal(t, core.StatusShutdown, st.Status)
	require.NotNil(t, st.Incident, "it must run")
}

func TestExec_reportsTheSignalThatKilled(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	cmd, _, _ := wrapper(t, url, "--id", "job", "--", "/bin/sh", "-c", "echo ready; exec sleep 60")
	cmd.Stdout = nil
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Error(t, cmd.Wait())
	require.Equal(t, 143, cmd.ProcessState.ExitCode())
	st := service(t, url, "job")
	require.Equal(t, core.StatusError, st.Status)
	require.Equal(t, "killed by signal 15 (terminated)\nready", st.Message)
}

func TestExec_reportsTheEndAlsoWhenNobodyReadsItsOutput(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	cmd, _, stderr := wrapper(t, url, "--id", "yes", "--", "/bin/sh", "-c", "while :; do echo y; done")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd.Stdout = w
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())
	line, err := bufio.NewReader(r).ReadString('\n') // as head -1 does
	require.NoError(t, err)
	require.Equal(t, "y\n", line)
	require.NoError(t, r.Close())
	require.Error(t, cmd.Wait())
	require.Equal(t, 141, cmd.ProcessState.ExitCode(), stderr)
	st := service(t, url, "yes")
	require.Equal(t, core.StatusError, st.Status)
	require.True(t, strings.HasPrefix(st.Message, "killed by signal 13 (broken pipe)"), st.Message)
}

func TestExec_reportsWhatCannotRun(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	cmd, _, stderr := wrapper(t, url, "--id", "job", "--", "no-such-program")
	require.Error(t, cmd.Run())
	require.Equal(t, 127, cmd.ProcessState.ExitCode())
	require.Equal(t, "laneswap: exec: \"no-such-program\": executable file not found in $PATH\n", stderr.String())
	st := service(t, url, "job")
	require.Equal(t, core.StatusError, st.Status)
	require.Contains(t, st.Message, "executable file not found")
}

func TestExec_doesNotNeedTheServer(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"away": nowhere(t), "hanging": hanging(t), "unknown": "http://no-such-host.invalid:1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, stdout, stderr := wrapper(t, url, "--id", "job", "--", "/bin/sh", "-c", "cat; exit 5")
			cmd.Stdin = strings.NewReader("all is well\n")
			begun := time.Now()
			require.Error(t, cmd.Run())
			require.Equal(t, 5, cmd.ProcessState.ExitCode())
			require.Equal(t, "all is well\n", stdout.String())
			require.Regexp(t, "^laneswap: cannot report the end of job: .*server not reachable.*\n$", stderr.String())
			require.Less(t, time.Since(begun), 6*time.Second, "two seconds for the last words, and some for a busy machine")
		})
	}
}

func TestExec_startsTheProgramBeforeTheServerAnswers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	cmd, _, _ := wrapper(t, "http://"+l.Addr().String(), "--id", "job", "--", "/bin/sh", "-c", "echo started; read line; exit $line")
	cmd.Stdout = nil
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	conn, err := l.Accept() // the wrapper tries to register, and hears nothing
	require.NoError(t, err)
	defer conn.Close()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "started\n", line)
	_, err = stdin.Write([]byte("9\n"))
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	require.Equal(t, 9, cmd.ProcessState.ExitCode())
}

func TestExec_refusesWrongUsageBeforeItStartsAnything(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{},
		{"--name", "x", "--"},
		{"--interval", "10", "--stale-after", "5", "--", "/bin/echo", "ran"},
		{"--id", "a b", "--", "/bin/echo", "ran"},
		{"--name", strings.Repeat("x", 129), "--", "/bin/echo", "ran"},
		{"--interval", "-1", "--", "/bin/echo", "ran"},
		{"--capture", "some", "--", "/bin/echo", "ran"},
		{"--server", "web", "--", "/bin/echo", "ran"},
	} {
		cmd, stdout, stderr := wrapper(t, nowhere(t), args...)
		require.Error(t, cmd.Run(), args)
		require.Equal(t, cli.CodeUsage, cmd.ProcessState.ExitCode(), args)
		require.Empty(t, stdout.String(), args)
		require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
	}
}
