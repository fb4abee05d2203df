package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
)

// A page holds the rows that one transaction reads: so many rows, or so many bytes.
// No transaction is open while a loop runs. An open one keeps the pages that commits
// free from being used again, and a commit that has to grow the file would wait for
// it forever.
const (
	pageRows  = 512
	pageBytes = 1 << 20
)

// span is a range of keys, to be read from one end or the other.
type span struct {
	lo, hi     []byte // lo <= key < hi; nil hi is no end
	descending bool
}

// after removes the keys up to one that was read.
func (s *span) after(key []byte) {
	if s.descending {
		s.hi = bytes.Clone(key)
	} else {
		s.lo = append(bytes.Clone(key), 0) // the next key that there can be
	}
}

// within returns the span with a prefix, whose last byte is NUL, before its keys.
func (s span) within(prefix []byte) span {
	end := bytes.Clone(prefix)
	if s.hi == nil {
		end[len(end)-1]++
	} else {
		end = append(end, s.hi...)
	}
	return span{lo: append(bytes.Clone(prefix), s.lo...), hi: end, descending: s.descending}
}

// spanOf returns the range that a query selects in the order of time.
func spanOf(q laneswap.RowQuery) span {
	s := span{descending: q.Descending}
	if !q.From.IsZero() {
		s.lo = appendTime(nil, ceiling(q.From))
	}
	if !q.To.IsZero() {
		s.hi = appendTime(nil, ceiling(q.To))
	}
	if q.After != nil {
		key := orderKey(q.After.At, q.After.ID)
		switch {
		case q.Descending && (s.hi == nil || bytes.Compare(key, s.hi) < 0):
			s.hi = key
		case !q.Descending && bytes.Compare(key, s.lo) >= 0:
			s.lo = append(key, 0)
		}
	}
	return s
}

// reader reads the keys of one bucket within a span.
type reader struct {
	span
	c          *bbolt.Cursor
	key, value []byte // the current entry; nil at the end
}

func read(b *bbolt.Bucket, s span) *reader {
	r := &reader{span: s, c: b.Cursor()}
	switch {
	case !s.descending:
		r.key, r.value = r.c.Seek(s.lo)
	case s.hi == nil:
		r.key, r.value = r.c.Last()
	default:
		if r.key, _ = r.c.Seek(s.hi); r.key == nil {
			r.key, r.value = r.c.Last()
		} else {
			r.key, r.value = r.c.Prev()
		}
	}
	r.check()
	return r
}

func (r *reader) next() {
	if r.descending {
		r.key, r.value = r.c.Prev()
	} else {
		r.key, r.value = r.c.Next()
	}
	r.check()
}

func (r *reader) check() {
	if r.key == nil || bytes.Compare(r.key, r.lo) < 0 || r.hi != nil && bytes.Compare(r.key, r.hi) >= 0 {
		r.key, r.value = nil, nil
	}
}

// page gathers the rows of one transaction.
type page struct {
	rows  []laneswap.Row
	bytes int
	limit int
	full  bool // there may be more
}

func (p *page) add(r *record) {
	p.rows = append(p.rows, r.owned())
	p.bytes += len(r.Data)
	p.full = len(p.rows) == p.limit || p.bytes >= pageBytes
}

// byTime reads a page of a kind and moves the span behind it.
func (p *page) byTime(t *trees, s *span) error {
	a, b := read(t.open, *s), read(t.shut, *s)
	for !p.full {
		from := a
		if a.key == nil || b.key != nil && bytes.Compare(b.key, a.key) < 0 != s.descending {
			from = b
		}
		if from.key == nil {
			return nil
		}
		r, err := decodeRecord(from.key, from.value)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, t.kind, err)
		}
		p.add(&r)
		if p.full {
			s.after(from.key)
			return nil
		}
		from.next()
	}
	return nil
}

// byService reads a page of a service's rows of a kind.
func (p *page) byService(t *trees, s *span, service string) error {
	prefix := append([]byte(service), 0)
	for at := read(t.svc, s.within(prefix)); at.key != nil; at.next() {
		g, err := decodeTag(t.svcName, at.key, at.value)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		order := at.key[len(prefix):]
		r, err := t.get(g, order)
		if err != nil {
			return err
		}
		if p.add(&r); p.full {
			s.after(order)
			return nil
		}
	}
	return nil
}

// Rows is Storage.Rows. It reads some hundred rows in one transaction.
func (s *Store) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		at, left := spanOf(q), q.Limit
		s.pages(ctx, yield, func(tx *bbolt.Tx) (*page, error) {
			p := &page{limit: pageRows}
			if q.Limit > 0 {
				p.limit = min(left, pageRows)
			}
			t, ok := openTrees(tx, q.Kind)
			if !ok {
				return p, nil
			}
			var err error
			if q.Service == "" {
				err = p.byTime(t, &at)
			} else {
				err = p.byService(t, &at, q.Service)
			}
			if left -= len(p.rows); q.Limit > 0 && left == 0 {
				p.full = false
			}
			return p, err
		})
	}
}

// Load is Storage.Load. It reads open rows only.
func (s *Store) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		bucket, at := prefixOpen, span{}
		s.pages(ctx, yield, func(tx *bbolt.Tx) (*page, error) {
			p := &page{limit: pageRows}
			if bucket != bucketSeen {
				c := tx.Cursor()
				for name, _ := c.Seek([]byte(bucket)); strings.HasPrefix(string(name), prefixOpen); name, _ = c.Next() {
					if string(name) != bucket {
						bucket, at = string(name), span{}
					}
					if err := p.whole(tx.Bucket(name), &at); err != nil || p.full {
						return p, err
					}
				}
				bucket, at = bucketSeen, span{}
			}
			return p, p.seen(tx.Bucket([]byte(bucketSeen)), &at)
		})
	}
}

// whole reads a page of one tree.
func (p *page) whole(b *bbolt.Bucket, s *span) error {
	for at := read(b, *s); at.key != nil; at.next() {
		r, err := decodeRecord(at.key, at.value)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if p.add(&r); p.full {
			s.after(at.key)
			return nil
		}
	}
	return nil
}

// seen reads a page of packs, each as a whole.
func (p *page) seen(b *bbolt.Bucket, s *span) error {
	for at := read(b, *s); at.key != nil; at.next() {
		pack, err := decodePack(at.key, at.value)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		for _, seen := range pack {
			p.rows = append(p.rows, laneswap.Row{Kind: laneswap.KindSeen, ID: seen.Service, Service: seen.Service, At: seen.At, Open: true})
		}
		if p.full = len(p.rows) >= p.limit; p.full {
			s.after(at.key)
			return nil
		}
	}
	return nil
}

// pages yields page after page until one is not full.
func (s *Store) pages(ctx context.Context, yield func(laneswap.Row, error) bool, next func(tx *bbolt.Tx) (*page, error)) {
	for more := true; more; {
		var p *page
		if err := s.transact(ctx, false, func(tx *bbolt.Tx) (err error) {
			p, err = next(tx)
			return err
		}); err != nil {
			yield(laneswap.Row{}, err)
			return
		}
		for _, row := range p.rows {
			if err := ctx.Err(); err != nil {
				yield(laneswap.Row{}, err)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		more = p.full
	}
}
