package laneswap

import (
	"reflect"

	"github.com/laneswap/laneswap/internal/bounded"
	"github.com/laneswap/laneswap/internal/clock"
)

// Bounds of the heartbeats in recentBeats.
const (
	recentBeatsCount = 100       // per service
	recentBeatsBytes = 16 << 10  // per service
	recentBeatsTotal = 256 << 20 // per Manager; the oldest are dropped first
	recentBeatBytes  = 200       // estimated size of a record without its text
)

// Bounds of the spans and the reported errors that a Manager without a storage keeps in
// memory.
const (
	historyCount = 100      // per service, of each
	historyBytes = 64 << 10 // per service, of each
	historyTotal = 64 << 20 // per Manager, of each
)

// recentBeats keeps the latest heartbeats of all services that were not empty.
type recentBeats struct {
	bounded.Lists[HeartbeatRecord]
}

// beatList holds the recent heartbeats of one service.
type beatList = bounded.List[HeartbeatRecord]

func newRecentBeats() *recentBeats {
	return &recentBeats{bounded.Lists[HeartbeatRecord]{Values: recentBeatsCount, Bytes: recentBeatsBytes, Total: recentBeatsTotal}}
}

// record keeps a heartbeat received at wall time ms. A heartbeat that equals the latest
// one only increases its count.
func (b *recentBeats) record(list *beatList, hb Heartbeat, ms int64) {
	b.keep(list, HeartbeatRecord{
		Status: hb.Status, Message: hb.Message, Metadata: hb.Metadata, At: clock.WallTime(ms), Last: clock.WallTime(ms), Count: 1,
	})
}

// keep keeps a record. It may come from an earlier run.
func (b *recentBeats) keep(list *beatList, rec HeartbeatRecord) {
	size := recentBeatBytes + len(rec.Message)
	if rec.Metadata != nil {
		size += metadataBytes(rec.Metadata)
	}
	b.Add(list, rec, size, func(latest *HeartbeatRecord) bool {
		if latest.Status != rec.Status || latest.Message != rec.Message || !reflect.DeepEqual(latest.Metadata, rec.Metadata) {
			return false
		}
		latest.Count += rec.Count
		latest.Last = rec.Last
		return true
	})
}

// copies returns the records of one service, oldest first. The caller may change them.
func (b *recentBeats) copies(list *beatList) []HeartbeatRecord {
	out := b.All(list)
	for i := range out {
		out[i].Metadata = cloneMap(out[i].Metadata)
	}
	return out
}

// newHistoryLists makes bounded lists of spans or reported errors.
func newHistoryLists[T any]() *bounded.Lists[T] {
	return &bounded.Lists[T]{Values: historyCount, Bytes: historyBytes, Total: historyTotal}
}
