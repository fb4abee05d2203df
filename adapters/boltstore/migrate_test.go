package boltstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap/adapters/boltstore"
)

// older copies testdata/layout1.db, which the first version has written, to where
// a test may change it. It holds the commits 1 to 60 of kill_test.go.
func older(t *testing.T) string {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "layout1.db"))
	require.NoError(t, err)
	path := newPath(t)
	require.NoError(t, os.WriteFile(path, file, 0o600))
	return path
}

func TestLayout_ofTheFirstVersionIsRead(t *testing.T) {
	t.Parallel()
	s := open(t, older(t))
	require.Equal(t, 60, complete(t, s, 60))
	require.NoError(t, s.Commit(t.Context(), numbered(61)))
	require.Equal(t, 61, complete(t, s, 61))
}

// TestMigration_bringsAnOlderFileOn opens a file of layout 1 as a version with
// layouts 2 and 3 would, whose steps are of this test.
func TestMigration_bringsAnOlderFileOn(t *testing.T) {
	t.Parallel()
	path := older(t)
	ran := 0
	second := func(tx *bbolt.Tx) error {
		ran++
		b, err := tx.CreateBucket([]byte("rare-things"))
		if err != nil {
			return err
		}
		return tx.Bucket([]byte("shut/event")).ForEach(func(k, _ []byte) error { return b.Put(k, []byte{1}) })
	}
	broken := errors.New("disk full")
	third := func(tx *bbolt.Tx) error {
		ran++
		if err := tx.DeleteBucket([]byte("rare-things")); err != nil {
			return err
		}
		return broken
	}
	_, _, err := boltstore.OpenWithSteps(path, 1, second, third)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "layout 2 to 3")
	require.Equal(t, 2, ran)
	version, err := boltstore.LayoutOf(path)
	require.NoError(t, err)
	require.Equal(t, 2, version, "the step that was done stays done, the other left nothing")

	broken = nil
	s, damage, err := boltstore.OpenWithSteps(path, 1, second, third)
	require.NoError(t, err)
	require.Nil(t, damage)
	require.Equal(t, 3, ran, "it goes on where it was")
	require.Equal(t, 60, complete(t, s, 60))
	require.NoError(t, s.Close())

	before, err := os.ReadFile(path)
	require.NoError(t, err)
	for verb, do := range map[string]func() error{
		"open":    func() error { _, err := boltstore.Open(path); return err },
		"check":   func() error { _, err := boltstore.Check(path); return err },
		"compact": func() error { return boltstore.Compact(path) },
	} {
		err = do()
		require.ErrorIs(t, err, boltstore.ErrNewerLayout)
		require.EqualError(t, err, "boltstore: "+verb+" "+path+": the file was written by a newer version of LaneSwap; update LaneSwap (the file has layout 3, this version reads up to 1)")
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Equal(t, []string{"laneswap.db"}, files(t, path))
}

func TestMigration_ofADamagedFile(t *testing.T) {
	t.Parallel()
	path := older(t)
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	clear(file[pageSize : 2*pageSize])
	require.NoError(t, os.WriteFile(path, file, 0o600))
	ran := 0
	s, damage, err := boltstore.OpenWithSteps(path, 1, func(*bbolt.Tx) error { ran++; return nil })
	require.NoError(t, err)
	require.NotNil(t, damage)
	require.Equal(t, 1, ran, "on the new file")
	rows, _ := stored(t, s)
	require.NotEmpty(t, rows)
	require.NoError(t, s.Close())
}

// TestLayout_fixture writes testdata/layout1.db anew. Only a version that still
// writes layout 1 may do so, and none has to.
func TestLayout_fixture(t *testing.T) {
	path := os.Getenv("BOLTSTORE_WRITE_FIXTURE")
	if path == "" {
		t.Skip("writes the fixture when it is told where")
	}
	s := open(t, path)
	for n := 1; n <= 60; n++ {
		require.NoError(t, s.Commit(t.Context(), numbered(n)))
	}
	require.NoError(t, s.Close())
	require.NoError(t, boltstore.Compact(path))
}
