package boltstore_test

import (
	"bytes"
	"errors"
	"flag"
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

// rounds is how much more random tests do than they do by default.
var rounds = flag.Int("rounds", 1, "how many times as much the tests of damage and of kills do")

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

// TestOpen_replacesADamagedFile damages files in every way at random places. Open
// must succeed; the rows that the store yields must have been committed; and when
// Open reports no damage, none may be missing.
func TestOpen_replacesADamagedFile(t *testing.T) {
	t.Parallel()
	sizes, tries := []int{0, 5, 300, 1500}, 3**rounds
	if testing.Short() {
		sizes, tries = []int{0, 5, 200}, 1
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, rows := range sizes {
		random := rand.New(rand.NewPCG(seed, uint64(rows)))
		path := newPath(t)
		s := openFast(t, path)
		was := fill(t, s, random, rows)
		require.NoError(t, s.Close())
		require.NoError(t, boltstore.Compact(path)) // most pages are in use
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, harm := range harms {
			t.Run(fmt.Sprint(harm.name, " of ", rows), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(seed, uint64(rows)<<32|uint64(len(harm.name))))
				for range tries {
					openDamaged(t, harm.do(random, bytes.Clone(whole)), was)
				}
			})
		}
	}
}

// openDamaged opens a file, compares its rows with those that were committed, and
// goes on with the store. It returns the damage, nil when there was none, and the
// number of rows that were kept.
func openDamaged(t *testing.T, file []byte, was *content) (damage *boltstore.Damage, kept int) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "laneswap.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	s, err := boltstore.Open(path, boltstore.WithOnDamage(func(d boltstore.Damage) { damage = &d }))
	require.NoError(t, err)
	rows, seen := stored(t, s)
	if damage == nil {
		require.Equal(t, was.now, rows, "no damage was reported")
		require.Equal(t, was.lastSeen(), seen)
	} else {
		require.NotEmpty(t, damage.Problems)
		require.Len(t, rows, damage.Rows)
		require.Len(t, seen, damage.Seen)
		require.Equal(t, []string{"laneswap.db", filepath.Base(damage.Aside)}, files(t, path))
		aside, err := os.ReadFile(damage.Aside)
		require.NoError(t, err)
		require.True(t, bytes.Equal(file, aside), "the damaged file is kept as it was")
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
	kept = len(rows)
	rows[laneswap.Key{Kind: more.Kind, ID: more.ID}] = more
	require.NoError(t, s.Close())
	s = open(t, path)
	again, _ := stored(t, s)
	require.Equal(t, rows, again)
	require.NoError(t, s.Close())
	require.NoError(t, os.RemoveAll(dir))
	return damage, kept
}

