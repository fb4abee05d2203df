package command_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/command"
	"github.com/laneswap/laneswap/adapters/notifiertest"
)

var now = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)

func TestNotifier_keepsTheContract(t *testing.T) {
	t.Parallel()
	notifiertest.Run(t, notifiertest.Target{
		Local: func(t *testing.T, s *notifiertest.Stand) (laneswap.Notifier, func() string) {
			file := filepath.Join(t.TempDir(), "delivered")
			n, err := command.New(self(t, "append", file, "m-1"), command.WithEnv(bare("TOKEN="+s.Secret("env"))...))
			require.NoError(t, err)
			return n, func() string {
				data, err := os.ReadFile(file)
				if !os.IsNotExist(err) {
					require.NoError(t, err)
				}
				return string(data)
			}
		},
		Failing: func(t *testing.T, s *notifiertest.Stand) laneswap.Notifier {
			token, arg, host, path, query, user, password := s.Secret("env"), s.Secret("arg"), s.Secret("host"), s.Secret("path"), s.Secret("query"), s.Secret("user"), s.Secret("password")
			url := "https://" + user + ":" + password + "@" + host + ".example.org:8443/" + path + "/x?token=" + query
			said := fmt.Sprintf("\x1b[31mcannot reach %s.example.org with --token=%s\r\ncurl: %s: %s %s %s %s %s %s %s\n", host, arg, url, token, arg, host+".example.org", path, query, user, password)
			return made(t, says(t, 1, "", said, "--token="+arg, arg, url), command.WithEnv(bare("TOKEN="+token)...))
		},
		Hanging: func(t *testing.T, s *notifiertest.Stand) laneswap.Notifier { return newNotifier(t, "hang") },
		Receipt: "m-1",
	})
}

func TestNotify_givesTheMessageAsJSON(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "delivered")
	n := newNotifier(t, "append", file)
	all := notifiertest.Notifications(now)
	notes := []laneswap.Notification{all[0], all[9], all[len(all)-1]} // an event, a digest, a test
	for _, note := range notes {
		require.NoError(t, n.Notify(t.Context(), note))
	}
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		var got laneswap.Notification
		require.NoError(t, json.Unmarshal([]byte(line), &got))
		require.Equal(t, notes[i], got)
	}
}

func TestNotify_saysWhatTheExitStatusMeans(t *testing.T) {
	t.Parallel()
	note := notifiertest.Notifications(now)[0]
	for code, want := range map[int]string{
		1:  "the program ended with exit status 1: no such room",
		75: "the program ended with exit status 75: no such room",
		78: "the program ended with exit status 78: no such room",
		64: "the program ended with exit status 64, which refuses the message: no such room",
		65: "the program ended with exit status 65, which refuses the message: no such room",
	} {
		err := made(t, says(t, code, "not an id", "no such room\n")).Notify(t.Context(), note)
		require.EqualError(t, err, want)
		require.Equal(t, code == 64 || code == 65, laneswap.IsRefused(err))
		require.False(t, laneswap.IsPermanent(err))
		_, later := laneswap.RetryDelay(err)
		require.False(t, later)
	}
	require.EqualError(t, made(t, says(t, 3, "", "")).Notify(t.Context(), note), "the program ended with exit status 3")
}

func TestNotify_takesTheFirstLineForTheReceipt(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]string{
		"": "", "\n \n\n": "", "m-1": "m-1", "m-1\nmore\n": "m-1", "\r\n\n  m-2 \r\nmore": "m-2", "\x1b[32mm-3\x1b[0m\n": "m-3",
		strings.Repeat("x", 5000): strings.Repeat("x", 128), // which is what is kept of any receipt
	} {
		id, err := laneswap.Send(t.Context(), made(t, says(t, 0, out, "not of interest")), notifiertest.Notifications(now)[0])
		require.NoError(t, err)
		require.Equal(t, want, id, "%.20q", out)
	}
}

func TestNotify_reportsTheLastLinesOfErrors(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"one\ntwo\n\n  three \n":                                         ": one / two / three",
		"10 %\r50 %\r\x1b[31mfailed\x1b[0m\n":                            ": 10 % / 50 % / failed",
		"first " + strings.Repeat("a", 290) + "\nlast line\n":            ": last line",
		"long " + strings.Repeat("語", 500):                               ": long " + strings.Repeat("語", 98),
		"\x1b]0;title\x07\u202e\xff\n":                                   "",
		strings.Repeat("x", 10_000):                                      "",
		strings.Repeat("x", 10_000) + " and\nthat was it":                ": and / that was it",
		strings.Repeat("line\n", 2000) + strings.Repeat("b", 298) + "\n": ": " + strings.Repeat("b", 298),
	} {
		err := made(t, says(t, 1, "", said)).Notify(t.Context(), notifiertest.Notifications(now)[0])
		require.EqualError(t, err, "the program ended with exit status 1"+want, "%.30q", said)
	}
}

