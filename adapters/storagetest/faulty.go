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

// Op selects a method of a storage, or all of them.
type Op int

// The methods.
const (
	Any Op = iota
	Load
	Commit
	Rows
	Prune
)

// How selects a kind of fault.
type How int

const (
	// Refuse returns the error and does nothing.
	Refuse How = iota
	// LoseAnswer does the whole call and then returns the error.
	LoseAnswer
	// Half does a part of the call and then returns the error: the first half of a
	// batch, the first half of the limit of a prune, the first row of an iterator.
	Half
	// Slow waits for Fault.Delay or the end of the context, whichever is first, and
	// then does the call.
	Slow
	// Hang waits for the end of the context and returns its error.
	Hang
)

// ErrFault is the error of a Fault without Err.
var ErrFault = errors.New("storagetest: fault")

// Fault makes some calls of a Faulty fail.
type Fault struct {
	// Op is the method that fails.
	Op Op
	// At is the number of the first call that fails, counted from Inject on among the
	// calls of Op; zero and 1 are the next call.
	At int
	// Times is the number of calls in a row that fail. Zero means 1; a negative
	// number means all until Heal.
	Times int
	// For ends the fault that long after the first call that failed; zero means no
	// end.
	For time.Duration
	How How
	// Err is the error of the call; nil means ErrFault. Slow and Hang ignore it.
	Err error
	// Delay is the delay of Slow.
	Delay time.Duration
}

// Faulty passes calls on to another storage, unless a Fault meets them. NewFaulty
// makes one. It is safe for concurrent use.
type Faulty struct {
	inner laneswap.Storage

	mu     sync.Mutex // guards what is below
	calls  [Prune + 1]int
	faults []*fault
	met    []time.Time
}

// fault is a Fault with the number of calls so far.
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

// NewFaulty wraps a storage. No call fails before Inject.
func NewFaulty(s laneswap.Storage) *Faulty { return &Faulty{inner: s} }

// Inject adds a fault. When several faults meet one call, the first one decides, and
// the others count the call.
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

// Heal removes all faults. Calls that hang go on hanging.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Calls returns the number of calls of a method, or of all. A range over an iterator
// is one call.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Met returns the times at which calls met a fault, in order.
func (f *Faulty) Met() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.met)
}

// meet counts a call and returns the fault that it meets, nil when there is none.
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

// begin counts a call and applies the fault that it meets: it waits, or returns the error
// with which the call fails at once. The faults LoseAnswer and Half are left to the caller;
// Slow means that nothing is left to do, and stands for no fault as well.
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
	case LoseAnswer, Half: // the caller applies them
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
