package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
)

// harm is a way in which a file can be damaged.
type harm struct {
	name string
	do   func(random *rand.Rand, file []byte) []byte
}

const pageSize = 4096

// within is a random page of a file, whole.
func within(random *rand.Rand, file []byte, from int) []byte {
	id := from + random.IntN(max(len(file)/pageSize-from, 1))
	return file[min(id*pageSize, len(file)):min((id+1)*pageSize, len(file))]
}

func garble(random *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(random.Uint32())
	}
}

var harms = []harm{
	// Cut to nothing it is a file that was just made.
	{"cut anywhere", func(random *rand.Rand, file []byte) []byte { return file[:1+random.IntN(len(file)-1)] }},
	{"cut at a page", func(random *rand.Rand, file []byte) []byte {
		return file[:(1+random.IntN(len(file)/pageSize-1))*pageSize]
	}},
	{"one bit", func(random *rand.Rand, file []byte) []byte {
		file[random.IntN(len(file))] ^= 1 << random.IntN(8)
		return file
	}},
	{"one bit of a header", func(random *rand.Rand, file []byte) []byte {
		within(random, file, 0)[random.IntN(96)] ^= 1 << random.IntN(8)
		return file
	}},
	{"many bits", func(random *rand.Rand, file []byte) []byte {
		for range 1 + random.IntN(64) {
			file[random.IntN(len(file))] ^= 1 << random.IntN(8)
		}
		return file
	}},
	{"one page of garbage", func(random *rand.Rand, file []byte) []byte {
		garble(random, within(random, file, 0))
		return file
	}},
	{"some garbage", func(random *rand.Rand, file []byte) []byte {
		from := random.IntN(len(file))
		garble(random, file[from:min(from+1+random.IntN(20_000), len(file))])
		return file
	}},
	{"both meta pages", func(random *rand.Rand, file []byte) []byte {
		garble(random, file[:2*pageSize])
		return file
	}},
	{"one meta page", func(random *rand.Rand, file []byte) []byte {
		id := random.IntN(2)
		garble(random, file[id*pageSize:(id+1)*pageSize])
		return file
	}},
	{"a page of zeros", func(random *rand.Rand, file []byte) []byte {
		clear(within(random, file, 2))
		return file
	}},
	{"a page over another", func(random *rand.Rand, file []byte) []byte {
		copy(within(random, file, 2), within(random, file, 2))
		return file
	}},
	{"a page number turned", func(random *rand.Rand, file []byte) []byte {
		// The pages that branches and buckets lead to are little numbers.
		page := within(random, file, 2)
		for range 8 {
			page[random.IntN(len(page)/8)*8] ^= 1 << random.IntN(8)
		}
		return file
	}},
	{"shifted", func(random *rand.Rand, file []byte) []byte {
		at := random.IntN(len(file))
		return append(append(bytes.Clone(file[:at]), make([]byte, 1+random.IntN(5000))...), file[at:]...)
	}},
	{"longer", func(random *rand.Rand, file []byte) []byte {
		more := make([]byte, 1+random.IntN(20_000))
		garble(random, more)
		return append(file, more...)
	}},
	{"another kind of file", func(random *rand.Rand, _ []byte) []byte {
		return append([]byte("\x89PNG\r\n\x1a\n"), strings.Repeat("# notes of mine\n", 1+random.IntN(2000))...)
	}},
}

// TestOpen_ofADamagedFileGoesOn damages files in every way at random places. It
// must open; what it yields must have been there; and when it does not say that
// there was damage, then nothing may be missing.
func TestOpen_ofADamagedFileGoesOn(t *testing.T) {
	t.Parallel()
	rounds := 12
	if testing.Short() {
		rounds = 2
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, rows := range []int{0, 5, 300, 4000} {
		random := rand.New(rand.NewPCG(seed, uint64(rows)))
		path := newPath(t)
		s := open(t, path)
		was := fill(t, s, random, rows)
		require.NoError(t, s.Close())
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, harm := range harms {
			t.Run(fmt.Sprint(harm.name, " of ", rows), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(seed, uint64(rows)<<32|uint64(len(harm.name))))
				damaged, kept := 0, 0
				for range rounds {
					found, saved := openDamaged(t, harm.do(random, bytes.Clone(whole)), was)
					if found {
						damaged++
						kept += saved
					}
				}
				if damaged > 0 && len(was.now) > 0 {
					t.Logf("%d of %d were damage; kept %.1f %% of the rows", damaged, rounds, 100*float64(kept)/float64(damaged*len(was.now)))
				}
				if rows == 4000 && harm.name == "one page of garbage" && damaged > 0 {
					require.Greater(t, kept, damaged*len(was.now)*95/100, "one page holds a few rows")
				}
			})
		}
	}
}

