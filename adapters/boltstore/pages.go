package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// This file reads the pages of a bbolt file without bbolt. bbolt trusts its file:
// where one bit of a page number is wrong, its Check faults in a goroutine of its
// own, which ends the process, or follows a circle for ever. So walk proves that
// all pages are sound before bbolt opens them.

// The format of bbolt 2, in the byte order of the machine.
const (
	pageHeader    = 16 // id 8, flags 2, count 2, overflow 4
	elementHeader = 16 // leaf: flags 4, pos 4, key 4, value 4; branch: pos 4, key 4, page 8
	bucketHeader  = 16 // root 8, sequence 8
	metaSize      = 64
	metaMagic     = 0xED0CDAED
	metaVersion   = 2
	noFreelist    = 1<<64 - 1

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10

	minPage = 1 << 10
	maxPage = 1 << 24
)

var native = binary.NativeEndian

// meta is a meta page: the state of the file after one commit.
type meta struct {
	pageSize       int
	root, freelist uint64
	pages          uint64 // the number of pages that were ever used
	txid           uint64
}

// readMeta reads the meta page at an offset; false when it is not sound.
func readMeta(r io.ReaderAt, offset int64) (meta, bool) {
	b := make([]byte, pageHeader+metaSize)
	if _, err := r.ReadAt(b, offset); err != nil {
		return meta{}, false
	}
	b = b[pageHeader:]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	m := meta{
		pageSize: int(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		pages: native.Uint64(b[40:]), txid: native.Uint64(b[48:]),
	}
	return m, native.Uint32(b) == metaMagic && native.Uint32(b[4:]) == metaVersion && native.Uint64(b[56:]) == sum.Sum64() &&
		m.pageSize >= minPage && m.pageSize <= maxPage && m.pageSize&(m.pageSize-1) == 0
}

// readMetas returns the meta pages that are sound, the newer one first: the other
// is the state before the last commit.
func readMetas(r io.ReaderAt) []meta {
	first, ok := readMeta(r, 0)
	if !ok {
		// The second page begins where the first ends, which is not known.
		for at := int64(minPage); at <= maxPage; at *= 2 {
			if m, ok := readMeta(r, at); ok && int64(m.pageSize) == at {
				return []meta{m}
			}
		}
		return nil
	}
	second, ok := readMeta(r, int64(first.pageSize))
	switch {
	case !ok || second.pageSize != first.pageSize:
		return []meta{first}
	case second.txid > first.txid:
		return []meta{second, first}
	}
	return []meta{first, second}
}

// rawPage is one page with its overflow.
type rawPage struct {
	id    uint64
	flags uint16
	count int
	pages uint64 // 1 and the overflow
	data  []byte // all of it, header included
}

func parsePage(data []byte) rawPage {
	return rawPage{
		id: native.Uint64(data), flags: native.Uint16(data[8:]), count: int(native.Uint16(data[10:])),
		pages: 1 + uint64(native.Uint32(data[12:])), data: data,
	}
}

// readPage reads a page whose number is below limit, and none of whose pages is
// beyond it.
func readPage(r io.ReaderAt, pageSize int, id, limit uint64) (rawPage, error) {
	if id < 2 || id >= limit {
		return rawPage{}, fmt.Errorf("page %d does not exist", id)
	}
	read := func(n uint64) ([]byte, error) {
		data := make([]byte, n*uint64(pageSize))
		if _, err := r.ReadAt(data, int64(id)*int64(pageSize)); err != nil {
			return nil, fmt.Errorf("page %d cannot be read: %w", id, err)
		}
		return data, nil
	}
	data, err := read(1)
	if err != nil {
		return rawPage{}, err
	}
	p := parsePage(data)
	if p.id != id {
		return rawPage{}, fmt.Errorf("page %d has another number", id)
	}
	if p.pages > limit-id {
		return rawPage{}, fmt.Errorf("page %d is longer than the file", id)
	}
	if p.pages > 1 {
		p.data, err = read(p.pages)
	}
	return p, err
}

// element is one entry of a leaf or of a branch.
type element struct {
	bucket bool
	key    []byte
	value  []byte
	child  uint64
}

// elements returns the entries of a leaf or a branch: all within the page, and in
// order.
func (p *rawPage) elements() ([]element, error) {
	if p.flags != flagLeaf && p.flags != flagBranch {
		return nil, fmt.Errorf("page %d is neither leaf nor branch", p.id)
	}
	if pageHeader+elementHeader*p.count > len(p.data) || p.flags == flagBranch && p.count == 0 {
		return nil, fmt.Errorf("page %d has a wrong number of entries", p.id)
	}
	out := make([]element, p.count)
	for i := range out {
		at := pageHeader + elementHeader*i
		e, h := &out[i], p.data[at:at+elementHeader]
		var pos, key, value uint64
		if p.flags == flagLeaf {
			e.bucket = native.Uint32(h)&1 != 0
			pos, key, value = uint64(native.Uint32(h[4:])), uint64(native.Uint32(h[8:])), uint64(native.Uint32(h[12:]))
		} else {
			pos, key, e.child = uint64(native.Uint32(h)), uint64(native.Uint32(h[4:])), native.Uint64(h[8:])
		}
		from := uint64(at) + pos
		if from+key+value > uint64(len(p.data)) || key == 0 {
			return nil, fmt.Errorf("page %d has an entry outside of it", p.id)
		}
		e.key, e.value = p.data[from:from+key], p.data[from+key:from+key+value]
		if i > 0 && bytes.Compare(out[i-1].key, e.key) >= 0 {
			return nil, fmt.Errorf("page %d is not in order", p.id)
		}
	}
	return out, nil
}

// freePages returns the numbers on a page of free pages.
func (p *rawPage) freePages() ([]uint64, error) {
	if p.flags != flagFreelist {
		return nil, fmt.Errorf("page %d is not the list of free pages", p.id)
	}
	rest, n := p.data[pageHeader:], uint64(p.count)
	if p.count == 0xFFFF {
		n = native.Uint64(rest)
		rest = rest[8:]
	}
	if n > uint64(len(rest)/8) {
		return nil, fmt.Errorf("page %d lists more free pages than it has room for", p.id)
	}
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = native.Uint64(rest[8*i:])
	}
	return ids, nil
}
