package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/laneswap/laneswap"
)

// bbolt keeps no checksums of pages, so each value of this store begins with one: of
// the name of the bucket, unless the value holds it, of the key, and of the rest.
const checksumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(bucket string, key, rest []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte(bucket))
	sum = crc32.Update(sum, castagnoli, []byte{0})
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, rest)
}

// seal writes the checksum into the first bytes of value.
func seal(bucket string, key, value []byte) []byte {
	binary.BigEndian.PutUint32(value, checksum(bucket, key, value[checksumSize:]))
	return value
}

// unseal returns the rest of a value; false when its checksum is wrong.
func unseal(bucket string, key, value []byte) ([]byte, bool) {
	if len(value) < checksumSize {
		return nil, false
	}
	rest := value[checksumSize:]
	return rest, binary.BigEndian.Uint32(value) == checksum(bucket, key, rest)
}

// tag names the tree of a row. Open and closed rows are in different trees, so that
// Load reads only the former and Prune only the latter.
type tag byte

const (
	tagOpen tag = 'o'
	tagShut tag = 's'
)

func tagOf(open bool) tag {
	if open {
		return tagOpen
	}
	return tagShut
}

const timeSize = 8

// appendTime appends a time so that bytes have the order of times, also before 1970.
func appendTime(b []byte, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(at.UnixMilli())^1<<63)
}

// ceiling returns t, rounded up to a millisecond.
func ceiling(t time.Time) time.Time {
	if ms := t.Truncate(time.Millisecond); ms.Before(t) {
		return ms.Add(time.Millisecond)
	}
	return t
}

func timeOf(b []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) ^ 1<<63)).UTC()
}

// orderKey returns the key of a row among those of its kind: its time, then its id.
func orderKey(at time.Time, id string) []byte {
	return append(appendTime(make([]byte, 0, timeSize+len(id)+1), at), id...)
}

// serviceKey returns the key of a row among those of its service. Names of services
// have no NUL, so it ends the name.
func serviceKey(service string, order []byte) []byte {
	key := make([]byte, 0, len(service)+1+len(order)+1)
	return append(append(append(key, service...), 0), order...)
}

// record is a stored row. It holds its kind too, so that it can be checked and copied
// without its tree.
type record struct {
	laneswap.Row
	epoch uint64
	// seq is the number of the commit that wrote it. Of two versions of a row the one
	// with the higher number is the later.
	seq uint64
}

var errRecord = errors.New("the row is damaged")

// encode returns the value of a record under its order key.
func (r *record) encode(order []byte) []byte {
	b := make([]byte, checksumSize, checksumSize+1+4*binary.MaxVarintLen64+len(r.Kind)+len(r.Service)+len(r.Data))
	b = append(b, byte(tagOf(r.Open)))
	b = binary.AppendUvarint(b, r.seq)
	b = binary.AppendUvarint(b, r.epoch)
	b = appendString(b, string(r.Kind))
	b = appendString(b, r.Service)
	b = append(b, r.Data...)
	return seal("", order, b)
}

// decodeRecord reads a record. Its Data is a part of value.
func decodeRecord(order, value []byte) (record, error) {
	rest, ok := unseal("", order, value)
	if !ok || len(rest) == 0 || len(order) <= timeSize {
		return record{}, errRecord
	}
	var r record
	switch tag(rest[0]) {
	case tagOpen:
		r.Open = true
	case tagShut:
	default:
		return record{}, errRecord
	}
	d := decoder{rest: rest[1:]}
	r.seq, r.epoch = d.uvarint(), d.uvarint()
	r.Kind = laneswap.Kind(d.bytes())
	r.ID = string(order[timeSize:])
	if service := d.bytes(); string(service) == r.ID {
		r.Service = r.ID
	} else {
		r.Service = string(service)
	}
	r.At = timeOf(order)
	r.Data = d.rest
	if d.failed {
		return record{}, errRecord
	}
	return r, nil
}

// owned returns the row with a copy of Data, which is a part of the file.
func (r *record) owned() laneswap.Row {
	row := r.Row
	row.Data = bytes.Clone(row.Data)
	return row
}

// place is the tree and the time of the row with an id.
type place struct {
	tag tag
	at  time.Time
}

func (p place) encode(bucket string, id []byte) []byte {
	b := append(make([]byte, checksumSize, checksumSize+1+timeSize), byte(p.tag))
	return seal(bucket, id, appendTime(b, p.at))
}

func decodePlace(bucket string, id, value []byte) (place, error) {
	rest, ok := unseal(bucket, id, value)
	if !ok || len(rest) != 1+timeSize {
		return place{}, fmt.Errorf("the index entry of the row %q is damaged", id)
	}
	return place{tag: tag(rest[0]), at: timeOf(rest[1:])}, nil
}

// encodeTag returns the value of an entry in the order of services.
func encodeTag(bucket string, key []byte, t tag) []byte {
	return seal(bucket, key, append(make([]byte, checksumSize, checksumSize+1), byte(t)))
}

func decodeTag(bucket string, key, value []byte) (tag, error) {
	rest, ok := unseal(bucket, key, value)
	if !ok || len(rest) != 1 {
		return 0, fmt.Errorf("an entry of the bucket %s is damaged", bucket)
	}
	return tag(rest[0]), nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads one value after another. Once one is missing it has failed, and
// returns zero values.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.failed, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.failed, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}