// openDamaged opens a file, looks at what is in it, and works on with it.
func openDamaged(t *testing.T, file []byte, was *content) (found bool, saved int) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "laneswap.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	var damage *boltstore.Damage
	s, err := boltstore.Open(path, boltstore.WithOnDamage(func(d boltstore.Damage) { damage = &d }))
	require.NoError(t, err)
	rows, seen := stored(t, s)
	if damage == nil {
		require.Equal(t, was.now, rows, "no damage was told of")
		require.Equal(t, was.lastSeen(), seen)
	} else {
		require.NotEmpty(t, damage.Problems)
		require.Len(t, rows, damage.Rows)
		require.Len(t, seen, damage.Seen)
		require.Equal(t, []string{"laneswap.db", filepath.Base(damage.Aside)}, files(t, path))
		aside, err := os.ReadFile(damage.Aside)
		require.NoError(t, err)
		require.True(t, bytes.Equal(file, aside), "what is set aside is not touched")
		for key, row := range rows {
			if !damage.Stale {
				require.Equal(t, was.now[key], row, "of %v", damage)
			} else {
				require.Contains(t, was.ever[key], row)
			}
		}
		for service, at := range seen {
			require.Contains(t, was.seen[service], at)
		}
		require.Contains(t, damage.String(), damage.Aside)
	}
	more := laneswap.Row{Kind: "rare", ID: "more", Service: "s", At: noon, Data: []byte(`{}`)}
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{more}}))
	rows[laneswap.Key{Kind: more.Kind, ID: more.ID}] = more
	require.NoError(t, s.Close())
	s = open(t, path)
	again, _ := stored(t, s)
	require.Equal(t, rows, again)
	require.NoError(t, s.Close())
	require.NoError(t, os.RemoveAll(dir))
	return damage != nil, len(again) - 1
}

func TestOpen_takesOverTheCommitNumbers(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	row := laneswap.Row{Kind: laneswap.KindEvent, ID: "a", At: noon}
	for i := range 50 {
		row.Data = fmt.Append(nil, i)
		require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{row}}))
	}
	require.NoError(t, s.Close())
	// Twice, with a commit between: had the new file begun at one again, the older
	// version of the row would win the second time.
	for i := range 2 {
		file, err := os.ReadFile(path)
		require.NoError(t, err)
		clear(file[:2*pageSize])
		require.NoError(t, os.WriteFile(path, file, 0o600))
		found := 0
		s, err = boltstore.Open(path, boltstore.WithOnDamage(func(d boltstore.Damage) {
			require.True(t, d.Stale)
			found++
		}))
		require.NoError(t, err)
		require.Equal(t, 1, found)
		rows, _ := stored(t, s)
		require.Equal(t, string(row.Data), string(rows[laneswap.Key{Kind: row.Kind, ID: row.ID}].Data), "time %d", i)
		row.Data = fmt.Append(nil, "1", i)
		require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{row}}))
		require.NoError(t, s.Close())
	}
}

// TestStore_thatIsDamagedUnderItGoesOnRunning cuts the file of an open store: its
// memory ends in the middle, and bbolt reads what is not there.
func TestStore_thatIsDamagedUnderItGoesOnRunning(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, pageSize, 5 * pageSize, 40 * pageSize} {
		path := newPath(t)
		s, err := boltstore.Open(path)
		require.NoError(t, err)
		fill(t, s, rand.New(rand.NewPCG(1, 1)), 3000)
		require.NoError(t, os.Truncate(path, size))
		failed := 0
		for _, kind := range kinds {
			for _, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: kind}) {
				if err != nil {
					require.ErrorIs(t, err, boltstore.ErrDamaged)
					failed++
				}
			}
			err := s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{{Kind: kind, ID: "new"}}})
			if !errors.Is(err, boltstore.ErrReplaced) {
				// A reader has met the end of the file before.
				require.ErrorIs(t, err, boltstore.ErrDamaged)
			}
			failed++
		}
		require.NotZero(t, failed)
		require.NoError(t, s.Close())

		// The next start has a file again.
		again, err := boltstore.Open(path)
		require.NoError(t, err)
		require.NoError(t, again.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{{Kind: "rare", ID: "new"}}}))
		require.NoError(t, again.Close())
	}
}

func TestOpen_leavesTheDatabaseOfAnotherProgramAlone(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"meta", "users"} {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			if err := b.Put([]byte("a"), []byte("b")); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, db.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = boltstore.Open(path)
	require.ErrorIs(t, err, boltstore.ErrForeign)
	require.ErrorContains(t, err, path)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Equal(t, []string{"laneswap.db"}, files(t, path))
}

func TestOpen_leavesTheEmptyDatabaseOfAnotherProgramAlone(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("users"))
		return err
	}))
	require.NoError(t, db.Close())
	_, err = boltstore.Open(path)
	require.ErrorIs(t, err, boltstore.ErrForeign)
	require.Equal(t, []string{"laneswap.db"}, files(t, path))
}

// FuzzInspect gives the part of Open that must stand everything files that were
// made to break it. Pages are small, so that there are many of them.
func FuzzInspect(f *testing.F) {
	path := newPath(f)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 1024})
	require.NoError(f, err)
	require.NoError(f, db.Close())
	s := open(f, path)
	for n := 1; n < 30; n++ {
		b := numbered(n)
		b.Insert[0].Data = fmt.Append(nil, n)
		require.NoError(f, s.Commit(f.Context(), b))
	}
	require.NoError(f, s.Close())
	require.NoError(f, boltstore.Compact(path))
	file, err := os.ReadFile(path)
	require.NoError(f, err)
	report, err := boltstore.Check(path)
	require.NoError(f, err)
	file = file[:report.Pages*1024]
	f.Add(file)
	f.Add(file[1024:])
	f.Add(file[:100])
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, problems := boltstore.Inspect(file)
		if rows > len(file)/16 {
			t.Fatalf("%d rows in %d bytes", rows, len(file))
		}
		if len(problems) > 100 {
			t.Fatalf("%d problems", len(problems))
		}
	})
}
