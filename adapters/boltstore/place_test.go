package boltstore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
)

// one is a batch with a single row.
func one(id string) laneswap.Batch {
	return laneswap.Batch{Epoch: 1, Put: []laneswap.Row{{Kind: laneswap.KindEvent, ID: id, At: noon}}}
}

func TestDamage_aFileThatIsNotInItsPlaceIsNotWritten(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a file that is open cannot be replaced there")
	}
	for name, other := range map[string][]byte{"deleted": nil, "replaced": []byte("another")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := open(t, path)
			require.NoError(t, s.Commit(t.Context(), one("before")))
			away := path + ".away"
			require.NoError(t, os.Rename(path, away))
			if other != nil {
				require.NoError(t, os.WriteFile(path, other, 0o600))
			}
			was, err := os.ReadFile(away)
			require.NoError(t, err)
			for range 2 {
				err := s.Commit(t.Context(), one("lost"))
				require.ErrorIs(t, err, boltstore.ErrReplaced)
				require.EqualError(t, err, "boltstore: write "+path+": "+boltstore.ErrReplaced.Error())
				_, err = s.Prune(t.Context(), laneswap.KindEvent, noon.AddDate(1, 0, 0), 10)
				require.ErrorIs(t, err, boltstore.ErrReplaced)
			}
			rows, _ := stored(t, s)
			require.Len(t, rows, 1, "reading goes on")
			now, err := os.ReadFile(away)
			require.NoError(t, err)
			require.True(t, bytes.Equal(was, now), "nothing is written")

			require.NoError(t, os.Rename(away, path))
			require.NoError(t, s.Commit(t.Context(), one("after")), "the file is back")
			rows, _ = stored(t, s)
			require.Len(t, rows, 2)
		})
	}
}

func TestDamage_aFileThatWasCutIsNotWritten(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a file that is open cannot be cut there")
	}
	path := newPath(t)
	s := openFast(t, path)
	fill(t, s, rand.New(rand.NewPCG(1, 1)), 1000)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	// The last bytes of a file are often free: bbolt would not notice.
	require.NoError(t, os.Truncate(path, int64(len(whole)-pageSize)))
	require.ErrorIs(t, s.Commit(t.Context(), one("lost")), boltstore.ErrReplaced)
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(whole[:len(whole)-pageSize], now), "nothing is written")
	require.NoError(t, s.Close())
}

// linked is a file, and a path that leads to it over a link to the file and one
// to its folder.
func linked(t *testing.T) (file, link string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"disk", "links"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	file, link = filepath.Join(dir, "disk", "laneswap.db"), filepath.Join(dir, "way", "linked.db")
	if err := os.Symlink("links", filepath.Join(dir, "way")); err != nil {
		t.Skip("no links here: ", err)
	}
	require.NoError(t, os.Symlink(filepath.Join("..", "disk", "laneswap.db"), link))
	return file, link
}

func TestOpen_overALinkMakesAndSetsAsideTheFileItself(t *testing.T) {
	t.Parallel()
	file, link := linked(t)
	s := open(t, link) // the link leads to a file that is not there yet
	require.Equal(t, link, s.Path())
	require.NoError(t, s.Commit(t.Context(), one("a")))
	require.NoError(t, s.Close())
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	clear(raw[:pageSize])
	require.NoError(t, os.WriteFile(file, raw, 0o600))

	var damage boltstore.Damage
	s, err = boltstore.Open(link, boltstore.WithOnDamage(func(d boltstore.Damage) { damage = d }))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Equal(t, link, damage.Path)
	require.Equal(t, []string{"laneswap.db", filepath.Base(damage.Aside)}, files(t, file))
	require.Equal(t, []string{"linked.db"}, files(t, link))
	leads, err := os.Readlink(link)
	require.NoError(t, err)
	require.Equal(t, filepath.Join("..", "disk", "laneswap.db"), leads)
}

func TestCompact_overALinkReplacesTheFileItself(t *testing.T) {
	t.Parallel()
	file, link := linked(t)
	s := open(t, link)
	was := fill(t, s, rand.New(rand.NewPCG(1, 1)), 300)
	require.NoError(t, s.Close())
	before, err := os.Stat(file)
	require.NoError(t, err)
	require.NoError(t, boltstore.Compact(link))
	after, err := os.Stat(file)
	require.NoError(t, err)
	require.False(t, os.SameFile(before, after))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink)
	report, err := boltstore.Check(link)
	require.NoError(t, err)
	require.Equal(t, link, report.Path)
	require.NoError(t, boltstore.Export(link, &bytes.Buffer{}))
	rows, _ := stored(t, open(t, link))
	require.Equal(t, was.now, rows)
}

func TestOpen_leavesAFileOfAnotherKindAlone(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"a SQLite database": "SQLite format 3\x00" + strings.Repeat("\x10\x00\x01\x01", 2000),
		"a text file":       strings.Repeat("# notes of mine, größer\r\n", 500) + "\x00",
		"a short text file": "\uFEFFnotes",
	} {
		path := newPath(t)
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		_, err := boltstore.Open(path)
		require.ErrorIs(t, err, boltstore.ErrForeign, name)
		require.ErrorContains(t, err, "the file belongs to another program; choose another path: it is a ")
		require.ErrorIs(t, boltstore.Compact(path), boltstore.ErrForeign, name)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, file, string(after))
		require.Equal(t, []string{"laneswap.db"}, files(t, path))
	}
}

// TestOpen_noticesThatABucketIsMissing: a flipped bit in the name of an empty bucket
// leaves a file without it, and sound in everything else.
func TestOpen_noticesThatABucketIsMissing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"seen", "open/event", "svc/event"} {
		path := newPath(t)
		s := open(t, path)
		require.NoError(t, s.Commit(t.Context(), one("a")))
		require.NoError(t, s.Close())
		db, err := bbolt.Open(path, 0o600, nil)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(name)) }))
		require.NoError(t, db.Close())
		var damage boltstore.Damage
		s, err = boltstore.Open(path, boltstore.WithOnDamage(func(d boltstore.Damage) { damage = d }))
		require.NoError(t, err)
		rows, _ := stored(t, s)
		require.Len(t, rows, 1, name)
		require.NoError(t, s.Close())
		require.NotEmpty(t, damage.Problems, name)
	}
}

// A backup that is copied over the file in use keeps the inode, and the size too:
// files grow by 16 MiB.
func TestStore_writesNothingIntoAnOlderFileThatWasCopiedOverIt(t *testing.T) {
	t.Parallel()
	for _, since := range []int{1, 2, 3, 13} {
		path := newPath(t)
		s, err := boltstore.Open(path)
		require.NoError(t, err)
		s.SkipSync()
		for n := range 50 {
			require.NoError(t, s.Commit(t.Context(), one(fmt.Sprint(n))))
		}
		backup, err := os.ReadFile(path)
		require.NoError(t, err)
		for n := range since {
			require.NoError(t, s.Commit(t.Context(), one(fmt.Sprint("later ", n))))
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteAt(backup, 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.ErrorIs(t, s.Commit(t.Context(), one("lost")), boltstore.ErrReplaced)
		require.NoError(t, s.Close())
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, backup, after, "%d commits since the backup", since)
	}
}
