package boltstore

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/laneswap/laneswap"
)

// finding is what is known of a file after reading all of it.
type finding struct {
	*walk
	size   int64
	layout int // 0 when there is none
	// foreign says that there are buckets which are not ours, ours that there is
	// something sound which is.
	foreign, ours bool
	// names are those of the buckets that are there, also the empty ones.
	names map[string]bool
	// content is what is wrong with what is in the trees.
	content []string
	kinds   map[laneswap.Kind]*kindCount
	seen    int
	known   int // the layout that content is looked at by
}

// kindCount counts the entries of the trees of a kind: they have to agree.
type kindCount struct {
	ids, open, shut, services, svc int
}

// sink is given what is sound. The bytes are its to keep.
type sink struct {
	row  func(r record)
	seen func(s laneswap.Seen)
}

// inspect reads a whole file and says what it is. It gives each sound row to the
// sink, if there is one. The error is one for which the file is left alone.
func inspect(f *os.File, known int, to *sink) (*finding, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	fd := newFinding(f, info.Size(), known, to)
	if info.Size() == 0 {
		return fd, nil // just made, by us or by one that was killed then
	}
	fd.run()
	if fd.layout > known {
		return nil, fmt.Errorf("%w (layout %d, this one knows %d)", ErrNewerLayout, fd.layout, known)
	}
	if fd.foreign && !fd.ours && len(fd.structure) == 0 {
		return nil, fmt.Errorf("is a database %w", ErrForeign)
	}
	if fd.meta == nil {
		if err := foreignKind(f, info.Size(), known); err != nil {
			return nil, err
		}
	}
	fd.agree()
	return fd, nil
}

func newFinding(r io.ReaderAt, size int64, known int, to *sink) *finding {
	fd := &finding{size: size, kinds: map[laneswap.Kind]*kindCount{}, names: map[string]bool{}, known: known}
	if to == nil {
		to = &sink{row: func(record) {}, seen: func(laneswap.Seen) {}}
	}
	if size == 0 {
		fd.walk = &walk{}
		return fd
	}
	fd.walk = newWalk(r, size)
	fd.visit = func(path []string, e element) { fd.entry(path, e, to) }
	fd.enter = func(path []string) {
		// One that is empty has no entries to tell by.
		_, _, ours := kindOf(path[0])
		if len(path) == 1 {
			fd.names[path[0]] = true
		}
		fd.foreign = fd.foreign || !ours && path[0] != bucketMeta && path[0] != bucketSeen
	}
	return fd
}

// problems are the reasons to set a file aside.
func (fd *finding) problems() []string {
	if fd.layout != 0 && fd.layout < fd.known {
		return fd.structure // an older layout is looked at by its migration
	}
	return slices.Concat(fd.structure, fd.content)
}

func (fd *finding) count(kind laneswap.Kind) *kindCount {
	if fd.kinds[kind] == nil {
		fd.kinds[kind] = &kindCount{}
	}
	return fd.kinds[kind]
}

// entry looks at one entry. Rows say what they are, so a row that no tree leads
// to any more is as good as another; of other entries only those of a tree count.
func (fd *finding) entry(path []string, e element, to *sink) {
	if string(e.key) == string(keyLayout) {
		if _, err := decodeLayout(e.value); err == nil {
			fd.ours = true // under whatever name
		}
	}
	if path == nil {
		if r, err := decodeRecord(e.key, e.value); err == nil {
			to.row(r)
		} else if pack, err := decodePack(e.key, e.value); err == nil {
			for _, seen := range pack {
				to.seen(seen)
			}
		}
		return
	}
	bucket := path[0]
	prefix, kind, ours := kindOf(bucket)
	switch {
	case len(path) > 1:
		fd.foreign = true
		fd.note(&fd.content, "a bucket within %.40q", bucket)
	case bucket == bucketMeta && string(e.key) == string(keyLayout):
		version, err := decodeLayout(e.value)
		if err != nil {
			fd.note(&fd.content, "%v", err)
		}
		fd.layout = version
	case bucket == bucketMeta:
	case bucket == bucketSeen:
		pack, err := decodePack(e.key, e.value)
		if err != nil {
			fd.note(&fd.content, "%v", err)
			return
		}
		for _, seen := range pack {
			to.seen(seen)
		}
		fd.ours = true
		fd.seen += len(pack)
	case !ours:
		fd.foreign = true
		fd.note(&fd.content, "a bucket %.40q that is not known", bucket)
	case prefix == prefixIDs:
		fd.count(kind).ids++
		if _, err := decodePlace(bucket, e.key, e.value); err != nil {
			fd.note(&fd.content, "%v", err)
		}
	case prefix == prefixSvc:
		fd.count(kind).svc++
		if _, err := decodeTag(bucket, e.key, e.value); err != nil {
			fd.note(&fd.content, "%v", err)
		}
	default:
		fd.row(prefix, kind, e, to)
	}
}

