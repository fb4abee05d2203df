package boltstore_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
)

func TestCompact_givesBackWhatIsFree(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openFast(t, path)
	was := fill(t, s, rand.New(rand.NewPCG(3, 3)), 3000)
	for _, kind := range kinds {
		_, err := s.Prune(t.Context(), kind, noon.Add(9e5*time.Second), 1<<30)
		require.NoError(t, err)
	}
	rows, seen := stored(t, s)
	require.NotEmpty(t, rows)
	require.Less(t, len(rows), len(was.now)/2)
	require.NoError(t, s.Close())
	before, err := boltstore.Check(path)
	require.NoError(t, err)

	require.NoError(t, boltstore.Compact(path))
	after, err := boltstore.Check(path)
	require.NoError(t, err)
	require.Empty(t, after.Problems)
	require.Less(t, after.Size, before.Size/2)
	require.Less(t, after.FreePages, 10)
	require.Equal(t, before.Rows, after.Rows)
	require.Equal(t, []string{"laneswap.db"}, files(t, path))
	t.Logf("%d to %d bytes", before.Size, after.Size)

	s = open(t, path)
	rowsNow, seenNow := stored(t, s)
	require.Equal(t, rows, rowsNow)
	require.Equal(t, seen, seenNow)
	fill(t, s, rand.New(rand.NewPCG(4, 4)), 500) // and it is a store like any other
}

func TestCompact_leavesADamagedFileToOpen(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	fill(t, s, rand.New(rand.NewPCG(3, 3)), 100)
	require.NoError(t, s.Close())
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	clear(file[:pageSize])
	require.NoError(t, os.WriteFile(path, file, 0o600))
	err = boltstore.Compact(path)
	require.ErrorIs(t, err, boltstore.ErrDamaged)
	require.ErrorContains(t, err, path)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, file, after)
	require.Equal(t, []string{"laneswap.db"}, files(t, path))
}

func TestCheck_countsWhatIsThere(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	was := fill(t, s, rand.New(rand.NewPCG(5, 5)), 1000)
	require.NoError(t, s.Close())
	rows, open := map[laneswap.Kind]int{}, map[laneswap.Kind]int{}
	for key, row := range was.now {
		rows[key.Kind]++
		open[key.Kind] += map[bool]int{true: 1}[row.Open]
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	report, err := boltstore.Check(path)
	require.NoError(t, err)
	for kind, n := range rows {
		require.Equal(t, n, report.Rows[kind], kind)
		require.Equal(t, open[kind], report.Open[kind], kind)
	}
	require.Equal(t, info.Size(), report.Size)
	require.Equal(t, 1, report.Layout)
	require.Equal(t, len(was.seen), report.Seen)
	require.Positive(t, report.FreePages)
	require.Greater(t, report.Pages, report.FreePages)
	require.Empty(t, report.Problems)

	file, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, file[:len(file)/2], 0o600))
	report, err = boltstore.Check(path)
	require.NoError(t, err, "damage is what it is asked for")
	require.NotEmpty(t, report.Problems)
	require.Equal(t, []string{"laneswap.db"}, files(t, path))
}

