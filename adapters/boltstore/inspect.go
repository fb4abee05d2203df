package boltstore

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/laneswap/laneswap"
)

// inspection is what is known of a file after reading all of it.
type inspection struct {
	walk
	size   int64
	layout int // 0 when there is none
	// foreign says that there are buckets of another program, ours that there is
	// something sound which LaneSwap has written.
	foreign, ours bool
	buckets       map[string]bool // their names, also of empty ones
	unsound       []string        // what is wrong with entries
	kinds         map[laneswap.Kind]*kindCount
	seen          int
	known         int // the latest layout that this version knows
	noMeta        bool
	oneMeta       bool  // only one meta page is sound: the last commit may be missing
	before        *meta // the state before the last commit, if its meta page is sound
}

// kindCount counts the entries in the trees of a kind. The counts have to agree.
type kindCount struct {
	ids, open, shut, services, svc int
}

// sink receives what is sound. The bytes are the sink's to keep.
type sink struct {
	row  func(r record)
	seen func(s laneswap.Seen)
}

// inspect reads a whole file, and passes each sound row to the sink, if there is
// one. It returns an error when the file is not one that may be set aside.
func inspect(f *os.File, known int, to *sink) (*inspection, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	in := inspectAll(f, info.Size(), known, to)
	switch {
	case in.layout > known:
		return nil, fmt.Errorf("%w (the file has layout %d, this version reads up to %d)", ErrNewerLayout, in.layout, known)
	case in.foreign && !in.ours && len(in.damaged) == 0:
		return nil, fmt.Errorf("%w: it has buckets that are not of LaneSwap", ErrForeign)
	case in.noMeta:
		if err := foreignKind(f, info.Size()); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// inspectAll inspects any bytes. An empty file is sound: it was just made, by us or
// by a process that was killed then.
func inspectAll(r io.ReaderAt, size int64, known int, to *sink) *inspection {
	if size == 0 {
		return &inspection{known: known}
	}
	metas := readMetas(r)
	if len(metas) == 0 {
		return &inspection{size: size, known: known, noMeta: true, walk: walk{damaged: []string{"both meta pages are damaged"}}}
	}
	in := inspectFrom(metas[0], r, size, known, to)
	if len(metas) == 1 {
		in.oneMeta = true
		in.damage(fmt.Errorf("a meta page is damaged"))
	} else {
		in.before = &metas[1]
	}
	return in
}

// inspectFrom inspects the state that a meta page leads to.
func inspectFrom(m meta, r io.ReaderAt, size int64, known int, to *sink) *inspection {
	if to == nil {
		to = &sink{row: func(record) {}, seen: func(laneswap.Seen) {}}
	}
	in := &inspection{
		walk: walk{meta: m, r: r}, size: size, known: known,
		kinds: map[laneswap.Kind]*kindCount{}, buckets: map[string]bool{},
	}
	in.enter = in.bucketEntered
	in.visit = func(path []string, key, value []byte) { in.entry(path, key, value, to) }
	in.run(size)
	in.compare()
	return in
}

// problems are the reasons to set a file aside.
func (in *inspection) problems() []string {
	if in.layout != 0 && in.layout < in.known {
		return in.damaged // the entries of an older layout are read by its migration
	}
	return slices.Concat(in.damaged, in.unsound)
}

func (in *inspection) note(format string, args ...any) {
	in.unsound = noted(in.unsound, fmt.Sprintf(format, args...))
}

func (in *inspection) count(kind laneswap.Kind) *kindCount {
	if in.kinds[kind] == nil {
		in.kinds[kind] = &kindCount{}
	}
	return in.kinds[kind]
}

func (in *inspection) bucketEntered(path []string) {
	if len(path) > 1 {
		in.foreign = true
		in.note("there is a bucket within the bucket %.40q", path[0])
		return
	}
	in.buckets[path[0]] = true
	if _, _, ours := kindOf(path[0]); !ours && path[0] != bucketMeta && path[0] != bucketSeen {
		in.foreign = true
		in.note("the bucket %.40q is not of LaneSwap", path[0])
	}
}

// entry looks at one entry.
func (in *inspection) entry(path []string, key, value []byte, to *sink) {
	if string(key) == string(keyLayout) {
		if _, err := decodeLayout(value); err == nil {
			in.ours = true // whatever the bucket is called
		}
	}
	if len(path) != 1 {
		in.note("there is an entry outside of the buckets")
		return
	}
	bucket := path[0]
	prefix, kind, ours := kindOf(bucket)
	var err error
	switch {
	case bucket == bucketMeta && string(key) == string(keyLayout):
		in.layout, err = decodeLayout(value)
	case bucket == bucketSeen:
		var pack []laneswap.Seen
		if pack, err = decodePack(key, value); err == nil {
			in.ours = true
			in.seen += len(pack)
			for _, seen := range pack {
				to.seen(seen)
			}
		}
	case !ours:
	case prefix == prefixIDs:
		in.count(kind).ids++
		_, err = decodePlace(bucket, key, value)
	case prefix == prefixSvc:
		in.count(kind).svc++
		_, err = decodeTag(bucket, key, value)
	default:
		err = in.row(prefix, kind, key, value, to)
	}
	if err != nil {
		in.note("%v", err)
	}
}

func (in *inspection) row(prefix string, kind laneswap.Kind, key, value []byte, to *sink) error {
	r, err := decodeRecord(key, value)
	if err != nil {
		return fmt.Errorf("a row of kind %s is damaged", kind)
	}
	in.ours = true
	c := in.count(kind)
	if r.Service != "" {
		c.services++
	}
	if r.Open {
		c.open++
	} else {
		c.shut++
	}
	to.row(r)
	if r.Kind != kind || r.Open != (prefix == prefixOpen) {
		return fmt.Errorf("a row of kind %s is in the bucket %s%s", r.Kind, prefix, kind)
	}
	return nil
}

// compare notes where one tree has lost or gained entries against the others.
func (in *inspection) compare() {
	for _, kind := range slices.Sorted(maps.Keys(in.kinds)) {
		if c := in.kinds[kind]; c.ids != c.open+c.shut || c.svc != c.services {
			in.note("kind %s has %d rows and %d ids; %d rows have a service, %d are listed by service", kind, c.open+c.shut, c.ids, c.services, c.svc)
		}
	}
	if in.layout == 0 && len(in.buckets) > 0 {
		in.note("the version of the layout is missing")
	}
	if in.layout != 0 && !in.buckets[bucketSeen] {
		in.note("the bucket %q is missing", bucketSeen)
	}
	for _, name := range slices.Sorted(maps.Keys(in.buckets)) {
		_, kind, ours := kindOf(name)
		for _, prefix := range []string{prefixIDs, prefixOpen, prefixShut, prefixSvc} {
			if ours && !in.buckets[prefix+string(kind)] {
				in.note("the bucket %.40q is missing", prefix+string(kind))
			}
		}
	}
}

// Report is the result of Check.
type Report struct {
	Path string
	// Size is the length of the file in bytes.
	Size int64
	// Layout is the version of the file's layout, 0 when it is empty or unknown.
	Layout int
	// Pages is the number of pages, FreePages how many of them are free. Compact
	// gives free pages back to the system.
	Pages, FreePages int
	// Rows and Open count the rows of each kind, and those of them that are open.
	Rows, Open map[laneswap.Kind]int
	// Seen is the number of services with a last-seen time.
	Seen int
	// Problems lists what is wrong, at most 40 entries. It is nil when the file is
	// sound.
	Problems []string
}

// Check reads the whole file and reports what is in it. A damaged file is not an
// error: see Report.Problems. Check changes nothing. It returns ErrInUse while a
// process has the file open.
func Check(path string) (Report, error) {
	report := Report{Path: path, Rows: map[laneswap.Kind]int{}, Open: map[laneswap.Kind]int{}}
	err := resolved("check", path, report.fill)
	return report, err
}

// fill reads the file at a path without links.
func (r *Report) fill(real string) error {
	f, err := lockFile(real, true)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	in, err := inspect(f, len(steps), nil)
	if err != nil {
		return err
	}
	r.Size, r.Layout, r.Seen = in.size, in.layout, in.seen
	r.Pages, r.FreePages = len(in.walk.known), in.free
	for kind, c := range in.kinds {
		r.Rows[kind], r.Open[kind] = c.open+c.shut, c.open
	}
	r.Problems = in.problems()
	return nil
}
