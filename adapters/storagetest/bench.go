package storagetest

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/laneswap/laneswap"
)

// Benchmark measures the calls that a Manager makes most. open returns a new empty
// storage and cleans up through b.
func Benchmark(b *testing.B, open func(b *testing.B) laneswap.Storage) {
	b.Run("CommitOne", func(b *testing.B) {
		s := open(b)
		for i := 0; b.Loop(); i++ {
			commit(b, s, laneswap.Batch{Insert: measured(i, 1, "service")})
		}
	})
	b.Run("CommitThousandInserts", func(b *testing.B) {
		s := open(b)
		for i := 0; b.Loop(); i++ {
			commit(b, s, laneswap.Batch{Insert: measured(i*1000, 1000, "")})
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
	})
	b.Run("CommitOneServiceState", func(b *testing.B) {
		s := open(b)
		fill(b, s, 20_000)
		row := state(0)
		for i := 0; b.Loop(); i++ {
			row.ID = fmt.Sprintf("service-%d", i*7919%20_000)
			row.Service, row.At = row.ID, at(i)
			commit(b, s, laneswap.Batch{Put: []laneswap.Row{row}})
		}
	})
	b.Run("SeenHundredThousand", func(b *testing.B) {
		s := open(b)
		seen := make([]laneswap.Seen, 100_000)
		for i := 0; b.Loop(); i++ {
			for j := range seen {
				seen[j] = laneswap.Seen{Service: fmt.Sprintf("service-%d", j), At: at(i)}
			}
			commit(b, s, laneswap.Batch{Seen: seen})
		}
	})
	b.Run("LoadHundredThousand", func(b *testing.B) {
		s := open(b)
		fill(b, s, 100_000)
		var bytes int64
		for b.Loop() {
			bytes = 0
			n := 0
			for row, err := range s.Load(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
				bytes += int64(len(row.ID) + len(row.Data))
				n++
			}
			if n != 100_000 {
				b.Fatalf("%d rows", n)
			}
		}
		b.SetBytes(bytes)
	})
	b.Run("LastHundredOfOneAmongMany", func(b *testing.B) {
		s := open(b)
		for i := range 200 {
			commit(b, s, laneswap.Batch{Insert: measured(i*1000, 1000, "")})
		}
		var turn atomic.Int64
		for b.Loop() {
			q := laneswap.RowQuery{Kind: laneswap.KindEvent, Service: fmt.Sprintf("service-%d", turn.Add(1)%100), Descending: true, Limit: 100}
			n := 0
			for _, err := range s.Rows(b.Context(), q) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != 100 {
				b.Fatalf("%d rows", n)
			}
		}
	})
}

func commit(b *testing.B, s laneswap.Storage, batch laneswap.Batch) {
	b.Helper()
	batch.Epoch = 1
	if err := s.Commit(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
}

// measured returns events of 200 bytes of one service, or of a hundred in turn.
func measured(first, n int, service string) []laneswap.Row {
	rows := make([]laneswap.Row, n)
	for i := range rows {
		rows[i] = event(fmt.Sprintf("%012d", first+i), service, first+i)
		if service == "" {
			rows[i].Service = fmt.Sprintf("service-%d", (first+i)%100)
		}
		rows[i].Data = fmt.Appendf(nil, `{"padding":"%0186d"}`, first+i)
	}
	return rows
}

// state returns the row of a service, with data as long as a real one's.
func state(i int) laneswap.Row {
	id := fmt.Sprintf("service-%d", i)
	return laneswap.Row{Kind: laneswap.KindService, ID: id, Service: id, At: at(i), Open: true, Data: fmt.Appendf(nil, `{"padding":"%0300d"}`, i)}
}

func fill(b *testing.B, s laneswap.Storage, services int) {
	b.Helper()
	for first := 0; first < services; first += 1000 {
		var batch laneswap.Batch
		for i := first; i < min(first+1000, services); i++ {
			batch.Put = append(batch.Put, state(i))
		}
		commit(b, s, batch)
	}
}
