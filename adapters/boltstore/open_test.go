package boltstore_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
)

func TestOpen_ofAFileInUseSaysSo(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]func(t *testing.T, path string){
		"by this process": func(t *testing.T, path string) { open(t, path) },
		"by another": func(t *testing.T, path string) {
			cmd, lines := child(t, path, 1)
			go func() { // it must not wait for us; ends with the child
				for lines.Scan() {
				}
			}()
			t.Cleanup(func() {
				require.NoError(t, cmd.Process.Kill())
				require.Error(t, cmd.Wait())
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			hold(t, path)
			for verb, do := range map[string]func() error{
				"open":    func() error { _, err := boltstore.Open(path); return err },
				"check":   func() error { _, err := boltstore.Check(path); return err },
				"compact": func() error { return boltstore.Compact(path) },
				"export":  func() error { return boltstore.Export(path, &bytes.Buffer{}) },
			} {
				began := time.Now()
				err := do()
				require.ErrorIs(t, err, boltstore.ErrInUse)
				require.EqualError(t, err, "boltstore: "+verb+" "+path+": the file is open in another process; stop that process first")
				require.Less(t, time.Since(began), 10*time.Second)
			}
			require.Equal(t, []string{"laneswap.db"}, files(t, path))
		})
	}
}

func TestOpen_waitsForAProcessThatIsEnding(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	first := open(t, path)
	closed := make(chan error, 1)
	time.AfterFunc(200*time.Millisecond, func() { closed <- first.Close() })
	open(t, path)
	require.NoError(t, <-closed)
}

func TestOpen_makesAFileThatOnlyItsOwnerMayRead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no modes there")
	}
	path := newPath(t)
	require.NoError(t, open(t, path).Close())
	mode := func() os.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	require.Equal(t, os.FileMode(0o600), mode())

	file, err := os.ReadFile(path)
	require.NoError(t, err)
	clear(file[:pageSize])
	require.NoError(t, os.WriteFile(path, file, 0o600))
	s, err := boltstore.Open(path, boltstore.WithOnDamage(func(boltstore.Damage) {}))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Equal(t, os.FileMode(0o600), mode(), "replaced")

	require.NoError(t, os.Chmod(path, 0o640))
	require.NoError(t, open(t, path).Close())
	require.Equal(t, os.FileMode(0o640), mode(), "whoever widened it meant it")
	require.NoError(t, boltstore.Compact(path))
	require.Equal(t, os.FileMode(0o640), mode(), "compacted")
}

func TestOpen_namesAPathThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	paths := map[string]string{
		"a missing folder": filepath.Join(dir, "missing", "laneswap.db"),
		"a folder":         dir,
		"below a file":     filepath.Join(file, "laneswap.db"),
	}
	if os.Getuid() > 0 {
		locked := filepath.Join(dir, "locked")
		require.NoError(t, os.Mkdir(locked, 0o500))
		paths["a folder that may not be written"] = filepath.Join(locked, "laneswap.db")
		read := filepath.Join(dir, "readonly.db")
		require.NoError(t, os.WriteFile(read, nil, 0o400))
		paths["a file that may not be written"] = read
	}
	for name, path := range paths {
		_, err := boltstore.Open(path)
		require.ErrorContains(t, err, "boltstore: open "+path+": ", name)
		require.ErrorContains(t, boltstore.Compact(path), path, name)
		if os.IsPermission(err) {
			continue
		}
		_, err = boltstore.Check(path)
		require.ErrorContains(t, err, path, name)
		require.ErrorContains(t, boltstore.Export(path, &bytes.Buffer{}), path, name)
	}
	missing := filepath.Join(dir, "missing.db")
	_, err := boltstore.Check(missing)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorIs(t, boltstore.Compact(missing), os.ErrNotExist)
	require.ErrorIs(t, boltstore.Export(missing, &bytes.Buffer{}), os.ErrNotExist)
	require.NoFileExists(t, missing, "only Open makes files")
}

func TestStore_isClosedForGood(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1}), boltstore.ErrClosed)
	_, err := s.Prune(t.Context(), laneswap.KindEvent, noon, 1)
	require.ErrorIs(t, err, boltstore.ErrClosed)
	for _, err := range s.Load(t.Context()) {
		require.ErrorIs(t, err, boltstore.ErrClosed)
	}
	for _, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: laneswap.KindEvent}) {
		require.ErrorIs(t, err, boltstore.ErrClosed)
	}
}

func TestStore_refusesRowsThatItWouldNotFindAgain(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	for name, b := range map[string]laneswap.Batch{
		"no kind":         {Put: []laneswap.Row{{ID: "a"}}},
		"no id":           {Insert: []laneswap.Row{{Kind: "k"}}},
		"a NUL in an id":  {Put: []laneswap.Row{{Kind: "k", ID: "a\x00"}}},
		"a NUL elsewhere": {Put: []laneswap.Row{{Kind: "k", ID: "a", Service: "\x00"}}},
		"seen as a row":   {Put: []laneswap.Row{{Kind: laneswap.KindSeen, ID: "a"}}},
		"nobody was seen": {Seen: []laneswap.Seen{{At: noon}}},
	} {
		require.ErrorIs(t, s.Commit(t.Context(), b), boltstore.ErrInvalidRow, name)
	}
}

// TestStore_obeysItsContextWhileAWriteHangs: what hangs in the system must not
// hold those who wait for it.
func TestStore_obeysItsContextWhileAWriteHangs(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	until, begun := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.Occupy(ctx, until, begun) }()
	<-begun

	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	require.ErrorIs(t, s.Commit(short, laneswap.Batch{Epoch: 1}), context.DeadlineExceeded)
	_, err := s.Prune(short, laneswap.KindEvent, noon, 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	for _, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: laneswap.KindEvent}) {
		require.NoError(t, err, "readers do not wait for writers")
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled, "nor does the one whose write it is")

	// The write comes back, and all is as before.
	close(until)
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{{Kind: "k", ID: "a"}}}))
}

// TestRows_aSlowReaderDoesNotMakeTheFileGrow changes one row thousands of times
// within a loop: pages that were freed must be used again.
func TestRows_aSlowReaderDoesNotMakeTheFileGrow(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openFast(t, path)
	var b laneswap.Batch
	for i := range 700 {
		b.Put = append(b.Put, laneswap.Row{Kind: laneswap.KindEvent, ID: noon.Add(time.Duration(i)).String(), At: noon, Data: make([]byte, 100)})
	}
	b.Epoch = 1
	require.NoError(t, s.Commit(t.Context(), b))
	size := func() int64 {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Size()
	}
	before := size()
	large := laneswap.Row{Kind: "large", ID: "a", At: noon, Data: make([]byte, 30_000)}
	n := 0
	for _, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: laneswap.KindEvent}) {
		require.NoError(t, err)
		require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{large}}))
		n++
	}
	require.Equal(t, 700, n)
	require.Less(t, size(), before+(4<<20), "20 MB were written")
}
