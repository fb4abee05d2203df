package command_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/command"
	"github.com/laneswap/laneswap/adapters/notifiertest"
)

func TestNew_namesTheProgramThatCannotBeRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600))
	for _, tc := range []struct {
		program, want string
		unix          bool
	}{
		{"laneswap-no-such-program", `command program "laneswap-no-such-program" cannot be run: it is not in PATH`, false},
		{filepath.Join(dir, "nowhere"), "cannot be run: no such file or directory", true},
		{plain, "cannot be run: permission denied", true},
		{dir, "cannot be run: is a directory", true},
	} {
		if tc.unix && runtime.GOOS == "windows" {
			continue
		}
		_, err := command.New([]string{tc.program, "--token", "canary"})
		require.ErrorIs(t, err, laneswap.ErrInvalidOption)
		require.ErrorContains(t, err, tc.want)
		require.ErrorContains(t, err, filepath.Base(tc.program))
		require.NotContains(t, err.Error(), "canary")
	}
}

func TestNew_saysWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	require.NoError(t, err)
	for _, argv := range [][]string{nil, {}, {""}, {"", "canary"}} {
		_, err := command.New(argv)
		require.EqualError(t, err, "command program is not given")
		require.ErrorIs(t, err, laneswap.ErrInvalidOption)
	}
	_, err = command.New([]string{exe, "canary\x00"})
	require.EqualError(t, err, "command arguments hold a zero byte")
	for want, opt := range map[string]command.Option{
		"command name is empty":                                 command.WithName(""),
		"command environment must consist of entries key=value": command.WithEnv("A=b", "canary"),
		"command directory is not a directory":                  command.WithDir(exe),
		"command directory cannot be used":                      command.WithDir(""),
	} {
		_, err := command.New([]string{exe}, opt)
		require.EqualError(t, err, want)
		require.ErrorIs(t, err, laneswap.ErrInvalidOption)
	}
	_, err = command.New([]string{exe}, command.WithDir(filepath.Join(t.TempDir(), "nowhere")))
	require.ErrorContains(t, err, "command directory cannot be used: ")
}

// A program that is named by a path from the current directory, and one of PATH, are
// found once, in whichever directory it then runs.
func TestNew_findsTheProgramOnce(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	t.Setenv("PATH", filepath.Dir(exe))
	byName, err := command.New(append([]string{filepath.Base(exe)}, self(t, "append", filepath.Join(t.TempDir(), "a"), "name")[1:]...))
	require.NoError(t, err)
	wd, err := os.Getwd()
	require.NoError(t, err)
	relative, err := filepath.Rel(wd, exe)
	require.NoError(t, err)
	byPath, err := command.New(append([]string{relative}, self(t, "append", filepath.Join(t.TempDir(), "b"), "path")[1:]...), command.WithDir(t.TempDir()))
	require.NoError(t, err)
	t.Setenv("PATH", t.TempDir())
	for want, n := range map[string]*command.Notifier{"name": byName, "path": byPath} {
		id, err := laneswap.Send(t.Context(), n, notifiertest.Notifications(now)[0])
		require.NoError(t, err)
		require.Equal(t, want, id)
	}
}

// PATH may name the current directory, in which anybody may have put something.
func TestNew_runsNothingOfTheCurrentDirectoryByName(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("what is executable there is in its name")
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page"), []byte("#!/bin/sh\n"), 0o700))
	t.Chdir(dir)
	t.Setenv("PATH", ".")
	_, err := command.New([]string{"page"})
	require.EqualError(t, err, `command program "page" cannot be run: it is in the current directory, which PATH names; write ./ before its name`)
	_, err = command.New([]string{"./page"})
	require.NoError(t, err)
}
