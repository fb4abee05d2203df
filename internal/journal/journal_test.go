package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/journal"
)

const second = int64(time.Second)

func event(service string, n int) *journal.Entry {
	return &journal.Entry{
		Key: journal.Key{Kind: "event", ID: fmt.Sprintf("%s/%d", service, n)}, Service: service, Data: n, Durable: true,
		Policy: journal.Policy{Insert: true, Keep: 2, CountLoss: true},
	}
}

func state(service string, v any) *journal.Entry {
	return &journal.Entry{Key: journal.Key{Kind: "service", ID: service}, Service: service, Data: v, Open: true, Durable: true}
}

func notice(id string, open bool, v any) *journal.Entry {
	return &journal.Entry{Key: journal.Key{Kind: "outbox", ID: id}, Service: "a", Data: v, Open: open, Policy: journal.Policy{Amendable: true, Keep: 8}}
}

// change notes one event of a service with the state that follows.
func change(j *journal.Journal[int], service string, n int) (lsn uint64) {
	return j.Note(0, []*journal.Entry{event(service, n)}, []*journal.Entry{state(service, n)})
}

func nothing() ([]int, *journal.Entry) { return nil, nil }

// next returns the content of the next commit.
func next(t *testing.T, j *journal.Journal[int]) (content []any) {
	t.Helper()
	c := j.Next(0, nothing)
	if c == nil {
		return nil
	}
	for _, e := range c.Entries {
		content = append(content, e.Kind+fmt.Sprint(e.Data))
	}
	return content
}

func TestJournal_commitsAChangeAsAWhole(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	lsn := change(j, "a", 1)
	require.False(t, j.Stored(lsn))
	require.Equal(t, []any{"event1", "service1"}, next(t, j))
	require.Equal(t, []any{"event1", "service1"}, next(t, j), "the same until it is committed")
	stored, _, degraded := j.Await(lsn)
	require.False(t, stored)
	require.False(t, degraded)
	j.Committed(0, 0)
	require.True(t, j.Stored(lsn))
	require.Nil(t, next(t, j))
}

func TestJournal_newStateReplacesTheWaitingOne(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	j.Put(0, state("a", 1), state("b", 1))
	lsn := j.Put(0, state("a", 2))
	require.Equal(t, []any{"service2", "service1"}, next(t, j))
	j.Put(0, state("a", 3))
	j.Committed(0, 0)
	require.True(t, j.Stored(lsn))
	require.Equal(t, []any{"service3"}, next(t, j))
}

func TestJournal_partOfTheLogTakesTheStatesOfThatTime(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	for n := range journal.MaxCommitRows + 10 {
		change(j, "a", n)
	}
	first := j.Next(0, nothing)
	last := first.Entries[len(first.Entries)-1]
	require.Equal(t, "service", last.Kind)
	require.Equal(t, journal.MaxCommitRows-1, last.Data, "not the latest: its events wait still")
	j.Committed(0, 0)
	second := j.Next(0, nothing)
	last = second.Entries[len(second.Entries)-1]
	require.Equal(t, journal.MaxCommitRows+9, last.Data)
	require.Len(t, second.Entries, 11)
}

func TestJournal_changeIsNeverSplit(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	var log []*journal.Entry
	for n := range journal.MaxCommitRows + 5 {
		log = append(log, event("a", n))
	}
	j.Note(0, log, []*journal.Entry{state("a", "after")})
	require.Len(t, j.Next(0, nothing).Entries, journal.MaxCommitRows+6)
}

func TestJournal_gathersOnlyBehindEverything(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	gathered := 0
	gather := func() ([]int, *journal.Entry) {
		gathered++
		return []int{7}, &journal.Entry{Key: journal.Key{Kind: "alive", ID: "alive"}}
	}
	for n := range journal.MaxCommitRows + 1 {
		change(j, "a", n)
	}
	require.Empty(t, j.Next(0, gather).Seen)
	j.Committed(0, 0)
	c := j.Next(0, gather)
	require.Equal(t, []int{7}, c.Seen)
	require.Equal(t, "alive", c.Entries[len(c.Entries)-1].Kind)
	require.Equal(t, 1, gathered)
}

