// Package boltstore is a storage in one file, by go.etcd.io/bbolt.
//
// Each commit is one transaction, and durable when it returns. One process at a
// time uses the file. Open sets a damaged file aside and takes over the rows that
// it can read, so that a monitor comes up again.
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
	// ErrInUse is returned when another process has the file open.
	ErrInUse = errors.New("the file is open in another process; stop that process first")
	// ErrForeign is returned when a file is a sound bbolt database of another
	// program, a SQLite database, or text. The file is left as it is.
	ErrForeign = errors.New("the file belongs to another program; choose another path")
	// ErrDamaged is returned when the file holds something that LaneSwap cannot
	// have written. The next Open replaces the file.
	ErrDamaged = errors.New("the file is damaged")
	// ErrReplaced is returned by Commit and Prune when the open file is no longer
	// the one under its path, or is shorter than before: a write would be lost.
	// Nothing is written until the file is back. Reads go on.
	ErrReplaced = errors.New("the file was deleted, replaced or cut off while it was open; put it back, or restart to begin a new one")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("boltstore: the store is closed")
	// ErrInvalidRow is returned when a row, a key or a batch breaks the contract of
	// laneswap.Storage.
	ErrInvalidRow = errors.New("boltstore: invalid row")
)

const (
	fileMode = 0o600
	// lockWait is how long Open waits for a file that is in use: long enough for a
	// process that is just ending.
	lockWait = time.Second
	// closeWait bounds Close when a write hangs in the system.
	closeWait = 5 * time.Second
)

// Option changes how a store is opened.
type Option func(*options)

type options struct {
	onDamage func(Damage)
}

// WithOnDamage sets a function that Open calls, before it returns, when it has
// replaced a damaged file. Log the Damage: it names the file that was set aside.
func WithOnDamage(fn func(Damage)) Option {
	return func(o *options) { o.onDamage = fn }
}

// Store is a laneswap.Storage in a file. It is safe for concurrent use.
type Store struct {
	path string      // as it was given
	real string      // without symbolic links
	file *os.File    // the file that db has open
	info os.FileInfo // of file
	db   *bbolt.DB
	// writing holds one token while a transaction writes. bbolt has a lock of its
	// own, but a caller cannot stop waiting for it when its context ends.
	writing chan struct{}
	maxSize int64 // of the file so far; guarded by the token
	txid    int   // of the latest transaction that wrote; guarded by the token

	mu     sync.Mutex // guards the fields below
	closed bool
	broken error          // the panic that ended a transaction
	active sync.WaitGroup // running transactions; none is added once closed is set
}

// Open opens the store in a file. It creates a missing file with mode 0600, and
// keeps the mode of an existing one; the folder must exist. Open reads the whole
// file once to check that it is sound, and replaces a damaged one: see
// WithOnDamage. While another process has the file open, Open waits for a second
// and then returns ErrInUse. A symbolic link stands for the file that it leads to.
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

// open opens a file, and once more when it has replaced a damaged one.
func open(path string, steps []step) (*Store, *Damage, error) {
	var damage *Damage
	for {
		f, err := lockFile(path, false)
		if err != nil {
			return nil, damage, err
		}
		var in *inspection
		err = guard(func() (err error) {
			in, err = inspect(f, len(steps), nil)
			return err
		})
		if err == nil && len(in.problems()) == 0 {
			db, err := openBolt(f)
			if err == nil {
				s, err := newStore(db, f, path, steps)
				return s, damage, err
			}
			if !errors.Is(err, ErrDamaged) {
				_ = f.Close()
				return nil, damage, err
			}
			in.damage(err)
		}
		if err == nil && damage != nil {
			err = fmt.Errorf("%w: its replacement is not sound either: %s", ErrDamaged, in.problems()[0])
		}
		if err == nil {
			damage, err = replace(f, path, in, steps)
		}
		_ = releaseFile(f)
		if err != nil {
			return nil, damage, err
		}
	}
}

// newStore brings a database to the latest layout. It closes it when it fails.
func newStore(db *bbolt.DB, f *os.File, path string, steps []step) (*Store, error) {
	var info os.FileInfo
	err := guard(func() error { return migrate(db, steps) })
	if err == nil {
		err = syncFolder(path) // the name of a new file is as durable as its content
	}
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &Store{path: path, real: path, file: f, info: info, maxSize: info.Size(), db: db, writing: make(chan struct{}, 1)}, nil
}

// openBolt opens the database in a file that is locked already. bbolt closes the
// file when it fails, but not when it panics.
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

// Close waits up to five seconds for transactions to end, and closes the file.
// Further calls do nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()

	done := make(chan error, 1)
	// It ends with the process if a write never ends.
	go func() {
		s.active.Wait()
		if s.failure() != nil {
			// bbolt may have panicked with its locks held, and would wait for itself.
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
		return failed("close", s.path, errors.New("a write does not end; the file stays locked until the process ends"))
	}
}

// failure returns the panic that ended a transaction, nil if none did.
func (s *Store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// begin counts a transaction, or returns why none may run any more.
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
// early when ctx ends. The transaction then goes on by itself, so fn must touch
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
	release := func() {
		if write {
			<-s.writing
		}
	}
	if err := s.begin(); err != nil {
		release()
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
				err = s.inPlace() // a write into a file without a name is not durable
			}
		}
		if errors.Is(err, errPanic) {
			s.mu.Lock()
			s.broken = err
			s.mu.Unlock()
		}
		release()
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

// errPanic marks a panic that guard has recovered from.
var errPanic = errors.New("bbolt panicked")

// guard runs fn and turns its panic into an error: on a damaged file bbolt panics,
// or reads memory behind the end of the file.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %w: %v", ErrDamaged, errPanic, p)
		}
	}()
	return fn()
}