func TestNotify_readsAllOutputAndNeedsNoReader(t *testing.T) {
	t.Parallel()
	note := notifiertest.Notifications(now)[0]
	note.Text = strings.Repeat("more than a pipe holds ", 100_000)
	require.NoError(t, newNotifier(t, "flood", "0").Notify(t.Context(), note))
	require.ErrorContains(t, newNotifier(t, "flood", "1").Notify(t.Context(), note), "exit status 1: the end")
}

// holder is a process that says that it is there.
type holder struct {
	address    string        // to give to it
	here, gone chan struct{} // closed when it is there, and when it has ended
	conn       chan *net.TCPConn
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &holder{address: l.Addr().String(), here: make(chan struct{}), gone: make(chan struct{}), conn: make(chan *net.TCPConn, 1)}
	t.Cleanup(func() { l.Close() })
	go func() { // ends when l is closed, or the process has ended
		defer close(h.gone)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		h.conn <- conn.(*net.TCPConn)
		lines := bufio.NewReader(conn)
		if _, err := lines.ReadString('\n'); err == nil {
			close(h.here)
		}
		_, _ = lines.ReadString('\n')
	}()
	return h
}

// soon requires that a channel is closed within a minute.
func soon(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatal(what)
	}
}

func TestNotify_killsTheProgramAndWhatItHasStarted(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no process groups here")
	}
	h := newHolder(t)
	ctx, cancel := context.WithCancel(t.Context())
	n, done := newNotifier(t, "family", h.address), make(chan error, 1)
	go func() { done <- n.Notify(ctx, notifiertest.Notifications(now)[0]) }()
	soon(t, h.here, "the grandchild did not come up")
	cancel()
	soon(t, h.gone, "the grandchild lives on")
	err := <-done
	require.ErrorIs(t, err, context.Canceled)
	require.EqualError(t, err, "the program was killed: context canceled: waiting for the pager")
	require.False(t, laneswap.IsRefused(err))
}

// As one that became another user, with sudo.
func TestNotify_leavesAProgramThatCannotBeKilled(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	argv := self(t, "hang", h.address)
	cmd := exec.Command(argv[0], argv[1:]...) // which no context ends
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	soon(t, h.here, "it did not come up")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, command.Ended(ctx, cmd, 10*time.Millisecond))
}

func TestNotify_leavesAloneWhatTheProgramLeftBehind(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	began := time.Now()
	id, err := laneswap.Send(t.Context(), newNotifier(t, "leave", h.address), notifiertest.Notifications(now)[0])
	require.NoError(t, err, "the program said yes")
	require.Equal(t, "left one behind", id)
	require.Less(t, time.Since(began), 25*time.Second, "it holds the outputs, which are not waited for")
	soon(t, h.here, "the grandchild did not come up")
	select {
	case <-h.gone:
		t.Fatal("the grandchild was killed")
	default:
	}
	// It lives as long as its connection.
	require.NoError(t, (<-h.conn).CloseWrite())
	soon(t, h.gone, "the grandchild lives on")
}

func TestNotify_saysThatTheProgramIsGone(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	require.NoError(t, err)
	data, err := os.ReadFile(exe)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "program.exe")
	require.NoError(t, os.WriteFile(path, data, 0o700))
	n, err := command.New([]string{path, "as-program", "canary"})
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	err = n.Notify(t.Context(), notifiertest.Notifications(now)[0])
	require.ErrorContains(t, err, "the program cannot be run: ")
	require.NotContains(t, err.Error(), "canary")
	require.False(t, laneswap.IsPermanent(err) || laneswap.IsRefused(err), "it may come back")
}

func TestNotify_runsNoShell(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "delivered")
	n := newNotifier(t, "append", file, "$(touch "+dir+"/pwned)", "; touch "+dir+"/pwned", "`touch "+dir+"/pwned`", "$HOME", "*", ".")
	note := notifiertest.Notifications(now)[0]
	note.Title, note.Event.Name = "$(touch "+dir+"/pwned)", "`touch "+dir+"/pwned`"
	id, err := laneswap.Send(t.Context(), n, note)
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, "pwned"))
	require.True(t, strings.HasSuffix(id, "$HOME * ."), id)
}

func TestNotifier_isPrintedWithoutItsArguments(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	require.NoError(t, err)
	n, err := command.New([]string{exe, "canary"}, command.WithName("pager"), command.WithEnv("TOKEN=canary"))
	require.NoError(t, err)
	require.Equal(t, "pager", n.Name())
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		require.Equal(t, `command notifier "pager" (`+filepath.Base(exe)+`)`, fmt.Sprintf(format, n), format)
	}
	require.Equal(t, "command", newNotifier(t, "say").Name())
}
