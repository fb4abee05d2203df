package server_test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/server"
)

// inFile are settings whose state is kept in a file.
func inFile(path string) config.Config {
	return settings(func(c *config.Config) { c.Storage, c.Data = "", path })
}

func newData(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "laneswap.db")
}

// free requires that nobody has a data file.
func free(t *testing.T, path string) {
	t.Helper()
	_, err := server.CheckData(path)
	require.NoError(t, err)
}

const hint = " (--data or LANESWAP_DATA chooses the file; --storage memory needs none)"

func TestOpen_saysWhyTheDataFileCannotBeOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	other := filepath.Join(dir, "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("accounts"))
		if err != nil {
			return err
		}
		return b.Put([]byte("ada"), []byte("100"))
	}))
	require.NoError(t, db.Close())
	taken := filepath.Join(dir, "taken.db")
	first, err := server.Open(inFile(taken))
	require.NoError(t, err)
	defer first.Close()

	type refusal struct{ path, reason string }
	refusals := []refusal{
		{filepath.Join(dir, "none", "laneswap.db"), "the folder " + filepath.Join(dir, "none") + " does not exist"},
		{dir, "it is not a regular file"},
		{other, "the file belongs to another program; choose another path: it has buckets that are not of LaneSwap"},
		{taken, "the file is open in another process; stop that process first"},
	}
	if os.Geteuid() != 0 && os.PathSeparator == '/' { // nothing is denied to root
		closed := filepath.Join(dir, "closed")
		require.NoError(t, os.Mkdir(closed, 0o500))
		refusals = append(refusals, refusal{filepath.Join(closed, "laneswap.db"), "permission denied"})
	}
	if os.PathSeparator == '/' {
		refusals = append(refusals, refusal{filepath.Join(file, "laneswap.db"), "not a directory"})
	}
	for _, tc := range refusals {
		_, err := server.Open(inFile(tc.path))
		require.EqualError(t, err, "server: cannot open the data file "+tc.path+": "+tc.reason+hint)
	}
}

func TestOpen_leavesTheDataFileFreeWhenItFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	cfg := inFile(newData(t))
	cfg.Port = taken.Addr().(*net.TCPAddr).Port
	_, err = server.Open(cfg)
	require.ErrorContains(t, err, "address already in use")
	free(t, cfg.Data)
}

func TestServer_leavesTheDataFileFreeHoweverItEnds(t *testing.T) {
	t.Parallel()
	t.Run("closed without Run", func(t *testing.T) {
		t.Parallel()
		cfg := inFile(newData(t))
		s, err := server.Open(cfg)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		free(t, cfg.Data)
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		cfg := inFile(newData(t))
		s := run(t, cfg)
		get(t, s.URL()+"/healthz")
		s.stop()
		require.NoError(t, <-s.done)
		free(t, cfg.Data)
	})
	t.Run("refused at Start", func(t *testing.T) {
		t.Parallel()
		cfg := inFile(newData(t))
		cfg.StaleThreshold = time.Nanosecond
		s, err := server.Open(cfg)
		require.NoError(t, err)
		require.ErrorIs(t, s.Run(t.Context()), laneswap.ErrInvalidOption)
		free(t, cfg.Data)
	})
}

func TestServer_saysWhereItsDataIs(t *testing.T) {
	t.Parallel()
	path := newData(t)
	here, err := os.Getwd()
	require.NoError(t, err)
	relative, err := filepath.Rel(here, path)
	require.NoError(t, err)
	s := run(t, inFile(relative))
	get(t, s.URL()+"/healthz")
	s.stop()
	require.NoError(t, <-s.done)
	require.Regexp(t, `(?m)msg=listening url=\S+ address=\S+ storage=file data=`+regexp.QuoteMeta(path)+` notifiers=slog$`, s.log.String())
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077, "others do not read it")
}

func TestServer_restartedKnowsItsServices(t *testing.T) {
	t.Parallel()
	cfg := inFile(newData(t))
	s := run(t, cfg)
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	_, err := s.Manager().Register(t.Context(), laneswap.Registration{ID: "billing", Name: "Billing"})
	require.NoError(t, err)
	_, err = s.Manager().Report(t.Context(), "billing", laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "slow"})
	require.NoError(t, err)
	s.stop()
	require.NoError(t, <-s.done)

	s = run(t, cfg)
	code, body := get(t, s.URL()+"/api/services/billing")
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `"name":"Billing"`)
	require.Contains(t, body, `"status":"warning"`)
}

// damaged makes a data file of which one row cannot be read any more.
func damaged(t *testing.T) string {
	t.Helper()
	path := newData(t)
	store, err := boltstore.Open(path)
	require.NoError(t, err)
	require.NoError(t, store.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{
		{Kind: "test", ID: "good", Data: []byte(`"sound"`)}, {Kind: "test", ID: "bad", Data: []byte(`"to be harmed"`)},
	}}))
	require.NoError(t, store.Close())
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), "to be harmed")
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(data, []byte("to be harmed"), []byte("to be HARMED")), 0o600))
	return path
}

func TestServer_setsADamagedFileAsideAndSaysSoLoudly(t *testing.T) {
	t.Parallel()
	path := damaged(t)
	s := run(t, inFile(path))
	get(t, s.URL()+"/healthz")
	require.Regexp(t, `(?m)level=ERROR msg="the data file was damaged; it was set aside, and a new file holds the rows that could be read" data=`+regexp.QuoteMeta(path)+` aside=\S+ problems=.* rows=1 `, s.log.String())

	var remarks []laneswap.Event
	for ev, err := range s.Manager().Events(t.Context(), laneswap.EventQuery{}) {
		require.NoError(t, err)
		if ev.Kind == laneswap.EventStorageDamaged {
			remarks = append(remarks, ev)
		}
	}
	require.Len(t, remarks, 1)
	require.Contains(t, remarks[0].Message, path+" was damaged")
	_, err := s.Manager().Register(t.Context(), laneswap.Registration{ID: "billing"})
	require.NoError(t, err, "it goes on")
	aside := regexp.MustCompile(` aside=(\S+)`).FindStringSubmatch(s.log.String())
	require.Contains(t, remarks[0].Message, aside[1])
	s.stop()
	require.NoError(t, <-s.done)
	report, err := server.CheckData(path)
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	require.Equal(t, 1, report.Rows["test"])

	data, err := os.ReadFile(aside[1])
	require.NoError(t, err)
	require.Contains(t, string(data), "to be HARMED", "the damaged file is kept")

	s = run(t, inFile(path))
	get(t, s.URL()+"/healthz")
	require.NotContains(t, s.log.String(), "was damaged", "once")
}

func TestCheckData_saysWhatToDo(t *testing.T) {
	t.Parallel()
	path := newData(t)
	_, err := server.CheckData(path)
	require.EqualError(t, err, "server: cannot check the data file "+path+": no such file or directory (name the file as an argument, by --data or by LANESWAP_DATA)")
	require.NoFileExists(t, path)

	s, err := server.Open(inFile(path))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for verb, use := range map[string]func() error{
		"check":   func() error { _, err := server.CheckData(path); return err },
		"compact": func() error { _, _, err := server.CompactData(path); return err },
		"export":  func() error { return server.ExportData(path, new(strings.Builder)) },
	} {
		t.Run(verb, func(t *testing.T) { // each waits a second for the file
			t.Parallel()
			require.EqualError(t, use(), "server: cannot "+verb+" the data file "+path+": the file is open in another process; stop that process first")
		})
	}
}