func (fd *finding) row(prefix string, kind laneswap.Kind, e element, to *sink) {
	r, err := decodeRecord(e.key, e.value)
	if err != nil {
		fd.note(&fd.content, "a %s is not sound", kind)
		return
	}
	fd.ours = true
	c := fd.count(kind)
	if r.Service != "" {
		c.services++
	}
	if r.Open {
		c.open++
	} else {
		c.shut++
	}
	if r.Kind != kind || r.Open != (prefix == prefixOpen) {
		fd.note(&fd.content, "a %s is among those of %s%s", r.Kind, prefix, kind)
	}
	to.row(r)
}

// agree sees that no tree has lost or gained entries against the others.
func (fd *finding) agree() {
	for _, kind := range slices.Sorted(maps.Keys(fd.kinds)) {
		if c := fd.kinds[kind]; c.ids != c.open+c.shut || c.svc != c.services {
			fd.note(&fd.content, "%s has %d ids and %d rows, %d entries of services for %d", kind, c.ids, c.open+c.shut, c.svc, c.services)
		}
	}
	if fd.layout == 0 && fd.buckets > 0 && fd.meta != nil {
		fd.note(&fd.content, "the version of the layout is missing")
	}
	if fd.layout != 0 && !fd.names[bucketSeen] {
		fd.note(&fd.content, "the bucket of last-seen times is missing")
	}
	for _, name := range slices.Sorted(maps.Keys(fd.names)) {
		_, kind, ours := kindOf(name)
		for _, prefix := range []string{prefixIDs, prefixOpen, prefixShut, prefixSvc} {
			if ours && !fd.names[prefix+string(kind)] {
				fd.note(&fd.content, "there is a bucket %.40q and none %.40q", name, prefix+string(kind))
			}
		}
	}
}

// Report is what Check found.
type Report struct {
	Path string
	// Size is the length of the file in bytes.
	Size int64
	// Layout is the version of the file's layout, 0 when it is empty or unknown.
	Layout int
	// Pages is how many pages are used or free, FreePages how many of them are
	// free: Compact gives those back.
	Pages, FreePages int
	// Rows and Open count the rows of each kind, and those of them that are open.
	Rows, Open map[laneswap.Kind]int
	// Seen is of how many services it is noted when they were last seen.
	Seen int
	// Problems is what is wrong, the first twenty things; nil when the file is
	// sound.
	Problems []string
}

// Check reads the whole file and returns what it found; that a file is damaged is
// no error. It changes nothing. While a process has the file it is ErrInUse.
func Check(path string) (Report, error) {
	report := Report{Path: path, Rows: map[laneswap.Kind]int{}, Open: map[laneswap.Kind]int{}}
	err := resolved("check", path, report.fill)
	return report, err
}

// fill reads the file itself.
func (r *Report) fill(real string) error {
	f, err := lockFile(real, true)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	found, err := inspect(f, len(steps), nil)
	if err != nil {
		return err
	}
	r.Size, r.Layout, r.Seen = found.size, found.layout, found.seen
	r.Pages, r.FreePages = len(found.state), found.freePages
	for kind, c := range found.kinds {
		r.Rows[kind], r.Open[kind] = c.open+c.shut, c.open
	}
	r.Problems = found.problems()
	return nil
}
