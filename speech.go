package laneswap

import (
	"container/list"
	"reflect"
	"sync"
)

// Bounds of the heartbeats that are kept because they said something.
const (
	speechRecords = 100       // per service
	speechBytes   = 16 << 10  // per service
	speechTotal   = 256 << 20 // per Manager; the oldest go first
	speechFrame   = 200       // what a record costs besides its text
)

// speeches keeps heartbeats that said something, of all services.
type speeches struct {
	mu    sync.Mutex // guards everything below, the speech of every service too
	total int
	limit int
	ages  list.List // of *utterance, oldest first
}

// speech is what one service said, oldest first.
type speech struct {
	said  []*utterance
	bytes int
}

type utterance struct {
	HeartbeatRecord
	size  int
	owner *speech
	place *list.Element
}

// hear keeps a heartbeat at the wall ms. One equal to the latest is counted.
func (s *speeches) hear(of *speech, hb Heartbeat, ms int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(of.said); n > 0 {
		last := of.said[n-1]
		if last.Status == hb.Status && last.Message == hb.Message && reflect.DeepEqual(last.Metadata, hb.Metadata) {
			last.Count++
			last.Last = wallTime(ms)
			return
		}
	}
	u := &utterance{
		HeartbeatRecord: HeartbeatRecord{Status: hb.Status, Message: hb.Message, Metadata: hb.Metadata, At: wallTime(ms), Last: wallTime(ms), Count: 1},
		size:            speechFrame + len(hb.Message), owner: of,
	}
	if hb.Metadata != nil {
		u.size += footprint(hb.Metadata)
	}
	u.place = s.ages.PushBack(u)
	of.said = append(of.said, u)
	of.bytes += u.size
	s.total += u.size
	for len(of.said) > speechRecords || of.bytes > speechBytes {
		s.drop(of)
	}
	for s.total > s.limit {
		s.drop(s.ages.Front().Value.(*utterance).owner)
	}
}

// drop forgets the oldest record of one service; mu is held.
func (s *speeches) drop(of *speech) {
	u := of.said[0]
	of.said[0] = nil
	of.said = of.said[1:]
	of.bytes -= u.size
	s.total -= u.size
	s.ages.Remove(u.place)
}

// forget drops all of one service.
func (s *speeches) forget(of *speech) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of != nil && len(of.said) > 0 {
		s.drop(of)
	}
}

// records copies what one service said, oldest first.
func (s *speeches) records(of *speech) []HeartbeatRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of == nil {
		return nil
	}
	out := make([]HeartbeatRecord, len(of.said))
	for i, u := range of.said {
		out[i] = u.HeartbeatRecord
		out[i].Metadata = cloneMap(u.Metadata)
	}
	return out
}
