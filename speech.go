package laneswap

import "reflect"

// Bounds of the heartbeats that are kept because they said something.
const (
	speechRecords = 100       // per service
	speechBytes   = 16 << 10  // per service
	speechTotal   = 256 << 20 // per Manager; the oldest go first
	speechFrame   = 200       // what a record costs besides its text
)

// speeches keeps heartbeats that said something, of all services.
type speeches struct{ hoard[HeartbeatRecord] }

// speech is what one service said.
type speech = shelf[HeartbeatRecord]

func newSpeeches() speeches {
	return speeches{hoard[HeartbeatRecord]{items: speechRecords, bytes: speechBytes, limit: speechTotal}}
}

// hear keeps a heartbeat at the wall ms. One equal to the latest is counted.
func (s *speeches) hear(of *speech, hb Heartbeat, ms int64) {
	s.keep(of, HeartbeatRecord{
		Status: hb.Status, Message: hb.Message, Metadata: hb.Metadata, At: wallTime(ms), Last: wallTime(ms), Count: 1,
	})
}

// keep keeps a record, which may be one of an earlier run.
func (s *speeches) keep(of *speech, rec HeartbeatRecord) {
	size := speechFrame + len(rec.Message)
	if rec.Metadata != nil {
		size += footprint(rec.Metadata)
	}
	s.put(of, rec, size, func(last *HeartbeatRecord) bool {
		if last.Status != rec.Status || last.Message != rec.Message || !reflect.DeepEqual(last.Metadata, rec.Metadata) {
			return false
		}
		last.Count += rec.Count
		last.Last = rec.Last
		return true
	})
}

// records copies what one service said, oldest first.
func (s *speeches) records(of *speech) []HeartbeatRecord {
	out := s.all(of)
	for i := range out {
		out[i].Metadata = cloneMap(out[i].Metadata)
	}
	return out
}
