package laneswap

import (
	"context"
	"iter"
	"time"
)

// Storage keeps what a Manager must not forget: rows of a few kinds, whose
// content only the Manager understands. Adapters implement it; the package
// adapters/storagetest is this contract as tests, and every adapter passes it.
//
// All methods may be called concurrently, although the Manager has one writer.
// They obey their context: once it has ended they return its error soon, also
// when it had ended before the call. Values that are passed in belong to the
// caller and those that are yielded to whoever receives them: an adapter keeps no
// slice that it was given and gives out none that it keeps. Who opens an adapter
// closes it: the Manager does neither.
//
// An iterator yields an error at most once, as its last pair and with a zero
// Row. Each range over it asks anew. The body of the loop may take its time, call
// every method, and leave early: an adapter holds no lock and no transaction
// while it runs. So there is no snapshot: each row is as it was stored at some
// moment of the loop, and one that changes meanwhile may be yielded as before, as
// after, twice, or not at all.
//
// Every error but ErrExists and ErrFenced is taken for a failure that may pass.
// Load, Commit and Prune are then called again; an error of Rows goes, wrapped in
// ErrStorage, to whoever asked. ErrExists and ErrFenced are wrapped or returned as
// they are. One Manager at a time writes to a storage.
type Storage interface {
	// Load yields every row that has Open set, in any order, and one row of
	// KindSeen for each service that a Seen was committed of.
	Load(ctx context.Context) iter.Seq2[Row, error]

	// Commit applies a batch, in the order of its fields, and returns nil when all
	// of it is durable: it survives the end of the process and of the machine. An
	// adapter without transactions may have applied a beginning of the batch when
	// it returns an error; the Manager then commits the same batch again, and what
	// is there already must do no harm.
	Commit(ctx context.Context, b Batch) error

	// Rows yields the rows that are selected, as they are stored when asked.
	Rows(ctx context.Context, q RowQuery) iter.Seq2[Row, error]

	// Prune deletes the oldest rows of a kind that are not Open and whose At is
	// before the given time, at most limit of them, and returns how many it
	// deleted. A limit of zero or less deletes none.
	Prune(ctx context.Context, k Kind, before time.Time, limit int) (int, error)
}

// Kind is what a row is about, 1 to 64 bytes of any valid UTF-8 without NUL. A
// new feature of the Manager is a new kind: an adapter stores kinds that it has
// never heard of like all others.
type Kind string

// The kinds that an adapter may treat in a way of its own.
const (
	// KindService rows hold the state of a service; their ID is its id.
	KindService Kind = "service"
	// KindEvent rows are transitions; they are inserted and never changed.
	KindEvent Kind = "event"
	// KindError rows are reported errors.
	KindError Kind = "error"
	// KindSeen rows are what Load makes of Batch.Seen: ID and Service are the
	// service, At is when it was last seen, Open is set, and Data is empty. They
	// are never inserted or put, and Rows and Prune know nothing of them.
	KindSeen Kind = "seen"
)

// Row is one thing that is stored. Kind and ID are its identity.
type Row struct {
	Kind Kind
	// ID is 1 to 512 bytes of any valid UTF-8 without NUL.
	ID string
	// Service is the service that the row belongs to, "" when it belongs to none:
	// up to 512 bytes of any valid UTF-8 without NUL.
	Service string
	// At is when what the row holds happened, in UTC and whole milliseconds, from
	// the year 1 to the year 9999. The zero time is kept as such.
	At time.Time
	// Open rows are yielded by Load and never pruned.
	Open bool
	// Data is JSON; its encoding and its migrations belong to the Manager. It is
	// at most 1 MiB long, and kept byte for byte; nil and empty are the same.
	Data []byte
}

// Key is the identity of a row.
type Key struct {
	Kind Kind
	ID   string
}

// Batch is what is committed together; an empty one succeeds. A row may be in
// several of its fields, and several times in one: the last word counts. Yet one
// that is inserted and then put with another content makes a batch that cannot be
// repeated, for its insert would meet what its put has left.
type Batch struct {
	// Epoch is the writer's, 1 or more. It is stored with every row. A row that
	// was written with a higher one is never put or deleted: ErrFenced, and the
	// commit ends; what stands before it in the batch may or may not be applied,
	// what stands behind it is not.
	Epoch uint64
	// Insert adds rows. Inserting one that exists with the same Service, At, Open
	// and Data succeeds and leaves it as it is, its epoch included; with another
	// content it is ErrExists, and the commit ends as with ErrFenced.
	Insert []Row
	// Put adds rows or replaces them as a whole.
	Put []Row
	// Delete removes rows; one that is not there is no error. Deleting KindSeen
	// forgets when the service of that id was seen.
	Delete []Key
	// Seen notes when services were last seen. An adapter may pack many of them
	// into one record. A time earlier than the one noted already is ignored, and
	// epochs do not matter: the latest time is right, whoever wrote it.
	Seen []Seen
}

// Seen says when a service was last heard of. Service and At are as those of a
// Row, but Service is never empty.
type Seen struct {
	Service string
	At      time.Time
}

// RowQuery selects rows. Its conditions are joined by and.
type RowQuery struct {
	Kind Kind // required
	// Service selects the rows of one service; "" those of all and of none.
	Service string
	// From and To select From <= At < To; the zero time sets no bound.
	From, To time.Time
	// Descending yields the newest first. The order is At, then ID by bytes.
	Descending bool
	// After continues behind a row that was yielded before; its Kind and Data do
	// not matter, and it need not exist any more. nil begins at the beginning.
	After *Row
	// Limit is the greatest number of rows; zero or less means all.
	Limit int
}
