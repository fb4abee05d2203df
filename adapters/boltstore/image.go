package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// An image is a bbolt file as it is on disk, read without bbolt. bbolt trusts its
// file: from a damaged one it reads endless loops and endless lists, which no
// recover ends. Here every number is checked before it is used.
type image struct {
	r        io.ReaderAt
	size     int64
	pageSize int
}

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

// meta is one of the two pages that say where everything begins.
type meta struct {
	pageSize       int
	root, freelist uint64
	pages          uint64 // the number of pages that were ever used
	txid           uint64
}

// readMeta reads the meta page at an offset.
func (im *image) readMeta(offset int64) (meta, error) {
	b := make([]byte, pageHeader+metaSize)
	if _, err := im.r.ReadAt(b, offset); err != nil {
		return meta{}, errors.New("cannot be read")
	}
	b = b[pageHeader:]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	m := meta{
		pageSize: int(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		pages: native.Uint64(b[40:]), txid: native.Uint64(b[48:]),
	}
	switch {
	case native.Uint32(b) != metaMagic:
		return meta{}, errors.New("is no meta page")
	case native.Uint32(b[4:]) != metaVersion:
		return meta{}, errors.New("has another version")
	case native.Uint64(b[56:]) != sum.Sum64():
		return meta{}, errors.New("has a wrong checksum")
	case m.pageSize < minPage || m.pageSize > maxPage || m.pageSize&(m.pageSize-1) != 0:
		return meta{}, errors.New("has an impossible page size")
	}
	return m, nil
}

// newImage reads the meta pages of a file. It returns the newer one that is
// sound, or nil, and what is wrong with them.
func newImage(r io.ReaderAt, size int64) (im *image, newest *meta, problems []string) {
	im = &image{r: r, size: size}
	first, err := im.readMeta(0)
	if err == nil {
		im.pageSize = first.pageSize
	} else {
		problems = append(problems, fmt.Sprintf("meta page 0 %v", err))
		for at := int64(minPage); at <= maxPage && im.pageSize == 0; at *= 2 {
			if m, err := im.readMeta(at); err == nil && int64(m.pageSize) == at {
				im.pageSize = m.pageSize
			}
		}
		if im.pageSize == 0 {
			im.pageSize = im.guessPageSize()
		}
	}
	second, err2 := im.readMeta(int64(im.pageSize))
	if err2 != nil {
		problems = append(problems, fmt.Sprintf("meta page 1 %v", err2))
	} else if second.pageSize != im.pageSize {
		err2 = errors.New("has another page size")
		problems = append(problems, fmt.Sprintf("meta page 1 %v", err2))
	}
	if err == nil {
		newest = &first
	}
	if err2 == nil && (newest == nil || second.txid > newest.txid) {
		newest = &second
	}
	return im, newest, problems
}

// guessPageSize finds the size at which most pages begin with their own number.
func (im *image) guessPageSize() int {
	best, most := os.Getpagesize(), 0
	for size := minPage; size <= 1<<16; size *= 2 {
		found := 0
		for id := int64(2); id < 64 && (id+1)*int64(size) <= im.size; id++ {
			var b [8]byte
			if _, err := im.r.ReadAt(b[:], id*int64(size)); err == nil && native.Uint64(b[:]) == uint64(id) {
				found++
			}
		}
		if found > most {
			best, most = size, found
		}
	}
	return best
}

// wholePages is how many pages the file has room for.
func (im *image) wholePages() uint64 { return uint64(im.size) / uint64(im.pageSize) }

// rawPage is one page with those that it runs over to.
type rawPage struct {
	id    uint64
	flags uint16
	count int
	pages uint64 // 1 and the overflow
	data  []byte // all of it, header included
	stray bool   // it says that it is another: it was changed, or written to the wrong place
}

// readPage reads a page below limit. A page that is not what it should be is
// returned as far as it goes, with an error.
func (im *image) readPage(id, limit uint64) (rawPage, error) {
	limit = min(limit, im.wholePages())
	if id < 2 || id >= limit {
		return rawPage{}, fmt.Errorf("page %d is beyond the end", id)
	}
	data := make([]byte, im.pageSize)
	if _, err := im.r.ReadAt(data, int64(id)*int64(im.pageSize)); err != nil {
		return rawPage{}, fmt.Errorf("page %d cannot be read", id)
	}
	p := parseHeader(data)
	var err error
	if p.id != id {
		p.stray = true
		err = fmt.Errorf("page %d says that it is another", id)
	}
	if p.pages > limit-id {
		err = fmt.Errorf("page %d runs over the end", id)
		p.pages = 1
	}
	if p.pages > 1 {
		p.data = make([]byte, p.pages*uint64(im.pageSize))
		if _, e := im.r.ReadAt(p.data, int64(id)*int64(im.pageSize)); e != nil {
			p.data, err = data, fmt.Errorf("page %d cannot be read", id)
		}
	}
	p.id = id
	return p, err
}

func parseHeader(data []byte) rawPage {
	return rawPage{
		id: native.Uint64(data), flags: native.Uint16(data[8:]), count: int(native.Uint16(data[10:])),
		pages: 1 + uint64(native.Uint32(data[12:])), data: data,
	}
}

// element is one entry of a leaf or of a branch.
type element struct {
	bucket bool
	key    []byte
	value  []byte
	child  uint64
}

// elements reads the entries of a leaf or a branch: all that lie within the page.
// bbolt writes entries one behind another and in order, so everything else is an
// error, which is returned besides.
func (p *rawPage) elements() ([]element, error) {
	if p.flags != flagLeaf && p.flags != flagBranch {
		return nil, fmt.Errorf("page %d is neither leaf nor branch", p.id)
	}
	var err error
	fail := func(format string) {
		if err == nil {
			err = fmt.Errorf(format, p.id)
		}
	}
	out := make([]element, 0, min(p.count, len(p.data)/elementHeader))
	next := pageHeader + elementHeader*p.count
	for i := range p.count {
		at := pageHeader + elementHeader*i
		if at+elementHeader > len(p.data) {
			fail("page %d counts more entries than it holds")
			break
		}
		h := p.data[at : at+elementHeader]
		var e element
		var pos, key, value uint64
		if p.flags == flagLeaf {
			flags := native.Uint32(h)
			if e.bucket = flags == 1; flags > 1 {
				fail("page %d has an entry of no kind")
			}
			pos, key, value = uint64(native.Uint32(h[4:])), uint64(native.Uint32(h[8:])), uint64(native.Uint32(h[12:]))
		} else {
			pos, key, e.child = uint64(native.Uint32(h)), uint64(native.Uint32(h[4:])), native.Uint64(h[8:])
		}
		from := uint64(at) + pos
		if from != uint64(next) {
			fail("page %d has entries that are not one behind another")
		}
		if from+key+value > uint64(len(p.data)) || key == 0 {
			fail("page %d has an entry that is not within it")
			continue
		}
		e.key, e.value = p.data[from:from+key], p.data[from+key:from+key+value]
		next = int(from + key + value)
		if len(out) > 0 && bytes.Compare(out[len(out)-1].key, e.key) >= 0 {
			fail("page %d is out of order")
		}
		out = append(out, e)
	}
	return out, err
}

// inline reads the entries of a bucket that is so small that it lies within its
// entry.
func (e *element) inline() ([]element, error) {
	if len(e.value) < bucketHeader+pageHeader {
		return nil, fmt.Errorf("bucket %.40q is cut", e.key)
	}
	p := parseHeader(e.value[bucketHeader:])
	if p.flags != flagLeaf || p.id != 0 || p.pages != 1 {
		return nil, fmt.Errorf("bucket %.40q is not sound", e.key)
	}
	return p.elements()
}

// root is the root page of a bucket, 0 when it is inline.
func (e *element) root() (uint64, error) {
	if len(e.value) < bucketHeader {
		return 0, fmt.Errorf("bucket %.40q is cut", e.key)
	}
	root := native.Uint64(e.value)
	if root != 0 && len(e.value) != bucketHeader {
		return 0, fmt.Errorf("bucket %.40q is not sound", e.key)
	}
	return root, nil
}

// freelist reads the numbers on a page of free pages.
func (p *rawPage) freelist() ([]uint64, error) {
	if p.flags != flagFreelist {
		return nil, fmt.Errorf("page %d is no list of free pages", p.id)
	}
	rest, n := p.data[pageHeader:], uint64(p.count)
	if p.count == 0xFFFF {
		n = native.Uint64(rest)
		rest = rest[8:]
	}
	if n > uint64(len(rest)/8) {
		return nil, fmt.Errorf("page %d lists more free pages than it holds", p.id)
	}
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = native.Uint64(rest[8*i:])
	}
	return ids, nil
}
