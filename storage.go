package laneswap

import (
	"context"
	"iter"
	"time"
)

// Storage keeps the state of a Manager as rows of a few kinds. Only the Manager
// interprets their content. Adapters implement Storage. The package
// adapters/storagetest tests this contract, and every adapter passes it.
//
// The Manager calls methods concurrently, but commits from one goroutine. One Manager
// at a time writes to a storage. Methods obey their context: they return its error
// soon after it has ended, also when it had ended before the call. An adapter copies
// every slice that it keeps or yields, so that neither side changes data of the other.
// The program that opens an adapter closes it; the Manager does neither.
//
// An iterator yields an error at most once, as its last pair and with a zero Row. Each
// range over it starts a new query. The loop body may run for a long time, call every
// method, and break early: an adapter holds no lock and no transaction while the body
// runs. So there is no snapshot. Each row is in the state of some moment of the loop. A
// row that changes during the loop may be yielded in its old state, in its new one,
// twice, or not at all.
//
// An adapter returns ErrExists and ErrFenced as they are, or wrapped. The Manager
// treats every other error as temporary. It then repeats Load, Commit and Prune. It
// returns an error of Rows to its caller, wrapped in ErrStorage.
type Storage interface {
	// Load yields every row that has Open set, in any order, and one row of KindSeen
	// for each service of which a Seen was committed.
	Load(ctx context.Context) iter.Seq2[Row, error]

	// Commit applies a batch in the order of its fields. It returns nil once the whole
	// batch is durable: it survives the end of the process and of the machine. When it
	// returns an error, an adapter without transactions may have applied the beginning
	// of the batch. The Manager then commits the same batch again, and the rows that are
	// already stored must not cause an error.
	Commit(ctx context.Context, b Batch) error

	// Rows yields the rows that q selects, in their state at the time of the query.
	Rows(ctx context.Context, q RowQuery) iter.Seq2[Row, error]

	// Prune deletes rows of kind k that are not Open and whose At is before the given
	// time: the oldest first, at most limit of them. It returns how many it deleted. A
	// limit of zero or less deletes none.
	Prune(ctx context.Context, k Kind, before time.Time, limit int) (int, error)
}

// Kind is the type of a row, 1 to 64 bytes of any valid UTF-8 without NUL. A new
// feature of the Manager adds a kind, so an adapter stores unknown kinds like all
// others.
type Kind string

// The kinds for which an adapter may have special code.
const (
	// KindService rows hold the state of a service. Their ID is the id of the service.
	KindService Kind = "service"
	// KindEvent rows hold transitions. They are inserted and never changed.
	KindEvent Kind = "event"
	// KindError rows hold reported errors.
	KindError Kind = "error"
	// KindSeen is the kind of the rows that Load yields for Batch.Seen. Their ID and
	// Service are the id of the service, At is when it was last seen, Open is set, and
	// Data is empty. They are never inserted or put. Rows and Prune ignore them.
	KindSeen Kind = "seen"
)

// Row is one stored record. Kind and ID identify it.
type Row struct {
	Kind Kind
	// ID is 1 to 512 bytes of any valid UTF-8 without NUL.
	ID string
	// Service is the id of the service that the row belongs to, or "" when it belongs
	// to none: up to 512 bytes of any valid UTF-8 without NUL.
	Service string
	// At is the time of the row, in UTC and whole milliseconds, from the year 1 to the
	// year 9999. The zero time is stored as the zero time.
	At time.Time
	// Open makes Load yield the row. Open rows are never pruned.
	Open bool
	// Data is JSON, at most 1 MiB. The Manager encodes and migrates it. An adapter
	// stores it byte for byte. nil and empty are the same.
	Data []byte
}

// Key identifies a row.
type Key struct {
	Kind Kind
	ID   string
}

// Batch is the set of changes of one commit. An empty batch succeeds. A row may occur
// in several fields, and several times in one field: the last change wins. But a batch
// must not insert a row and then put it with different content: such a batch cannot be
// repeated, because its insert would find the content of its put.
type Batch struct {
	// Epoch identifies the writer, 1 or more. An adapter stores it with every row.
	// A put or delete of a row that has a higher epoch ends the commit with ErrFenced.
	// The changes before it in the batch may or may not be applied. The changes behind
	// it are not.
	Epoch uint64
	// Insert adds rows. When a row exists with the same Service, At, Open and Data, the
	// insert succeeds and does not change the row or its epoch. When it exists with
	// different content, the commit ends with ErrExists, as it does with ErrFenced.
	Insert []Row
	// Put adds rows or replaces them as a whole.
	Put []Row
	// Delete removes rows. A row that does not exist is no error. Deleting a key of
	// KindSeen removes the time at which the service of that id was last seen.
	Delete []Key
	// Seen records when services were last seen. An adapter may pack many of them into
	// one record. It ignores a time earlier than the stored one. It ignores epochs,
	// because the latest time is right for every writer.
	Seen []Seen
}

// Seen is the time of the last heartbeat or registration of a service. Service and At
// have the limits of Row, but Service is never empty.
type Seen struct {
	Service string
	At      time.Time
}

// RowQuery selects rows. A row must meet every condition that is set.
type RowQuery struct {
	Kind Kind // required
	// Service selects the rows of one service. "" selects all rows of the kind.
	Service string
	// From and To select rows with From <= At < To. The zero time sets no bound.
	From, To time.Time
	// Descending yields the newest rows first. The order is At, then ID by bytes.
	Descending bool
	// After starts behind a row that was yielded before. Its Kind and Data do not
	// matter, and it need not exist any more. nil starts at the beginning.
	After *Row
	// Limit is the maximum number of rows. Zero or less means all.
	Limit int
}
