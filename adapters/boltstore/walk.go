package boltstore

import (
	"bytes"
	"fmt"
	"io"
)

// maxDepth bounds a tree: each level has at least two entries for one above it.
const maxDepth = 60

// maxProblems bounds what is told of a damaged file.
const maxProblems = 20

// What is known of a page.
const (
	pageUnknown = iota
	pageRead    // it is where a tree says, and sound
	pageBad     // a tree leads to it, and it is not sound
	pageFree
)

// walk goes through an image as bbolt would: from the meta page along every tree.
type walk struct {
	*image
	meta  *meta // nil when there is none to begin at
	state []byte
	// structure is what is wrong with pages and trees.
	structure []string
	// visit is given each entry of each bucket that is no bucket itself.
	visit func(path []string, e element)
	// enter is told of each bucket, before its entries are visited.
	enter func(path []string)
	// lost says that a tree leads to what cannot be read, or not as a whole.
	lost bool
	// freeKnown says that the list of free pages is there, and sound.
	freeKnown bool
	// oneMeta says that one of the two meta pages is not sound.
	oneMeta   bool
	buckets   int
	freePages int
}

func newWalk(r io.ReaderAt, size int64) *walk {
	im, m, problems := newImage(r, size)
	w := &walk{image: im, meta: m, structure: problems, oneMeta: len(problems) > 0}
	pages := im.wholePages()
	if m != nil {
		if m.pages > pages {
			w.note(&w.structure, "the file is cut: it has %d of %d pages", pages, m.pages)
		} else {
			pages = m.pages
		}
	}
	w.state = make([]byte, max(pages, 2))
	w.state[0], w.state[1] = pageRead, pageRead
	return w
}

func (w *walk) note(list *[]string, format string, args ...any) {
	if len(*list) < maxProblems {
		*list = append(*list, fmt.Sprintf(format, args...))
	}
}

// pages is the number of pages that the walk knows of.
func (w *walk) pages() uint64 { return uint64(len(w.state)) }

// run walks. Afterwards the state of each page is known.
func (w *walk) run() {
	if w.meta == nil {
		return
	}
	w.tree(w.meta.root, nil, nil, nil, 0)
	w.readFree()
	for id, state := range w.state {
		if state == pageUnknown && w.freeKnown {
			w.note(&w.structure, "page %d is neither used nor free", id)
		}
	}
}

// take reads a page that something leads to, once.
func (w *walk) take(id uint64) (rawPage, error) {
	p, err := w.readPage(id, w.pages())
	if err != nil {
		if id < w.pages() && w.state[id] == pageUnknown {
			w.state[id] = pageBad
		}
		return p, err
	}
	for i := id; i < id+p.pages; i++ {
		if w.state[i] != pageUnknown {
			return p, fmt.Errorf("page %d is used twice", i)
		}
	}
	for i := id; i < id+p.pages; i++ {
		w.state[i] = pageRead
	}
	return p, nil
}

// lose notes that a part of a tree is lost.
func (w *walk) lose(err error) {
	w.lost = true
	w.note(&w.structure, "%v", err)
}

// tree walks along the tree at a page, whose keys are all lo <= key < hi.
func (w *walk) tree(id uint64, path []string, lo, hi []byte, depth int) {
	if depth > maxDepth {
		w.lose(fmt.Errorf("page %d is too deep", id))
		return
	}
	p, err := w.take(id)
	if err != nil {
		w.lose(err)
		return
	}
	elements, err := p.elements()
	if err == nil && len(elements) > 0 {
		first, last := elements[0].key, elements[len(elements)-1].key
		if bytes.Compare(first, lo) < 0 || hi != nil && bytes.Compare(last, hi) >= 0 {
			err = fmt.Errorf("page %d is not where it belongs", id)
		}
	}
	if err == nil && len(elements) == 0 && p.flags == flagBranch {
		err = fmt.Errorf("page %d leads nowhere", id)
	}
	if err != nil {
		w.lose(err)
	}
	if p.flags == flagLeaf {
		w.leaf(elements, path)
		return
	}
	for i, e := range elements {
		end := hi
		if i+1 < len(elements) {
			end = elements[i+1].key
		}
		if err != nil {
			// Where the keys of a branch are not to be trusted, those below it are
			// still sound by themselves.
			e.key, end = nil, nil
		}
		w.tree(e.child, path, e.key, end, depth+1)
	}
}

// leaf visits entries and walks along the buckets among them.
func (w *walk) leaf(elements []element, path []string) {
	for _, e := range elements {
		if !e.bucket {
			w.visit(path, e)
			continue
		}
		w.buckets++
		inner := append(path[:len(path):len(path)], string(e.key))
		w.enter(inner)
		root, err := e.root()
		if err != nil {
			w.lose(err)
			continue
		}
		if root != 0 {
			if len(inner) <= maxDepth {
				w.tree(root, inner, nil, nil, 0)
			}
			continue
		}
		elements, err := e.inline()
		if err != nil {
			w.lose(err)
		}
		for _, e := range elements {
			if e.bucket {
				w.note(&w.structure, "bucket %.40q holds what it cannot", inner[len(inner)-1])
				continue
			}
			w.visit(inner, e)
		}
	}
}

// readFree reads the list of free pages. It is sound when all of them can be
// free.
func (w *walk) readFree() {
	if w.meta.freelist == noFreelist {
		return
	}
	p, err := w.take(w.meta.freelist)
	var ids []uint64
	if err == nil {
		ids, err = p.freelist()
	}
	if err != nil {
		w.note(&w.structure, "%v", err)
		return
	}
	w.freeKnown = true
	for _, id := range ids {
		switch {
		case id < 2 || id >= w.meta.pages:
			w.freeKnown = false
			w.note(&w.structure, "page %d is free and cannot be", id)
		case id >= w.pages(): // cut off, and no loss
		case w.state[id] == pageUnknown:
			w.state[id] = pageFree
			w.freePages++
		default:
			w.freeKnown = false
			w.note(&w.structure, "page %d is free and used", id)
		}
	}
}

// rest visits the entries of the leaves that no tree leads to any more, if any of
// a tree is lost. Where it is not known which pages are free, free ones are among
// them, with rows as they were before: it returns false then, as it does when a page
// says that it is another one, which may be such an outdated one.
func (w *walk) rest() bool {
	if w.meta != nil && !w.lost {
		return true
	}
	strays := 0
	for id := uint64(2); id < w.pages(); id++ {
		if w.state[id] == pageRead || w.state[id] == pageFree && w.freeKnown {
			continue
		}
		p, err := w.readPage(id, w.pages())
		if p.flags != flagLeaf {
			continue
		}
		elements, err2 := p.elements()
		w.orphans(elements)
		if p.stray && len(elements) > 0 {
			strays++
		}
		if err == nil && err2 == nil {
			// What a page runs over to is no page, whatever it looks like.
			id += p.pages - 1
		}
	}
	return w.meta != nil && w.freeKnown && strays == 0
}

func (w *walk) orphans(elements []element) {
	for _, e := range elements {
		if !e.bucket {
			w.visit(nil, e)
			continue
		}
		if root, err := e.root(); err != nil || root != 0 {
			continue // its pages are found by themselves
		}
		inner, _ := e.inline()
		for _, e := range inner {
			if !e.bucket {
				w.visit(nil, e)
			}
		}
	}
}