// TestOpen_keepsTheRowsOfSoundPages destroys each page of a file in turn.
func TestOpen_keepsTheRowsOfSoundPages(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openFast(t, path)
	was := fill(t, s, rand.New(rand.NewPCG(9, 9)), 150)
	require.NoError(t, s.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	report, err := boltstore.Check(path)
	require.NoError(t, err)
	lost := map[int]int{} // rows by page
	damaged := 0
	for page := range report.Pages {
		file := bytes.Clone(whole)
		clear(file[page*pageSize : (page+1)*pageSize])
		damage, kept := openDamaged(t, file, was)
		if damage != nil {
			damaged++
			if n := len(was.now) - kept; n > pageSize/64 {
				lost[page] = n
			}
		}
	}
	t.Logf("%d of %d pages are in use, lost more than a page of rows: %v", damaged, report.Pages, lost)
	require.GreaterOrEqual(t, damaged, report.Pages-report.FreePages)
	// A page within a tree leads to others. The tree before the last commit still
	// has most of them.
	require.LessOrEqual(t, len(lost), damaged/20)
	for page, n := range lost {
		require.Less(t, n, len(was.now), "page %d", page)
	}
}

// Both meta pages of a file that was compacted lead to all of it.
func TestCompact_survivesALostMetaPage(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	was := fill(t, s, rand.New(rand.NewPCG(9, 9)), 50)
	require.NoError(t, s.Close())
	require.NoError(t, boltstore.Compact(path))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for page := range 2 {
		file := bytes.Clone(whole)
		clear(file[page*pageSize : (page+1)*pageSize])
		damage, kept := openDamaged(t, file, was)
		require.NotNil(t, damage)
		require.Equal(t, len(was.now), kept)
	}
}

func TestOpen_goesOnWithTheCommitNumbers(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openFast(t, path)
	row := laneswap.Row{Kind: laneswap.KindEvent, ID: "a", At: noon}
	for i := range 50 {
		row.Data = fmt.Append(nil, i)
		other := laneswap.Row{Kind: "rare", ID: "b", At: noon, Data: []byte("harm me")}
		require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{row, other}}))
	}
	require.NoError(t, s.Close())
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(file, []byte("harm me"), []byte("HARM me")), 0o600))
	found := 0
	s, err = boltstore.Open(path, boltstore.WithOnDamage(func(d boltstore.Damage) {
		require.False(t, d.Stale)
		require.Equal(t, 1, d.Rows)
		found++
	}))
	require.NoError(t, err)
	require.Equal(t, 1, found)
	rows, _ := stored(t, s)
	require.Equal(t, map[laneswap.Key]laneswap.Row{{Kind: row.Kind, ID: row.ID}: row}, rows)
	require.NoError(t, s.Close())
	// Of two versions of a row the one with the higher number is right.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, db.View(func(tx *bbolt.Tx) error {
		require.EqualValues(t, 50, tx.Bucket([]byte("meta")).Sequence())
		return nil
	}))
	require.NoError(t, db.Close())
}

func TestOpen_readsTheStateBeforeTheLastCommit(t *testing.T) {
	t.Parallel()
	for newest := range 2 { // which of the two meta pages the last commit wrote
		path := newPath(t)
		s := open(t, path)
		for n := range 4 + newest {
			require.NoError(t, s.Commit(t.Context(), one(fmt.Sprint(n))))
		}
		require.NoError(t, s.Close())
		file, err := os.ReadFile(path)
		require.NoError(t, err)
		clear(file[:pageSize])
		require.NoError(t, os.WriteFile(path, file, 0o600))
		var damage *boltstore.Damage
		s, err = boltstore.Open(path, boltstore.WithOnDamage(func(d boltstore.Damage) { damage = &d }))
		require.NoError(t, err)
		require.NotNil(t, damage)
		require.True(t, damage.Stale)
		require.GreaterOrEqual(t, damage.Rows, 3+newest)
		require.NoError(t, s.Close())
	}
}

// TestOpen_neverStartsEmptyInSilence destroys both meta pages: nothing can be read.
func TestOpen_neverStartsEmptyInSilence(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	was := fill(t, s, rand.New(rand.NewPCG(2, 2)), 50)
	require.NoError(t, s.Close())
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	clear(file[:2*pageSize])
	damage, kept := openDamaged(t, file, was)
	require.NotNil(t, damage)
	require.Zero(t, kept)
	require.Contains(t, damage.String(), "Nothing of it could be read; a new file was begun.")
}

// TestStore_survivesItsFileBeingCut cuts the file of an open store: bbolt then reads
// memory behind the end of the file.
func TestStore_survivesItsFileBeingCut(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, pageSize, 5 * pageSize, 40 * pageSize} {
		path := newPath(t)
		s, err := boltstore.Open(path)
		require.NoError(t, err)
		s.SkipSync()
		fill(t, s, rand.New(rand.NewPCG(1, 1)), 1000)
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
				// A read has failed before.
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

func TestOpen_refusesADatabaseOfAnotherProgram(t *testing.T) {
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

func TestOpen_refusesAnEmptyDatabaseOfAnotherProgram(t *testing.T) {
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

// FuzzInspect inspects files that were made to break it. Pages are small, so that
// there are many of them.
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
