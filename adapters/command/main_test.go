package command_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/command"
)

// TestMain lets the test binary be the program that is run.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "as-program" {
		os.Exit(program(os.Args[2], os.Args[3:]))
	}
	// Under the race detector a program waits a second before it ends.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// bare is an environment of entries and of what a test binary needs everywhere.
func bare(entries ...string) []string {
	return append(entries, "SYSTEMROOT="+os.Getenv("SYSTEMROOT"), "GORACE="+os.Getenv("GORACE"))
}

// program plays a role. An error of its own is exit status 99.
func program(role string, args []string) int {
	switch role {
	case "append": // FILE [WORDS]: one write, so that several at once do not mix
		in, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 99
		}
		f, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return 99
		}
		if _, err := f.Write(append(in, '\n')); err != nil || f.Close() != nil {
			return 99
		}
		fmt.Println(strings.Join(args[1:], " "))
	case "environ": // FILE
		if os.WriteFile(args[0], []byte(strings.Join(os.Environ(), "\x00")), 0o600) != nil {
			return 99
		}
		wd, _ := os.Getwd()
		fmt.Println(wd)
	case "say": // CODE STDOUT STDERR, both quoted, so that they are not the arguments, which are hidden
		for i, to := range []*os.File{os.Stdout, os.Stderr} {
			text, err := strconv.Unquote(args[1+i])
			if err != nil {
				return 99
			}
			fmt.Fprint(to, text)
		}
		code, _ := strconv.Atoi(args[0])
		return code
	case "flood": // CODE: without reading, and more than any pipe holds
		block := strings.Repeat("flood ", 10_000)
		for range 50 {
			fmt.Print(block)
			fmt.Fprint(os.Stderr, block)
		}
		fmt.Fprint(os.Stderr, "\nthe end\n")
		code, _ := strconv.Atoi(args[0])
		return code
	case "hang": // [ADDRESS]: hangs, or says that it is there and lives as long as the other end
		fmt.Fprintln(os.Stderr, "waiting for the pager")
		if len(args) == 0 {
			select {}
		}
		conn, err := net.Dial("tcp", args[0])
		if err != nil {
			return 99
		}
		defer conn.Close()
		fmt.Fprintln(conn, "here")
		_, _ = io.Copy(io.Discard, conn)
	case "family", "leave": // ADDRESS: a child that hangs and holds the outputs
		child := exec.Command(os.Args[0], "as-program", "hang", args[0])
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		if child.Start() != nil {
			return 99
		}
		if role == "family" {
			_ = child.Wait()
			return 99
		}
		fmt.Println("left one behind")
	}
	return 0
}

// self is the command line of the test binary in a role.
func self(t *testing.T, role string, args ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return append([]string{exe, "as-program", role}, args...)
}

// says is the command line of a program that writes to both outputs and ends.
func says(t *testing.T, code int, stdout, stderr string, more ...string) []string {
	t.Helper()
	return append(self(t, "say", strconv.Itoa(code), strconv.QuoteToASCII(stdout), strconv.QuoteToASCII(stderr)), more...)
}

// newNotifier makes a notifier that runs the test binary in a role.
func newNotifier(t *testing.T, role string, args ...string) *command.Notifier {
	t.Helper()
	return made(t, self(t, role, args...))
}

func made(t *testing.T, argv []string, opts ...command.Option) *command.Notifier {
	t.Helper()
	n, err := command.New(argv, opts...)
	require.NoError(t, err)
	return n
}
