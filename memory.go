package laneswap

import (
	"reflect"

	"github.com/laneswap/laneswap/internal/bounded"
	"github.com/laneswap/laneswap/internal/clock"
)

// Bounds of the heartbeats that are kept because they carry news.
const (
	recentBeatsCount = 100       // per service
	recentBeatsBytes = 16 << 10  // per service
	recentBeatsTotal = 256 << 20 // per Manager; the oldest go first
	recentBeatBytes  = 200       // what a record costs besides its text
)

// Bounds of the spans and of the reported errors that are kept in memory where
// there is no storage.
const (
	historyCount = 100      // per service, of each
	historyBytes = 64 << 10 // per service, of each
	historyTotal = 64 << 20 // per Manager, of each
	recordBytes  = 300      // what a record costs besides its text, about
)

// recentBeats keeps the latest heartbeats that carried news, of all services.
type recentBeats struct {
	bounded.Lists[HeartbeatRecord]
}

// beatList holds the recent heartbeats of one service.
type beatList = bounded.List[HeartbeatRecord]

func newRecentBeats() *recentBeats {
	return &recentBeats{bounded.Lists[HeartbeatRecord]{Values: recentBeatsCount, Bytes: recentBeatsBytes, Total: recentBeatsTotal}}
}

// record keeps a heartbeat received at the wall ms. One that equals the latest is
// counted with it.
func (b *recentBeats) record(list *beatList, hb Heartbeat, ms int64) {
	b.add(list, HeartbeatRecord{
		Status: hb.Status, Message: hb.Message, Metadata: hb.Metadata, At: clock.WallTime(ms), Last: clock.WallTime(ms), Count: 1,
	})
}

// add keeps a record, which may stem from an earlier run.
func (b *recentBeats) add(list *beatList, rec HeartbeatRecord) {
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

// newHistoryLists makes the lists of what history needs where there is no storage.
func newHistoryLists[T any]() *bounded.Lists[T] {
	return &bounded.Lists[T]{Values: historyCount, Bytes: historyBytes, Total: historyTotal}
}
