// Package boltstore keeps the rows of a Manager in one file, by go.etcd.io/bbolt.
//
// Each commit is one transaction, and durable when it returns. One process at a
// time has the file. A file that is damaged is set aside and what can be read of
// it is taken over, at Open: a store that watches others must come up.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
)

var _ laneswap.Storage = (*Store)(nil)

// The errors. Those of Open, Check, Compact and Export name the path.
var (
	// ErrInUse is returned when another process has the file.
	ErrInUse = errors.New("another process uses it")
	// ErrForeign is returned when a file is a sound bbolt database of something
	// else, a database of SQLite, or text. It is left as it is.
	ErrForeign = errors.New("of another program")
	// ErrDamaged is returned when something is read that cannot be what was
	// written. Open takes over what it can at the next start.
	ErrDamaged = errors.New("the file is damaged")
	// ErrReplaced is returned by Commit and Prune when the file that is open is not
	// the one under the path any more, or is shorter than it was: what is written
	// then would be lost. Nothing is, until the file is back. Reading goes on.
	ErrReplaced = errors.New("the file was deleted, replaced or cut while it was in use")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("boltstore: closed")
	// ErrInvalidRow is returned when a row, a key or a batch is none that the
	// contract allows.
	ErrInvalidRow = errors.New("boltstore: invalid row")
)

const (
	fileMode = 0o600
	// lockWait is how long Open waits for a file that another process has: long
	// enough for one that is just ending.
	lockWait = time.Second
	// closeWait bounds Close when a write hangs in the system.
	closeWait = 5 * time.Second
)

// Option changes how a store is opened.
type Option func(*options)

type options struct {
	onDamage func(Damage)
}

// WithOnDamage has fn called by Open, before it returns, when the file was
// damaged and has been replaced by what could be read of it.
func WithOnDamage(fn func(Damage)) Option {
	return func(o *options) { o.onDamage = fn }
}

// Store is a laneswap.Storage in a file. It is safe for concurrent use.
type Store struct {
	path string      // as it was given
	real string      // without symbolic links
	file *os.File    // the one that db has
	info os.FileInfo // of file
	db   *bbolt.DB
	// writing holds one token while a transaction writes. bbolt has a lock of its
	// own, but nobody can leave that one when their context ends.
	writing chan struct{}
	size    int64 // of the file, the most it ever was; whoever has the token has it
	txid    int   // of the latest transaction that wrote; whoever has the token has it

	mu     sync.Mutex // guards what is below
	closed bool
	broken error          // what a transaction has died of
	active sync.WaitGroup // transactions; nothing is added once closed is set
}

// Open opens the store in a file, which is made with mode 0600 when it is not
// there; the mode of one that is there stays, and an empty one is as good as none.
// Its folder has to be there. Open reads the whole file once to
// see that it is sound. When another process has it, Open waits for a second and
// returns ErrInUse. Where the path is a symbolic link, all this is about the file
// that it leads to.
func Open(path string, opts ...Option) (*Store, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	var s *Store
	var damage *Damage
	if err := resolved("open", path, func(real string) (err error) {
		s, damage, err = open(real, steps)
		return err
	}); err != nil {
		return nil, err
	}
	s.path = path
	if damage != nil && o.onDamage != nil {
		damage.Path = path
		o.onDamage(*damage)
	}
	return s, nil
}

// open opens a file, and once more when it was damaged and has been replaced.
func open(path string, steps []step) (*Store, *Damage, error) {
	var damage *Damage
	for {
		f, err := lockFile(path, false)
		if err != nil {
			return nil, damage, err
		}
		var found *finding
		err = guard(func() (err error) {
			found, err = inspect(f, len(steps), nil)
			return err
		})
		if err == nil && len(found.problems()) == 0 {
			var db *bbolt.DB
			if db, err = openBolt(f); err == nil {
				var info os.FileInfo
				if err = prepare(db, path, steps); err == nil {
					info, err = f.Stat()
				}
				if err != nil {
					_ = db.Close()
					return nil, damage, err
				}
				return &Store{path: path, real: path, file: f, info: info, size: info.Size(), db: db, writing: make(chan struct{}, 1)}, damage, nil
			}
			if !errors.Is(err, ErrDamaged) {
				_ = f.Close()
				return nil, damage, err
			}
			found.note(&found.structure, "%v", err)
			err = nil
		}
		if err == nil && damage != nil {
			err = fmt.Errorf("%w: what was taken over is not sound either: %s", ErrDamaged, found.problems()[0])
		}
		if err == nil {
			damage, err = replace(f, path, found, steps)
		}
		_ = releaseFile(f)
		if err != nil {
			return nil, damage, err
		}
	}
}

