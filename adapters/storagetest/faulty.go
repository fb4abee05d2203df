package storagetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

// Op is a method of a storage, or all of them.
type Op int

// The methods.
const (
	Any Op = iota
	Load
	Commit
	Rows
	Prune
)

// How is what goes wrong.
type How int

const (
	// Refuse returns the error and does nothing.
	Refuse How = iota
	// LoseAnswer does all of it and then returns the error.
	LoseAnswer
	// Half does a beginning and then returns the error: the first half of the
	// things of a batch, the first half of the limit of a prune, the first row of
	// an iterator.
	Half
	// Slow waits for Fault.Delay or the end of the context, whichever is first,
	// and then goes on as if nothing was.
	Slow
	// Hang does nothing and returns the context's error when it has ended.
	Hang
)

// ErrFault is the error of faults that have none of their own.
var ErrFault = errors.New("storagetest: fault")

// Fault is something that goes wrong with some calls of a Faulty.
type Fault struct {
	// Op is the method that it is about.
	Op Op
	// At is the first call that it meets, counted from Inject on and among the
	// calls of Op; zero or 1 is the next.
	At int
	// Times is how many calls it meets, one after another; zero is 1, and a
	// negative number all of them until Heal.
	Times int
	// For is how long after the first call that it met it meets others; zero is
	// no bound.
	For time.Duration
	How How
	// Err is what the call returns; nil is ErrFault. Slow and Hang have no use
	// for it.
	Err error
	// Delay is how long Slow waits.
	Delay time.Duration
}

// Faulty is a storage that does what another does, except where a Fault says
// otherwise. It is made by NewFaulty and safe for concurrent use.
type Faulty struct {
	inner laneswap.Storage

	mu     sync.Mutex // guards what is below
	calls  [Prune + 1]int
	faults []*fault
	met    []time.Time
}

// fault is a Fault with the number of the calls that it has let pass or met.
type fault struct {
	Fault
	seen  int
	began time.Time // when it met the first; zero before
}

// meets counts a call and returns whether the fault meets it.
func (f *fault) meets(now time.Time) bool {
	f.seen++
	return f.seen >= f.At && (f.Times < 0 || f.seen < f.At+f.Times) &&
		(f.For == 0 || f.began.IsZero() || now.Sub(f.began) < f.For)
}

// NewFaulty wraps a storage; nothing goes wrong before Inject.
func NewFaulty(s laneswap.Storage) *Faulty { return &Faulty{inner: s} }

// Inject adds a fault. Where several meet one call, the one that was added first
// has it, and the others count the call.
func (f *Faulty) Inject(what Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what.At = max(what.At, 1)
	if what.Times == 0 {
		what.Times = 1
	}
	if what.Err == nil {
		what.Err = ErrFault
	}
	f.faults = append(f.faults, &fault{Fault: what})
}

// Heal removes all faults. Calls that they met already are not freed.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Calls returns how often a method, or any, was called; a range over an iterator
// is a call.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Met returns when calls met a fault, in their order; empty when none did. A
// caller whose calls differ from run to run learns from it when a fault struck.
func (f *Faulty) Met() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.met)
}

// meet counts a call and returns the fault that it meets, or none.
func (f *Faulty) meet(op Op) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[Any]++
	f.calls[op]++
	now := time.Now()
	var met *fault
	for _, fault := range f.faults {
		if (fault.Op == Any || fault.Op == op) && fault.meets(now) && met == nil {
			met = fault
		}
	}
	if met == nil {
		return Fault{}, false
	}
	if met.began.IsZero() {
		met.began = now
	}
	f.met = append(f.met, now)
	return met.Fault, true
}

// begin meets a call. It returns the fault that is left for the method to act
// on, or the error that the call ends with at once.
func (f *Faulty) begin(ctx context.Context, op Op) (Fault, error) {
	fault, ok := f.meet(op)
	if !ok {
		return Fault{How: Slow}, nil
	}
	switch fault.How {
	case Refuse:
		return fault, fault.Err
	case Hang:
		<-ctx.Done()
		return fault, ctx.Err()
	case Slow:
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	case LoseAnswer, Half:
	}
	return fault, nil
}

// Commit is Storage.Commit.
func (f *Faulty) Commit(ctx context.Context, b laneswap.Batch) error {
	fault, err := f.begin(ctx, Commit)
	if err != nil {
		return err
	}
	if fault.How == Half {
		b = beginning(b, (len(b.Insert)+len(b.Put)+len(b.Delete)+len(b.Seen))/2)
	}
	err = f.inner.Commit(ctx, b)
	if err == nil && fault.How != Slow {
		return fault.Err
	}
	return err
}

// Prune is Storage.Prune.
func (f *Faulty) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	fault, err := f.begin(ctx, Prune)
	if err != nil {
		return 0, err
	}
	if fault.How == Half {
		limit /= 2
	}
	n, err := f.inner.Prune(ctx, k, before, limit)
	if err == nil && fault.How != Slow {
		return n, fault.Err
	}
	return n, err
}

// Load is Storage.Load.
func (f *Faulty) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	return f.iterate(ctx, Load, func() iter.Seq2[laneswap.Row, error] { return f.inner.Load(ctx) })
}

// Rows is Storage.Rows.
func (f *Faulty) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	return f.iterate(ctx, Rows, func() iter.Seq2[laneswap.Row, error] { return f.inner.Rows(ctx, q) })
}

func (f *Faulty) iterate(ctx context.Context, op Op, ask func() iter.Seq2[laneswap.Row, error]) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		fault, err := f.begin(ctx, op)
		if err != nil {
			yield(laneswap.Row{}, err)
			return
		}
		for row, err := range ask() {
			if !yield(row, err) || err != nil {
				return
			}
			if fault.How == Half {
				break
			}
		}
		if slices.Contains([]How{LoseAnswer, Half}, fault.How) {
			yield(laneswap.Row{}, fault.Err)
		}
	}
}
