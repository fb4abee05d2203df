package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
)

// packSize bounds the services in a pack: 100,000 of them are 500 values, which take a
// twentieth of the work and a sixth of the space of a row each.
const packSize = 200

// lowest is the key of the first pack, before every service.
const lowest = "\x00"

// encodePack packs services in order, under a key that is not above the first.
func encodePack(key []byte, pack []laneswap.Seen) []byte {
	base := pack[0].At
	for _, seen := range pack {
		if seen.At.Before(base) {
			base = seen.At
		}
	}
	b := make([]byte, checksumSize, checksumSize+2+timeSize+len(pack)*24)
	b = binary.AppendUvarint(b, uint64(len(pack)))
	b = appendTime(b, base)
	for _, seen := range pack {
		b = appendString(b, seen.Service)
		b = binary.AppendUvarint(b, uint64(seen.At.UnixMilli()-base.UnixMilli()))
	}
	return seal(bucketSeen, key, b)
}

func decodePack(key, value []byte) ([]laneswap.Seen, error) {
	rest, ok := unseal(bucketSeen, key, value)
	if !ok {
		return nil, errors.New("a pack of last-seen times is damaged")
	}
	d := decoder{rest: rest}
	n := d.uvarint()
	if d.failed || len(d.rest) < timeSize || n > uint64(len(rest)) {
		return nil, errors.New("a pack of last-seen times is cut off")
	}
	base := timeOf(d.rest).UnixMilli()
	d.rest = d.rest[timeSize:]
	names := string(d.rest) // one piece of memory for all of them
	pack := make([]laneswap.Seen, 0, n+1)
	for range n {
		length := len(d.bytes())
		end := len(names) - len(d.rest)
		pack = append(pack, laneswap.Seen{Service: names[end-length : end], At: time.UnixMilli(base + int64(d.uvarint())).UTC()})
	}
	if d.failed {
		return nil, errors.New("a pack of last-seen times is cut off")
	}
	return pack, nil
}

func byService(a, b laneswap.Seen) int { return strings.Compare(a.Service, b.Service) }

// note deletes the times of the forgotten services, and then stores those of seen.
func note(tx *bbolt.Tx, seen []laneswap.Seen, forgotten []string) error {
	if len(seen)+len(forgotten) == 0 {
		return nil
	}
	slices.SortFunc(seen, byService)
	slices.Sort(forgotten)
	bucket := tx.Bucket([]byte(bucketSeen))
	for len(seen)+len(forgotten) > 0 {
		first := ""
		if len(seen) > 0 {
			first = seen[0].Service
		}
		if len(forgotten) > 0 && (first == "" || forgotten[0] < first) {
			first = forgotten[0]
		}
		key, end, pack, err := packOf(bucket, first)
		if err != nil {
			return err
		}
		var noted []laneswap.Seen
		var gone []string
		noted, seen = cutAt(seen, end, func(s laneswap.Seen) string { return s.Service })
		gone, forgotten = cutAt(forgotten, end, func(s string) string { return s })
		if err := repack(bucket, key, pack, merge(pack, noted, gone)); err != nil {
			return err
		}
	}
	return nil
}

// packOf returns the pack of a service, its key, and the key of the next pack, "" when
// it is the last.
func packOf(bucket *bbolt.Bucket, service string) (key []byte, end string, pack []laneswap.Seen, err error) {
	c := bucket.Cursor()
	k, v := c.Seek([]byte(service))
	if string(k) != service || k == nil {
		end = string(k)
		if k == nil {
			k, v = c.Last()
		} else {
			k, v = c.Prev()
		}
	} else if next, _ := c.Next(); next != nil {
		end = string(next)
	}
	if k == nil {
		return []byte(lowest), end, nil, nil
	}
	pack, err = decodePack(k, v)
	if err != nil {
		return nil, "", nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return slices.Clone(k), end, pack, nil
}

// cutAt splits a sorted list before the first item that is not below end.
func cutAt[T any](list []T, end string, name func(T) string) (before, rest []T) {
	if end == "" {
		return list, nil
	}
	i, _ := slices.BinarySearchFunc(list, end, func(item T, end string) int { return strings.Compare(name(item), end) })
	return list[:i], list[i:]
}

// merge returns a pack without the services that are gone and with those noted. All
// lists are sorted; of several times of a service the latest stays.
func merge(pack, noted []laneswap.Seen, gone []string) []laneswap.Seen {
	out := make([]laneswap.Seen, 0, len(pack)+len(noted))
	add := func(seen laneswap.Seen) {
		if last := len(out) - 1; last >= 0 && out[last].Service == seen.Service {
			if out[last].At.Before(seen.At) {
				out[last].At = seen.At
			}
			return
		}
		out = append(out, seen)
	}
	for _, old := range pack {
		for len(noted) > 0 && noted[0].Service < old.Service {
			add(noted[0])
			noted = noted[1:]
		}
		for len(gone) > 0 && gone[0] < old.Service {
			gone = gone[1:]
		}
		if len(gone) == 0 || gone[0] != old.Service {
			add(old)
		}
	}
	for _, seen := range noted {
		add(seen)
	}
	return out
}

// repack stores a changed pack, split where it is too large.
func repack(bucket *bbolt.Bucket, key []byte, old, now []laneswap.Seen) error {
	if slices.Equal(old, now) {
		return nil
	}
	if len(now) == 0 {
		return bucket.Delete(key)
	}
	packs := (len(now) + packSize - 1) / packSize
	size := (len(now) + packs - 1) / packs
	for part := range slices.Chunk(now, size) {
		if err := bucket.Put(key, encodePack(key, part)); err != nil {
			return err
		}
		if now = now[len(part):]; len(now) > 0 {
			key = []byte(now[0].Service)
		}
	}
	return nil
}
