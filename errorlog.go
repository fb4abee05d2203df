package laneswap

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/text"
)

// Limits of reported errors that are not configurable.
const (
	maxTypeRunes  = 128
	maxStackBytes = 32 << 10
)

// ErrorReport is an error that a service reports. It does not change the status of the
// service; heartbeats do.
type ErrorReport struct {
	// Type is the kind of error, for example "TimeoutError" or "*fs.PathError", at
	// most 128 runes. Type or Message is required.
	Type string `json:"type,omitempty"`
	// Message is free text for display, at most Limits.MessageBytes long.
	Message string `json:"message,omitempty"`
	// Stack is the stack trace of the error, at most 32 KiB.
	Stack string `json:"stack,omitempty"`
	// Metadata has the same limits as the metadata of a service.
	Metadata map[string]any `json:"metadata,omitempty"`
}

// ErrorRecord is a reported error that the Manager keeps.
type ErrorRecord struct {
	// ID is deterministic: the service and an ascending number.
	ID       string         `json:"id"`
	Service  ServiceID      `json:"service_id"`
	At       time.Time      `json:"timestamp"`
	Type     string         `json:"type"`
	Message  string         `json:"message"`
	Stack    string         `json:"stack,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
	// NotDurable is set in the answer of ReportError when the storage has not accepted
	// the error yet.
	NotDurable bool `json:"-"`
}

// ErrorQuery selects reported errors. The zero value selects every error that is kept.
type ErrorQuery struct {
	// Before selects errors older than the one with this id, to continue a listing.
	Before string
	// Limit is the maximum number of errors. Zero means all.
	Limit int
}

// ReportError keeps an error that a service reports. The Manager keeps the latest
// Limits.Errors of each service. With a storage ReportError waits for up to 5 seconds
// until the storage has accepted the error. It returns a *ValidationError that matches
// ErrInvalidErrorReport, or an error that matches ErrServiceNotFound, or ErrDegraded
// when the backlog is full. It has then kept nothing.
func (m *Manager) ReportError(ctx context.Context, id ServiceID, rep ErrorReport) (ErrorRecord, error) {
	rec, lsn, err := m.reportError(ctx, id, rep)
	if err != nil {
		return ErrorRecord{}, failed("report error", id, err)
	}
	rec.NotDurable = m.store.await(ctx, lsn) != nil
	rec.Metadata = cloneMap(rec.Metadata)
	return rec, nil
}

func (m *Manager) reportError(ctx context.Context, id ServiceID, rep ErrorReport) (rec ErrorRecord, lsn uint64, err error) {
	if err = m.writable(ctx); err == nil {
		err = m.readable(ctx)
	}
	if err != nil {
		return rec, 0, err
	}
	rep, err = m.opts.limits.errorReport(rep)
	if err != nil {
		return rec, 0, err
	}
	r, err := m.find(id)
	if err != nil {
		return rec, 0, err
	}
	m.observe(m.now())
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := m.accepts(r); err != nil {
		return rec, 0, err
	}
	if !m.store.journal.HasRoom() {
		return rec, 0, ErrDegraded
	}
	if r.errorCount++; r.oldestError == 0 {
		r.oldestError = 1
	}
	rec = ErrorRecord{
		ID: r.errorID(r.errorCount), Service: r.id, At: clock.WallTime(r.stamp(m.absences.Wall(m.now().Mono))),
		Type: rep.Type, Message: rep.Message, Stack: rep.Stack, Metadata: rep.Metadata,
	}
	return rec, m.store.saveError(r, rec), nil
}

// errorReport returns rep checked and cleaned.
func (l Limits) errorReport(rep ErrorReport) (ErrorReport, error) {
	rep.Type = strings.TrimSpace(text.Line(rep.Type))
	if n := utf8.RuneCountInString(rep.Type); n > maxTypeRunes {
		return rep, invalid(ErrInvalidErrorReport, "type", "is %d characters long, the limit is %d", n, maxTypeRunes)
	}
	if len(rep.Message) > l.MessageBytes {
		return rep, invalid(ErrInvalidErrorReport, "message", "is %d bytes long, the limit is %d", len(rep.Message), l.MessageBytes)
	}
	if len(rep.Stack) > maxStackBytes {
		return rep, invalid(ErrInvalidErrorReport, "stack", "is %d bytes long, the limit is %d", len(rep.Stack), maxStackBytes)
	}
	rep.Message, rep.Stack = text.Lines(rep.Message), text.Lines(rep.Stack)
	if rep.Type == "" && strings.TrimSpace(rep.Message) == "" {
		return rep, invalid(ErrInvalidErrorReport, "message", "is empty, and so is type; one is required")
	}
	clean, err := l.metadata(ErrInvalidErrorReport, rep.Metadata)
	if err != nil {
		return rep, err
	}
	rep.Metadata, err = l.merge(ErrInvalidErrorReport, nil, clean)
	return rep, err
}

// Errors yields the errors that a service has reported, newest first. When it fails, it
// yields an error last: ErrServiceNotFound, ErrInvalidQuery, or ErrStorage when the
// storage cannot be read.
func (m *Manager) Errors(ctx context.Context, id ServiceID, q ErrorQuery) iter.Seq2[ErrorRecord, error] {
	return func(yield func(ErrorRecord, error) bool) {
		n := 0
		for rec, err := range m.reportedErrors(ctx, id, q) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(ErrorRecord{}, failed("errors", id, err))
				return
			}
			rec.Metadata = cloneMap(rec.Metadata)
			if !yield(rec, nil) {
				return
			}
			if n++; n == q.Limit {
				return
			}
		}
	}
}

func (m *Manager) reportedErrors(ctx context.Context, id ServiceID, q ErrorQuery) iter.Seq2[ErrorRecord, error] {
	return func(yield func(ErrorRecord, error) bool) {
		r, err := m.readErrors(ctx, id, q)
		if err != nil {
			yield(ErrorRecord{}, err)
			return
		}
		r.mu.Lock()
		recs := m.store.reported.All(r.errorList)
		newest := errorRank{r.generation, r.errorCount, true}
		r.mu.Unlock()
		// The backlog is read before the storage. A row that is written in between is
		// then found twice and not missed.
		for _, data := range m.store.journal.Pending(string(KindError), string(id)) {
			recs = append(recs, data.(*storedError).ErrorRecord)
		}
		slices.SortStableFunc(recs, newestError)
		waiting := map[string]bool{}
		for _, rec := range recs {
			waiting[rec.ID] = true
		}
		next := func(rec ErrorRecord) bool {
			rank := errorNumber(rec.ID)
			if !newest.atLeast(rank) {
				return true // reported after the call began, so it would come out of order
			}
			return q.Before != "" && rank.atLeast(errorNumber(q.Before)) || yield(rec, nil)
		}
		for _, rec := range recs {
			if !next(rec) {
				return
			}
		}
		var bad unreadable
		defer func() { bad.log(m.log, id) }()
		for row, err := range m.store.rows(ctx, RowQuery{Kind: KindError, Service: string(id), Descending: true}) {
			if err != nil {
				yield(ErrorRecord{}, storageFailed(ctx, err))
				return
			}
			var rec storedError
			if bad.skip(decode(row, &rec, &rec.Version)) {
				continue
			}
			if rank := errorNumber(rec.ID); rank.ok && rank.born != newest.born {
				continue // of a removed service whose rows are not all deleted yet
			}
			if !waiting[rec.ID] && !next(rec.ErrorRecord) {
				return
			}
		}
	}
}

func (m *Manager) readErrors(ctx context.Context, id ServiceID, q ErrorQuery) (*record, error) {
	if err := m.readable(ctx); err != nil {
		return nil, err
	}
	if q.Limit < 0 {
		return nil, invalid(ErrInvalidQuery, "limit", "is %d, it must not be negative", q.Limit)
	}
	if q.Before != "" && !errorNumber(q.Before).ok {
		return nil, invalid(ErrInvalidQuery, "before", "is not the id of a reported error")
	}
	return m.find(id)
}

// errorRank orders the errors of one service. errorNumber parses it from the id.
type errorRank struct {
	born   int64
	number uint64
	ok     bool
}

func errorNumber(id string) errorRank {
	birth, number, ok := strings.Cut(id[strings.LastIndexByte(id, '/')+1:], "-e")
	born, err := strconv.ParseInt(birth, 36, 64)
	n, err2 := strconv.ParseUint(number, 10, 64)
	return errorRank{born, n, ok && err == nil && err2 == nil}
}

func (e errorRank) atLeast(other errorRank) bool {
	return e.born > other.born || e.born == other.born && e.number >= other.number
}

func newestError(a, b ErrorRecord) int {
	x, y := errorNumber(a.ID), errorNumber(b.ID)
	return cmp.Or(cmp.Compare(y.born, x.born), cmp.Compare(y.number, x.number))
}
