// Package storagetest is the contract of laneswap.Storage as tests, benchmarks
// and faults. The test of an adapter is a few lines:
//
//	func TestStorage(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T) laneswap.Storage { return open(t) })
//	}
//
// It uses the standard library only, so that adapters outside of this module
// can use it without pulling in anything.
package storagetest

import (
	"context"
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// Option changes what Run does.
type Option func(*settings)

type settings struct {
	reopen   func(t *testing.T, s laneswap.Storage) laneswap.Storage
	seed     uint64
	patience time.Duration
}

// WithReopen adds the tests of what must survive: reopen closes the storage that
// it is given and opens what is stored there again.
func WithReopen(reopen func(t *testing.T, s laneswap.Storage) laneswap.Storage) Option {
	return func(o *settings) { o.reopen = reopen }
}

// WithSeed repeats the random operations of one seed, which a failure has
// printed. Without it each run takes new ones.
func WithSeed(seed uint64) Option {
	return func(o *settings) { o.seed = seed }
}

// WithPatience bounds how long one test may take before it counts as hanging;
// one minute.
func WithPatience(d time.Duration) Option {
	return func(o *settings) { o.patience = d }
}

// Run tests a storage against the contract. open returns an empty storage of its
// own each time and cleans up through t. The subtests run in parallel.
func Run(t *testing.T, open func(t *testing.T) laneswap.Storage, opts ...Option) {
	o := settings{patience: time.Minute}
	for _, opt := range opts {
		opt(&o)
	}
	groups := [][]test{committing, fencing, seeing, loading, reading, iterating, ending, keeping, sharing, pruning, guessing}
	if o.reopen != nil {
		groups = append(groups, reopening)
	}
	for _, group := range groups {
		for _, test := range group {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), o.patience)
				t.Cleanup(cancel)
				test.run(&run{T: t, Storage: open(t), ctx: ctx, settings: o})
			})
		}
	}
}

// test is one rule of the contract.
type test struct {
	name string
	run  func(r *run)
}

// run is one test under way: the test, its storage and its context.
type run struct {
	*testing.T
	laneswap.Storage
	settings
	ctx context.Context
}
