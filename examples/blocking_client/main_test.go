package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/client"
)

// disk is a folder that can break.
type disk struct {
	fstest.MapFS
	broken atomic.Bool
}

func (d *disk) Open(name string) (fs.File, error) {
	if d.broken.Load() {
		return nil, errors.New("disk on fire")
	}
	return d.MapFS.Open(name)
}

func (d *disk) Stat(name string) (fs.FileInfo, error) {
	if d.broken.Load() {
		return nil, errors.New("disk on fire")
	}
	return d.MapFS.Stat(name)
}

func TestRun_tellsHowEachRunWent(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	require.NoError(t, m.Start(t.Context()))
	monitor := httptest.NewServer(httpapi.New(m))
	defer monitor.Close()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	folder := &disk{MapFS: fstest.MapFS{"a": {Data: []byte("12345")}, "b/c": {Data: []byte("67")}}}
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, w, monitor.URL, folder, 20*time.Millisecond)
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	said := func(want string) {
		t.Helper()
		for range 5 { // a run or two may have begun before the disk changed
			require.True(t, lines.Scan(), "the output ended: %v", lines.Err())
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("%q was never said, last %q", want, lines.Text())
	}
	said("7 bytes, err <nil>")
	folder.broken.Store(true)
	said("0 bytes, err disk on fire")
	said("0 bytes, err disk on fire")
	folder.broken.Store(false)
	said("7 bytes, err <nil>")
	said("7 bytes, err <nil>")
	cancel()
	for lines.Scan() {
		require.Equal(t, "7 bytes, err <nil>", lines.Text(), "a run was on its way")
	}
	require.NoError(t, <-ended)

	var kinds []laneswap.EventKind
	for ev, err := range m.Events(t.Context(), laneswap.EventQuery{}) {
		require.NoError(t, err)
		kinds = append(kinds, ev.Kind)
		if ev.Kind == laneswap.EventDown {
			require.Equal(t, laneswap.StatusError, ev.To)
			require.Equal(t, "disk on fire", ev.Message)
		}
	}
	require.Equal(t, []laneswap.EventKind{laneswap.EventUp, laneswap.EventDown, laneswap.EventRecovered}, kinds, "two failures in a row are one incident")
	st, err := m.Service(t.Context(), client.DefaultID("adder"))
	require.NoError(t, err)
	require.Equal(t, laneswap.StatusShutdown, st.Status)
	require.Contains(t, st.Metadata, "execution_time")
}

func TestRun_worksOnWithoutTheServer(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, w, gone.URL, fstest.MapFS{"a": {Data: []byte("12345")}}, 10*time.Millisecond)
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	for range 2 {
		for lines.Scan() && lines.Text() != "5 bytes, err <nil>" {
			require.Contains(t, lines.Text(), "server not reachable")
		}
		require.NoError(t, lines.Err())
	}
	cancel()
	for lines.Scan() {
	}
	require.NoError(t, <-ended)
}