func TestJournal_amendsWhatWaitsAndWhatIsStored(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	j.Note(0, []*journal.Entry{notice("n", true, "waiting")}, nil)
	j.Amend(0, []*journal.Entry{notice("n", true, "delayed")})
	require.Equal(t, []any{"outboxdelayed"}, next(t, j))
	require.Equal(t, []any{"delayed"}, j.Pending("outbox", "a"))
	j.Committed(0, 0)
	j.Amend(0, []*journal.Entry{notice("n", false, "sent")})
	require.Equal(t, []any{"outboxsent"}, next(t, j))
	j.Committed(0, 0)
	j.Amend(0, []*journal.Entry{notice("n", false, "again")})
	require.Nil(t, next(t, j), "the row was closed")
	j.MarkStored(journal.Key{Kind: "outbox", ID: "old"})
	j.Amend(0, []*journal.Entry{notice("old", false, "sent")})
	require.Equal(t, []any{"outboxsent"}, next(t, j))
}

func TestJournal_fullBacklogKeepsTheFirstAndTheLatest(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	for j.HasRoom() {
		change(j, "talkative", 0)
	}
	for n := 1; n <= 5; n++ {
		change(j, "a", n)
	}
	require.Equal(t, []any{1, 5}, j.Pending("event", "a"))
	_, _, lost, _ := j.Backlog()
	require.Equal(t, uint64(3), lost)
	require.False(t, j.Blocked(), "the storage is not degraded")
	j.Degrade(0)
	require.True(t, j.Blocked())
	var reported map[string]int
	for j.Next(0, nothing) != nil {
		if _, _, lost := j.Committed(0, 0); len(lost) > 0 {
			reported = lost
		}
	}
	require.Equal(t, 3, reported["a"])
	require.True(t, j.HasRoom())
}

func TestJournal_degradesSinceTheOldestEntry(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	lsn := j.Put(3*second, state("a", 1))
	require.False(t, j.Overdue(7*second, 0))
	require.True(t, j.Overdue(8*second, 0))
	require.False(t, j.Overdue(8*second, 6*second), "this process stood still until second 6")
	require.True(t, j.Paused(8*second, 6*second))
	_, more, _ := j.Await(lsn)
	require.True(t, j.Degrade(9*second))
	require.False(t, j.Degrade(9*second), "known already")
	<-more
	_, since, _, _ := j.Backlog()
	require.Equal(t, 3*second, since)
	j.Next(9*second, nothing)
	back, _, _ := j.Committed(10*second, journal.Patience/2)
	require.False(t, back, "too slow to wait for")
	j.Put(11*second, state("a", 2))
	j.Next(11*second, nothing)
	back, away, _ := j.Committed(13*second, time.Second)
	require.True(t, back)
	require.Equal(t, 10*time.Second, away)
}

func TestJournal_fencedStoresNothingMore(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	first := j.Put(0, state("a", 1))
	j.Next(0, nothing)
	j.Committed(0, 0)
	second := j.Put(0, state("a", 2))
	j.Fence()
	require.Nil(t, j.Next(0, nothing))
	stored, _, degraded := j.Await(second)
	require.False(t, stored)
	require.True(t, degraded)
	require.True(t, j.Stored(first))
}

func TestJournal_wakesTheWriter(t *testing.T) {
	t.Parallel()
	j := journal.New[int]()
	j.Put(0, state("a", 1), state("b", 1))
	<-j.Wake
	select {
	case <-j.Wake:
		t.Fatal("one token only")
	default:
	}
}

func TestJournal_nilStandsForNoStorage(t *testing.T) {
	t.Parallel()
	var j *journal.Journal[int]
	require.Zero(t, j.Note(0, []*journal.Entry{event("a", 1)}, nil))
	require.True(t, j.Stored(7))
	require.True(t, j.HasRoom())
	require.False(t, j.Blocked())
	require.False(t, j.Overdue(second, 0))
	require.Empty(t, j.Pending("event", "a"))
	require.Zero(t, j.Latest())
}
