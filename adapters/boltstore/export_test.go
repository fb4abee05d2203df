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

// Inspect reads a file as Open does before it trusts it, and then as it does to
// salvage it. It returns how many rows it found.
func Inspect(file []byte) (rows int, problems []string) {
	found := newFinding(bytes.NewReader(file), int64(len(file)), len(steps), &sink{
		row:  func(record) { rows++ },
		seen: func(laneswap.Seen) {},
	})
	if len(file) > 0 {
		found.run()
		found.agree()
		found.rest()
	}
	return rows, found.problems()
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
