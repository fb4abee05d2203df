// Package storagetest tests adapters against the contract of laneswap.Storage. It
// has benchmarks, and a storage with faults. The test of an adapter is a few lines:
//
//	func TestStorage(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T) laneswap.Storage { return open(t) })
//	}
//
// It imports the standard library only, so that it adds nothing to the module of an
// adapter.
package storagetest

import (
	"context"
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// Option is an option of Run.
type Option func(*settings)

type settings struct {
	reopen   func(t *testing.T, s laneswap.Storage) laneswap.Storage
	seed     uint64
	patience time.Duration
	scale    int
}

// WithReopen adds the tests of persistence. reopen closes its storage and opens the
// stored state again.
func WithReopen(reopen func(t *testing.T, s laneswap.Storage) laneswap.Storage) Option {
	return func(o *settings) { o.reopen = reopen }
}

// WithSeed repeats the random operations of a seed, which a failed run has printed.
// Without it each run does other ones.
func WithSeed(seed uint64) Option {
	return func(o *settings) { o.seed = seed }
}

// WithPatience sets how long one test may take before it counts as hanging. The
// default is one minute.
func WithPatience(d time.Duration) Option {
	return func(o *settings) { o.patience = d }
}

// WithScale divides the number of rows, steps and rounds of the large tests by n,
// for a storage that needs milliseconds for each row. The default is 1. With -short
// the numbers are a fifth of that.
func WithScale(n int) Option {
	return func(o *settings) { o.scale = n }
}

// scaled is how many rows, steps or rounds a test does that has n by default.
func (o settings) scaled(n int) int { return max(n/o.scale, 3) }

// Run tests a storage against the contract. open returns a new empty storage and
// cleans up through t. The subtests run in parallel.
func Run(t *testing.T, open func(t *testing.T) laneswap.Storage, opts ...Option) {
	o := settings{patience: time.Minute, scale: 1}
	for _, opt := range opts {
		opt(&o)
	}
	if o.scale = max(o.scale, 1); testing.Short() {
		o.scale *= 5
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

// run is one running test, with its storage and its context.
type run struct {
	*testing.T
	laneswap.Storage
	settings
	ctx context.Context
}
