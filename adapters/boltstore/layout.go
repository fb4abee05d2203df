package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
)

// The buckets of layout 1:
//
//	meta         "layout" -> the version; its sequence numbers the commits
//	seen         the lowest service of a pack -> up to 200 services and times
//	ids/<kind>   id -> place: which of the next two trees, and the time
//	open/<kind>  time, id -> record, of open rows
//	shut/<kind>  time, id -> record, of closed rows
//	svc/<kind>   service, NUL, time, id -> which of the two trees
//
// They are not nested because each level costs a page in each commit.
const (
	bucketMeta = "meta"
	bucketSeen = "seen"
	prefixIDs  = "ids/"
	prefixOpen = "open/"
	prefixShut = "shut/"
	prefixSvc  = "svc/"
)

var keyLayout = []byte("layout")

// ErrNewerLayout is returned when a newer version of LaneSwap has written the file,
// which this version cannot read. The file is left as it is.
var ErrNewerLayout = errors.New("the file was written by a newer version of LaneSwap; update LaneSwap")

// step migrates a layout to the next one, within one transaction.
type step func(tx *bbolt.Tx) error

// steps are all steps so far. The step at i migrates version i to i+1; an empty file
// has version 0. A released step is never changed.
var steps = []step{makeLayout1}

// makeLayout1 creates the two buckets that always exist. The buckets of a kind are
// created with its first row.
func makeLayout1(tx *bbolt.Tx) error {
	for _, name := range []string{bucketMeta, bucketSeen} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return nil
}

// migrate brings a database to the version of the last step. Each step and its
// version are one transaction, so that an interrupted migration continues.
func migrate(db *bbolt.DB, steps []step) error {
	for {
		var at int
		if err := db.View(func(tx *bbolt.Tx) (err error) {
			at, err = layoutOf(tx)
			return err
		}); err != nil {
			return err
		}
		if at > len(steps) {
			return fmt.Errorf("%w (the file has layout %d, this version reads up to %d)", ErrNewerLayout, at, len(steps))
		}
		if at == len(steps) {
			return nil
		}
		if err := db.Update(func(tx *bbolt.Tx) error {
			if err := steps[at](tx); err != nil {
				return err
			}
			meta, err := tx.CreateBucketIfNotExists([]byte(bucketMeta))
			if err != nil {
				return err
			}
			return meta.Put(keyLayout, encodeLayout(at+1))
		}); err != nil {
			return fmt.Errorf("migrate layout %d to %d: %w", at, at+1, err)
		}
	}
}

func layoutOf(tx *bbolt.Tx) (int, error) {
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil {
		return 0, nil
	}
	value := meta.Get(keyLayout)
	if value == nil {
		return 0, nil
	}
	return decodeLayout(value)
}

func encodeLayout(version int) []byte {
	return seal(bucketMeta, keyLayout, binary.AppendUvarint(make([]byte, checksumSize), uint64(version)))
}

func decodeLayout(value []byte) (int, error) {
	rest, ok := unseal(bucketMeta, keyLayout, value)
	d := decoder{rest: rest}
	version := d.uvarint()
	if !ok || d.failed || version > 1<<30 {
		return 0, errors.New("the version of the layout is damaged")
	}
	return int(version), nil
}

// trees are the buckets of one kind within a transaction.
type trees struct {
	kind                 laneswap.Kind
	ids, open, shut, svc *bbolt.Bucket
	idsName, svcName     string
}

// openTrees returns the trees of a kind; false when there are none.
func openTrees(tx *bbolt.Tx, kind laneswap.Kind) (*trees, bool) {
	t := &trees{kind: kind, idsName: prefixIDs + string(kind), svcName: prefixSvc + string(kind)}
	t.ids = tx.Bucket([]byte(t.idsName))
	t.open = tx.Bucket([]byte(prefixOpen + string(kind)))
	t.shut = tx.Bucket([]byte(prefixShut + string(kind)))
	t.svc = tx.Bucket([]byte(t.svcName))
	return t, t.ids != nil && t.open != nil && t.shut != nil && t.svc != nil
}

// makeTrees returns the trees of a kind, and creates missing ones.
func makeTrees(tx *bbolt.Tx, kind laneswap.Kind) (*trees, error) {
	if t, ok := openTrees(tx, kind); ok {
		return t, nil
	}
	for _, prefix := range []string{prefixIDs, prefixOpen, prefixShut, prefixSvc} {
		if _, err := tx.CreateBucketIfNotExists([]byte(prefix + string(kind))); err != nil {
			return nil, err
		}
	}
	t, _ := openTrees(tx, kind)
	return t, nil
}

func (t *trees) tree(g tag) *bbolt.Bucket {
	if g == tagOpen {
		return t.open
	}
	return t.shut
}

// find returns the place of an id; false when there is no such row.
func (t *trees) find(id string) (place, bool, error) {
	value := t.ids.Get([]byte(id))
	if value == nil {
		return place{}, false, nil
	}
	p, err := decodePlace(t.idsName, []byte(id), value)
	return p, err == nil, err
}

// get returns the record at a place; its Data is a part of the file.
func (t *trees) get(g tag, order []byte) (record, error) {
	r, err := decodeRecord(order, t.tree(g).Get(order))
	if err != nil {
		return r, fmt.Errorf("%w: %s of %q: %w", ErrDamaged, t.kind, order[min(timeSize, len(order)):], err)
	}
	return r, nil
}

// put stores a record. old is the stored row with its id, nil when there is none.
func (t *trees) put(r *record, old *record) error {
	order := orderKey(r.At, r.ID)
	moved := old == nil || old.Open != r.Open || !old.At.Equal(r.At)
	if old != nil && (moved || old.Service != r.Service) {
		if err := t.unlink(old, moved); err != nil {
			return err
		}
	}
	if err := t.tree(tagOf(r.Open)).Put(order, r.encode(order)); err != nil {
		return err
	}
	if moved {
		p := place{tag: tagOf(r.Open), at: r.At}
		if err := t.ids.Put([]byte(r.ID), p.encode(t.idsName, []byte(r.ID))); err != nil {
			return err
		}
	}
	if r.Service != "" && (moved || old.Service != r.Service) {
		key := serviceKey(r.Service, order)
		return t.svc.Put(key, encodeTag(t.svcName, key, tagOf(r.Open)))
	}
	return nil
}

// unlink removes a row from the order of its service and, with leave, from the order
// of time. Its id stays.
func (t *trees) unlink(old *record, leave bool) error {
	order := orderKey(old.At, old.ID)
	if old.Service != "" {
		if err := t.svc.Delete(serviceKey(old.Service, order)); err != nil {
			return err
		}
	}
	if !leave {
		return nil
	}
	return t.tree(tagOf(old.Open)).Delete(order)
}

// remove removes a row.
func (t *trees) remove(old *record) error {
	if err := t.unlink(old, true); err != nil {
		return err
	}
	return t.ids.Delete([]byte(old.ID))
}

// kindOf splits the name of a bucket of a kind.
func kindOf(bucket string) (prefix string, kind laneswap.Kind, ok bool) {
	i := strings.IndexByte(bucket, '/') + 1
	switch prefix = bucket[:i]; prefix {
	case prefixIDs, prefixOpen, prefixShut, prefixSvc:
		return prefix, laneswap.Kind(bucket[i:]), true
	}
	return "", "", false
}
