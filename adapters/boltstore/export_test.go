package boltstore

import (
	"bytes"
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
)

// Step is a step of a migration.
type Step = step

// OpenWithSteps opens a store as a version would that has further steps behind
// the first so many of this one.
func OpenWithSteps(path string, ours int, further ...Step) (*Store, *Damage, error) {
	return open(path, append(steps[:ours:ours], further...))
}

// Occupy runs a transaction that writes nothing and lasts until it is told to end.
func (s *Store) Occupy(ctx context.Context, until <-chan struct{}, begun chan<- struct{}) error {
	return s.transact(ctx, true, func(*bbolt.Tx) error {
		close(begun)
		<-until
		return errors.New("nothing to commit")
	})
}

// SkipSync has commits return before they are on the disk: for tests of many, that
// pull no plug. It is called before the first commit.
func (s *Store) SkipSync() { s.db.NoSync = true }

// Inspect reads a file as Open does before bbolt opens it, and the state before the
// last commit as Open does when rows are lost. It returns the number of rows.
func Inspect(file []byte) (rows int, problems []string) {
	to := &sink{row: func(record) { rows++ }, seen: func(laneswap.Seen) {}}
	r, size := bytes.NewReader(file), int64(len(file))
	in := inspectAll(r, size, len(steps), to)
	if in.before != nil {
		inspectFrom(*in.before, r, size, len(steps), to)
	}
	return rows, in.problems()
}

// LayoutOf is the version that a file says.
func LayoutOf(path string) (version int, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	err = db.View(func(tx *bbolt.Tx) (err error) {
		version, err = layoutOf(tx)
		return err
	})
	return version, errors.Join(err, db.Close())
}
