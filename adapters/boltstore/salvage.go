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

// Damage says what became of a damaged file.
type Damage struct {
	// Path is the file that was opened, which is a new one now.
	Path string
	// Aside is where the damaged file is; it is not touched again.
	Aside string
	// Problems is what was wrong, the first twenty things.
	Problems []string
	// Rows and Seen count what was taken over.
	Rows, Seen int
	// Stale says that rows may be among them that had been deleted, or in a state
	// that was no longer theirs: it could not be told any more which pages counted.
	Stale bool
	// At is when it was found.
	At time.Time
}

// String says it in a sentence.
func (d Damage) String() string {
	s := fmt.Sprintf("%s was damaged (%s); it is kept as %s, %d rows were taken over", d.Path, strings.Join(d.Problems[:min(len(d.Problems), 3)], ", "), d.Aside, d.Rows)
	if d.Stale {
		s += ", some of them perhaps outdated"
	}
	return s
}

// salvageStep is how many rows one transaction takes over.
const salvageStep = 2000

// replace puts a new file with what can be read of a damaged one in its place,
// and sets that one aside. f is the damaged one, and locked all along.
func replace(f *os.File, path string, found *finding, steps []step) (*Damage, error) {
	damage := &Damage{Path: path, Problems: found.problems(), At: time.Now().UTC().Truncate(time.Millisecond)}
	fresh, err := temporary(path, "salvaged")
	if err != nil {
		return nil, fmt.Errorf("%w (%s), and no new one can be made beside it: %w", ErrDamaged, damage.Problems[0], err)
	}
	err = guard(func() error { return salvage(f, fresh, damage, steps) })
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

// salvage writes into the file at fresh what can be read of f.
func salvage(f *os.File, fresh string, damage *Damage, steps []step) error {
	db, err := bbolt.Open(fresh, fileMode, &bbolt.Options{Timeout: lockWait, NoSync: true, NoStatistics: true})
	if err != nil {
		return err
	}
	to := &salvager{db: db}
	err = to.from(f, damage, steps)
	if err == nil {
		err = db.Sync()
	}
	return errors.Join(err, db.Close())
}

// salvager gathers rows and writes them by the thousand.
type salvager struct {
	db    *bbolt.DB
	rows  []record
	seen  []laneswap.Seen
	err   error // the first; nothing is written after it
	count *Damage
}

func (s *salvager) from(f *os.File, damage *Damage, steps []step) error {
	if err := migrate(s.db, steps); err != nil {
		return err
	}
	s.count = damage
	info, err := f.Stat()
	if err != nil {
		return err
	}
	found := newFinding(f, info.Size(), len(steps), &sink{
		row: func(r record) {
			r.Row = r.owned()
			s.rows = append(s.rows, r)
			s.flush(salvageStep)
		},
		seen: func(seen laneswap.Seen) {
			s.seen = append(s.seen, seen)
			s.flush(salvageStep)
		},
	})
	found.run()
	complete := found.rest()
	// With one of the two meta pages gone, the last commit may have been its.
	damage.Stale = !complete || found.oneMeta
	s.flush(0)
	if s.err != nil {
		return s.err
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketSeen)).ForEach(func(k, v []byte) error {
			pack, err := decodePack(k, v)
			damage.Seen += len(pack)
			return err
		})
	})
}

// flush writes what was gathered when it is more than some.
func (s *salvager) flush(some int) {
	if s.err != nil || len(s.rows)+len(s.seen) <= some {
		return
	}
	s.err = s.db.Update(func(tx *bbolt.Tx) error {
		w := &writer{tx: tx, kinds: map[laneswap.Kind]*trees{}}
		meta := tx.Bucket([]byte(bucketMeta))
		for i := range s.rows {
			r := &s.rows[i]
			// A checksum is no proof against a program that writes what it must not.
			if validate(laneswap.Batch{Put: []laneswap.Row{r.Row}}) != nil {
				continue
			}
			t, err := w.trees(r.Kind)
			if err != nil {
				return err
			}
			old, err := t.stored(r.ID)
			if err != nil {
				return err
			}
			if old == nil {
				s.count.Rows++
			} else if old.seq >= r.seq {
				continue
			}
			if err := t.put(r, old); err != nil {
				return err
			}
			if r.seq > meta.Sequence() {
				if err := meta.SetSequence(r.seq); err != nil {
					return err
				}
			}
		}
		return note(tx, s.seen, nil)
	})
	s.rows, s.seen = s.rows[:0], s.seen[:0]
}

// swap gives a damaged file another name and puts a fresh one in its place. In
// between there is always one of the two under the path, where the system can do
// that: another process that is just starting must not find nothing there, and
// make a file of its own that is then written over.
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
		if _, gone := os.Stat(path); gone != nil {
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
