package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
)

// Damage describes a damaged file that Open has replaced by a new one.
type Damage struct {
	// Path is the file that was opened, which is a new one now.
	Path string
	// Aside is the path of the damaged file. LaneSwap does not touch it again.
	Aside string
	// Problems lists what was wrong, at most 40 entries.
	Problems []string
	// Rows and Seen count the rows and last-seen times in the new file.
	Rows, Seen int
	// Stale reports that the new file may lack the last commit, in part or as a whole.
	Stale bool
	// At is the time of the discovery.
	At time.Time
}

// String describes the damage in sentences: which file, what was kept, what to do.
func (d Damage) String() string {
	kept := "Nothing of it could be read; a new file was begun"
	if d.Rows+d.Seen > 0 {
		kept = fmt.Sprintf("A new file holds the %d rows that could be read", d.Rows)
	}
	if d.Stale {
		kept += ", perhaps without the last commit"
	}
	return fmt.Sprintf("The data file %s was damaged (%s). %s. The damaged file was kept as %s: check the disk, and delete that file once you do not need it.",
		d.Path, strings.Join(d.Problems[:min(len(d.Problems), 3)], ", "), kept, d.Aside)
}

// replace puts a new file with the rows that could be read in place of a damaged
// one, and sets the damaged one aside. f is the damaged file, locked all along.
func replace(f *os.File, path string, in *inspection, steps []step) (*Damage, error) {
	damage := &Damage{Path: path, Problems: in.problems(), At: time.Now().UTC().Truncate(time.Millisecond)}
	fresh, err := temporary(path, "replacement")
	if err != nil {
		return nil, fmt.Errorf("%w (%s), and a new file cannot be created beside it: %w", ErrDamaged, damage.Problems[0], err)
	}
	err = guard(func() error { return takeOver(f, fresh, damage, steps) })
	if info, statErr := f.Stat(); statErr == nil {
		keepOwner(fresh, info)
	}
	if err == nil {
		damage.Aside, err = swap(f, fresh, path, damage.At)
	}
	if err != nil {
		_ = os.Remove(fresh)
		return nil, fmt.Errorf("%w (%s), and cannot be replaced: %w", ErrDamaged, damage.Problems[0], err)
	}
	return damage, nil
}

// temporary makes an empty file beside another, with mode 0600.
func temporary(path, what string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"."+what+"-*")
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// takeOver writes the sound rows of f into the file at fresh.
func takeOver(f *os.File, fresh string, damage *Damage, steps []step) error {
	db, err := bbolt.Open(fresh, fileMode, &bbolt.Options{Timeout: lockWait, NoSync: true, NoStatistics: true})
	if err != nil {
		return err
	}
	c := &copier{db: db}
	err = c.copy(f, damage, steps)
	return errors.Join(err, finish(db, err == nil))
}

// copyStep is how many rows the copier writes in one transaction.
const copyStep = 2000

// copier writes rows into a new file, many in one transaction.
type copier struct {
	db   *bbolt.DB
	rows []record
	seen []laneswap.Seen
	n    int   // rows in the new file
	err  error // the first; nothing is written after it
}

func (c *copier) copy(f *os.File, damage *Damage, steps []step) error {
	if err := migrate(c.db, steps); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	to := &sink{
		row: func(r record) {
			r.Row = r.owned()
			c.rows = append(c.rows, r)
			c.flush(copyStep)
		},
		seen: func(seen laneswap.Seen) {
			c.seen = append(c.seen, seen)
			c.flush(copyStep)
		},
	}
	in := inspectAll(f, info.Size(), len(steps), to)
	damage.Stale = in.oneMeta
	if in.lost && in.before != nil {
		// A commit writes each page that it changes to another place, so the state
		// before it may still lead to rows that are lost now.
		c.flush(0)
		inspectFrom(*in.before, f, info.Size(), len(steps), to)
		damage.Stale = true
	}
	c.flush(0)
	if c.err != nil {
		return c.err
	}
	damage.Rows = c.n
	return c.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketSeen)).ForEach(func(k, v []byte) error {
			pack, err := decodePack(k, v)
			damage.Seen += len(pack)
			return err
		})
	})
}

// flush writes what was gathered when it is more than limit.
func (c *copier) flush(limit int) {
	if c.err != nil || len(c.rows)+len(c.seen) <= limit {
		return
	}
	c.err = c.db.Update(func(tx *bbolt.Tx) error {
		w := &writer{tx: tx, kinds: map[laneswap.Kind]*trees{}}
		for i := range c.rows {
			if err := c.put(w, &c.rows[i]); err != nil {
				return err
			}
		}
		return note(tx, c.seen, nil)
	})
	c.rows, c.seen = c.rows[:0], c.seen[:0]
}

// put writes a row, unless a later version of it was written already.
func (c *copier) put(w *writer, r *record) error {
	t, err := w.trees(r.Kind)
	if err != nil {
		return err
	}
	old, err := t.stored(r.ID)
	switch {
	case err != nil:
		return err
	case old == nil:
		c.n++
	case old.seq >= r.seq:
		return nil
	}
	// The commits of the new file go on with higher numbers.
	if meta := w.tx.Bucket([]byte(bucketMeta)); r.seq > meta.Sequence() {
		if err := meta.SetSequence(r.seq); err != nil {
			return err
		}
	}
	return t.put(r, old)
}

// swap gives a damaged file another name and puts a fresh one in its place. There
// is always one of the two under the path, where the system can do that: another
// process that is just starting must not find the path free, and make a file that
// is then written over.
func swap(damaged *os.File, fresh, path string, at time.Time) (aside string, err error) {
	aside = path + ".damaged-" + at.Format("20060102T150405.000Z")
	for i := 2; exists(aside); i++ {
		aside = fmt.Sprintf("%s.damaged-%s-%d", path, at.Format("20060102T150405.000Z"), i)
	}
	if runtime.GOOS == "windows" || os.Link(path, aside) != nil {
		if err := os.Rename(path, aside); err != nil {
			return "", err
		}
	}
	if err := os.Rename(fresh, path); err != nil {
		if !exists(path) {
			_ = os.Rename(aside, path)
		} else {
			_ = os.Remove(aside)
		}
		return "", err
	}
	_ = damaged.Sync()
	return aside, syncFolder(path)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