// prepare brings a database that was opened to the layout, and makes sure that
// the name of a new file is as durable as what will be in it.
func prepare(db *bbolt.DB, path string, steps []step) error {
	return guard(func() error {
		if err := migrate(db, steps); err != nil {
			return err
		}
		return syncFolder(path)
	})
}

// openBolt opens the database in a file that is locked already. It closes the
// file when it fails.
func openBolt(f *os.File) (db *bbolt.DB, err error) {
	err = guard(func() error {
		db, err = bbolt.Open(f.Name(), fileMode, &bbolt.Options{
			Timeout:      lockWait,
			FreelistType: bbolt.FreelistMapType,
			NoStatistics: true,
			OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return f, nil },
		})
		return err
	})
	return db, err
}

func failed(verb, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("boltstore: %s %s: %w", verb, path, err)
}

// Path returns the path that the store was opened with.
func (s *Store) Path() string { return s.path }

// Close waits for what is being written, for five seconds at most, and closes the
// file. Further calls do nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()

	done := make(chan error, 1)
	// It ends with the process when the system never gives the write back.
	go func() {
		s.active.Wait()
		if s.failure() != nil {
			// bbolt may have died with its locks held, and would wait for itself.
			done <- releaseFile(s.file)
			return
		}
		done <- guard(s.db.Close)
	}()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case err := <-done:
		return failed("close", s.path, err)
	case <-timer.C:
		return failed("close", s.path, errors.New("a write hangs, the file stays locked until the process ends"))
	}
}

// failure is what a transaction has died of, nil as long as none has.
func (s *Store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// begin counts a transaction, or says why there is none any more.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.broken != nil {
		return s.broken
	}
	s.active.Add(1)
	return nil
}

// transact runs fn in a transaction and commits it when it writes. It returns
// early when ctx ends: the transaction goes on by itself then, so fn must touch
// nothing that its caller still uses.
func (s *Store) transact(ctx context.Context, write bool, fn func(tx *bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if write {
		select {
		case s.writing <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	free := func() {
		if write {
			<-s.writing
		}
	}
	if err := s.begin(); err != nil {
		free()
		return err
	}
	done := make(chan error, 1)
	// It ends with the transaction; Close waits for it.
	go func() {
		defer s.active.Done()
		var err error
		if write {
			err = s.inPlace()
		}
		if err == nil {
			id := 0
			err = guard(func() error {
				return within(s.db, write, func(tx *bbolt.Tx) error {
					if id = tx.ID(); write && id <= s.txid {
						// An older file was copied over the one that is open.
						return failed("write", s.path, ErrReplaced)
					}
					return fn(tx)
				})
			})
			if err == nil && write {
				s.txid = id
				err = s.inPlace() // what went into a file without a name is not durable
			}
		}
		if errors.Is(err, errPanic) {
			s.mu.Lock()
			s.broken = err
			s.mu.Unlock()
		}
		free()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// within runs fn in a transaction, and leaves no lock behind when it panics.
func within(db *bbolt.DB, write bool, fn func(tx *bbolt.Tx) error) error {
	tx, err := db.Begin(write)
	if err != nil {
		return err
	}
	// After a commit it does nothing.
	defer func() { _ = tx.Rollback() }()
	if err := fn(tx); err != nil || !write {
		return err
	}
	return tx.Commit()
}

// errPanic marks what guard has caught.
var errPanic = errors.New("bbolt panicked")

// guard runs fn and makes an error of what bbolt does when it meets a damaged
// file: it panics, or reads where there is no file any more.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %w: %v", ErrDamaged, errPanic, p)
		}
	}()
	return fn()
}
