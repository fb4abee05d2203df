package laneswap

import (
	"slices"
	"sync"
)

// registry finds records by id, and those with made-up ids by name. Lock order:
// registry.mu, then record.mu.
type registry struct {
	mu     sync.RWMutex // guards what follows
	byID   map[ServiceID]*record
	byName map[string][]*record // made-up ids only
	sorted []ServiceID          // nil when it must be made again; never changed in place
	listed []*record            // the same, in any order
}

func newRegistry() *registry {
	return &registry{byID: map[ServiceID]*record{}, byName: map[string][]*record{}}
}

func (g *registry) get(id ServiceID) *record {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.byID[id]
}

// ids returns all ids in order. The slice is shared: nobody changes it.
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

// all returns all records in any order. The slice is shared: nobody changes it.
func (g *registry) all() []*record {
	g.mu.RLock()
	listed := g.listed
	g.mu.RUnlock()
	if listed != nil {
		return listed
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listed == nil {
		g.listed = make([]*record, 0, len(g.byID))
		for _, r := range g.byID {
			g.listed = append(g.listed, r)
		}
	}
	return g.listed
}

// put enters a record; mu is held for writing.
func (g *registry) put(r *record) {
	g.byID[r.id] = r
	g.sorted, g.listed = nil, nil
	g.name(r)
}

// name enters a record under its name; mu is held for writing.
func (g *registry) name(r *record) {
	if r.made {
		g.byName[r.reg.Name] = append(g.byName[r.reg.Name], r)
	}
}

// unname takes a record off its name; mu is held for writing.
func (g *registry) unname(r *record) {
	if !r.made {
		return
	}
	named := slices.DeleteFunc(g.byName[r.reg.Name], func(other *record) bool { return other == r })
	if len(named) == 0 {
		delete(g.byName, r.reg.Name)
		return
	}
	g.byName[r.reg.Name] = named
}

// del takes a record out; mu is held for writing.
func (g *registry) del(r *record) {
	g.unname(r)
	delete(g.byID, r.id)
	g.sorted, g.listed = nil, nil
}
