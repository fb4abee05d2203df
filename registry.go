package laneswap

import (
	"slices"
	"sync"
)

// registry finds records by id, and records with generated ids by name. Lock order:
// registry.mu, then record.mu.
type registry struct {
	mu     sync.RWMutex // guards what follows
	byID   map[ServiceID]*record
	byName map[string][]*record // generated ids only
	sorted []ServiceID          // nil when it is out of date; never changed in place
	listed []*record            // all, in the order of their creation; readers share it
	stale  bool                 // listed still has records that were deleted
}

func newRegistry() *registry {
	return &registry{byID: map[ServiceID]*record{}, byName: map[string][]*record{}}
}

func (g *registry) get(id ServiceID) *record {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.byID[id]
}

// ids returns all ids in order. The slice is shared: do not change it.
func (g *registry) ids() []ServiceID {
	g.mu.RLock()
	sorted := g.sorted
	g.mu.RUnlock()
	if sorted != nil {
		return sorted
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sorted == nil {
		g.sorted = make([]ServiceID, 0, len(g.byID))
		for id := range g.byID {
			g.sorted = append(g.sorted, id)
		}
		slices.Sort(g.sorted)
	}
	return g.sorted
}

// all returns all records in the order of their creation. The slice is shared: do not
// change it.
func (g *registry) all() []*record {
	g.mu.RLock()
	listed, stale := g.listed, g.stale
	g.mu.RUnlock()
	if !stale {
		return listed
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stale {
		g.compact()
	}
	return g.listed
}

// compact drops the deleted records from the list. Readers keep the old list. mu is held
// for writing.
func (g *registry) compact() {
	kept := make([]*record, 0, len(g.byID))
	for _, r := range g.listed {
		if g.byID[r.id] == r {
			kept = append(kept, r)
		}
	}
	g.listed, g.stale = kept, false
}

// put adds a record. mu is held for writing.
func (g *registry) put(r *record) {
	g.byID[r.id] = r
	g.listed = append(g.listed, r) // behind what readers have of it
	g.sorted = nil
	g.addName(r)
}

// addName adds a record under its name. mu is held for writing.
func (g *registry) addName(r *record) {
	if r.generatedID {
		g.byName[r.reg.Name] = append(g.byName[r.reg.Name], r)
	}
}

// removeName removes a record from its name. mu is held for writing.
func (g *registry) removeName(r *record) {
	if !r.generatedID {
		return
	}
	named := slices.DeleteFunc(g.byName[r.reg.Name], func(other *record) bool { return other == r })
	if len(named) == 0 {
		delete(g.byName, r.reg.Name)
		return
	}
	g.byName[r.reg.Name] = named
}

// delete removes a record. mu is held for writing.
func (g *registry) delete(r *record) {
	g.removeName(r)
	delete(g.byID, r.id)
	g.sorted, g.stale = nil, true
	if len(g.listed) > 2*len(g.byID)+64 {
		g.compact() // no reader may come and do it
	}
}