func TestExport_writesARowALine(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	was := fill(t, s, rand.New(rand.NewPCG(6, 6)), 500)
	raw := laneswap.Row{Kind: "rare", ID: "no JSON", At: time.Date(1969, 1, 2, 3, 4, 5, 6e6, time.UTC), Data: []byte{0xff, 0}}
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 3, Put: []laneswap.Row{raw}}))
	was.now[laneswap.Key{Kind: raw.Kind, ID: raw.ID}] = raw
	require.NoError(t, s.Close())

	read := func(r io.Reader) (rows map[laneswap.Key]laneswap.Row, seen map[string]time.Time) {
		rows, seen = map[laneswap.Key]laneswap.Row{}, map[string]time.Time{}
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var line struct {
				Kind        laneswap.Kind
				ID, Service string
				At          time.Time
				Open        bool
				Epoch       uint64
				Data        json.RawMessage
				Raw         []byte
			}
			require.NoError(t, json.Unmarshal(lines.Bytes(), &line))
			if line.Kind == laneswap.KindSeen {
				seen[line.ID] = line.At
				continue
			}
			row := laneswap.Row{Kind: line.Kind, ID: line.ID, Service: line.Service, At: line.At, Open: line.Open, Data: line.Data}
			if line.ID == raw.ID {
				require.Equal(t, uint64(3), line.Epoch)
				row.Data = line.Raw
			}
			rows[laneswap.Key{Kind: row.Kind, ID: row.ID}] = row
		}
		return rows, seen
	}
	var out bytes.Buffer
	require.NoError(t, boltstore.Export(path, &out))
	rows, seen := read(&out)
	require.Equal(t, was.now, rows)
	require.Equal(t, was.lastSeen(), seen)

	full := writerFunc(func([]byte) (int, error) { return 0, io.ErrShortWrite })
	require.ErrorIs(t, boltstore.Export(path, full), io.ErrShortWrite)

	file, err := os.ReadFile(path)
	require.NoError(t, err)
	clear(file[:pageSize])
	require.NoError(t, os.WriteFile(path, file, 0o600))
	out.Reset()
	require.ErrorIs(t, boltstore.Export(path, &out), boltstore.ErrDamaged)
	rows, _ = read(&out)
	require.NotEmpty(t, rows, "the rows that can be read are written")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestCheck_agreesWithBboltOnSoundFiles writes a file with small pages and more than
// 65,535 free ones, which bbolt lists in another form. It must not be set aside.
func TestCheck_agreesWithBboltOnSoundFiles(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 1024})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	s := openFast(t, path)
	const rows = 200
	for i := range rows {
		size := 900
		if i < rows/2 {
			size = 700_000 // some hundred pages
		}
		row := laneswap.Row{Kind: laneswap.KindEvent, ID: fmt.Sprint(i), Service: "s", At: noon.Add(time.Duration(i) * time.Second), Data: make([]byte, size)}
		require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{row}}))
	}
	n, err := s.Prune(t.Context(), laneswap.KindEvent, noon.Add(1e9*time.Second), rows/2)
	require.NoError(t, err)
	require.Equal(t, rows/2, n)
	require.NoError(t, s.Close())
	report, err := boltstore.Check(path)
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	require.Greater(t, report.FreePages, 65_535)

	db, err = bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			require.NoError(t, err)
		}
		return nil
	}))
	require.NoError(t, db.Close())
	require.NoError(t, boltstore.Compact(path))
	left, _ := stored(t, open(t, path))
	require.Len(t, left, rows/2)
}

func TestSeen_isPacked(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := openFast(t, path)
	var b laneswap.Batch
	b.Epoch = 1
	for i := range 100_000 {
		b.Seen = append(b.Seen, laneswap.Seen{Service: fmt.Sprint("service-", i), At: noon.Add(time.Duration(i) * time.Second)})
	}
	for range 3 {
		require.NoError(t, s.Commit(t.Context(), b))
		for i := range b.Seen {
			b.Seen[i].At = b.Seen[i].At.Add(time.Minute)
		}
	}
	require.NoError(t, s.Close())
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, db.View(func(tx *bbolt.Tx) error {
		stats := tx.Bucket([]byte("seen")).Stats()
		require.LessOrEqual(t, stats.KeyN, 1000)
		require.GreaterOrEqual(t, stats.KeyN, 500)
		t.Logf("%d packs in %d bytes", stats.KeyN, stats.LeafInuse)
		return nil
	}))
	require.NoError(t, db.Close())
}

// Who compacts as root must not close the file to the server.
func TestCompact_keepsTheOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root gives files to others")
	}
	path := newPath(t)
	require.NoError(t, open(t, path).Close())
	require.NoError(t, os.Chown(path, 12345, 12346))
	require.NoError(t, boltstore.Compact(path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Contains(t, fmt.Sprintf("%+v", info.Sys()), "Uid:12345 Gid:12346")
}
