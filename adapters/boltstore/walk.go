package boltstore

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// maxProblems bounds the list of problems of a damaged file.
const maxProblems = 20

// walk follows the trees of a file from one of its meta pages, as bbolt would. It
// skips what is not sound, with all that only this leads to.
type walk struct {
	meta
	r       io.ReaderAt
	known   []bool   // by page: it is in use or free
	free    int      // the number of free pages
	damaged []string // what is wrong with pages and trees
	lost    bool     // entries were skipped

	enter func(path []string)                    // is called for each bucket, before its entries
	visit func(path []string, key, value []byte) // is called for each entry that is no bucket
}

// run walks. size is that of the file.
func (w *walk) run(size int64) {
	pages := min(w.pages, uint64(size)/uint64(w.pageSize))
	if w.pages > pages {
		w.damage(fmt.Errorf("the file is cut off: it has %d of %d pages", pages, w.pages))
	}
	w.known = make([]bool, max(pages, 2))
	w.known[0], w.known[1] = true, true
	w.tree(w.root, nil, nil, nil)
	if w.freelist == noFreelist {
		return
	}
	err := w.readFreelist()
	if err == nil && !w.lost {
		if i := slices.Index(w.known, false); i >= 0 {
			err = fmt.Errorf("page %d is neither in use nor free", i)
		}
	}
	if err != nil {
		w.damage(err)
	}
}

func (w *walk) damage(err error) { w.damaged = noted(w.damaged, err.Error()) }

func noted(list []string, problem string) []string {
	if len(list) < maxProblems {
		list = append(list, problem)
	}
	return list
}

// lose notes that a part of a tree cannot be read.
func (w *walk) lose(err error) {
	w.lost = true
	w.damage(err)
}

// take reads a page that a tree leads to. No page is taken twice, so that a walk
// ends.
func (w *walk) take(id uint64) (rawPage, error) {
	p, err := readPage(w.r, w.pageSize, id, uint64(len(w.known)))
	if err != nil {
		return p, err
	}
	taken := w.known[id : id+p.pages]
	if slices.Contains(taken, true) {
		return p, fmt.Errorf("page %d is in use twice", id)
	}
	for i := range taken {
		taken[i] = true
	}
	return p, nil
}

// tree walks along the tree at a page, whose keys must all be lo <= key < hi.
func (w *walk) tree(id uint64, path []string, lo, hi []byte) {
	p, err := w.take(id)
	var elements []element
	if err == nil {
		elements, err = p.elements()
	}
	if n := len(elements); n > 0 && (bytes.Compare(elements[0].key, lo) < 0 || hi != nil && bytes.Compare(elements[n-1].key, hi) >= 0) {
		err = fmt.Errorf("page %d is in the wrong place of its tree", id)
	}
	switch {
	case err != nil:
		w.lose(err)
	case p.flags == flagLeaf:
		w.leaf(elements, path)
	default:
		for i, e := range elements {
			end := hi
			if i+1 < len(elements) {
				end = elements[i+1].key
			}
			w.tree(e.child, path, e.key, end)
		}
	}
}

// leaf visits entries, and walks along the buckets among them.
func (w *walk) leaf(elements []element, path []string) {
	for _, e := range elements {
		if !e.bucket {
			w.visit(path, e.key, e.value)
			continue
		}
		inner := append(slices.Clip(path), string(e.key))
		w.enter(inner)
		if err := w.bucket(e.value, inner); err != nil {
			w.lose(fmt.Errorf("bucket %.40q: %w", e.key, err))
		}
	}
}

// bucket walks along a bucket. A small one has no pages: it lies within its value.
func (w *walk) bucket(value []byte, path []string) error {
	if len(value) < bucketHeader {
		return fmt.Errorf("its header is cut off")
	}
	if root := native.Uint64(value); root != 0 {
		w.tree(root, path, nil, nil)
		return nil
	}
	if len(value) < bucketHeader+pageHeader {
		return fmt.Errorf("its page is cut off")
	}
	p := parsePage(value[bucketHeader:])
	elements, err := p.elements()
	if err != nil || p.flags != flagLeaf {
		return fmt.Errorf("its page is not sound")
	}
	w.leaf(elements, path)
	return nil
}

// readFreelist marks the free pages: bbolt would write over one that is in use.
func (w *walk) readFreelist() error {
	p, err := w.take(w.freelist)
	if err != nil {
		return err
	}
	ids, err := p.freePages()
	if err != nil {
		return err
	}
	for _, id := range ids {
		switch {
		case id < 2 || id >= w.pages:
			return fmt.Errorf("page %d is free and does not exist", id)
		case id >= uint64(len(w.known)): // cut off, which is no loss
		case w.known[id]:
			return fmt.Errorf("page %d is both free and in use", id)
		default:
			w.known[id] = true
			w.free++
		}
	}
	return nil
}
