package alerttest_test

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// account compares what happened with what arrived: every event that is not excused
// was told, in a message that the receiver has, names its incident and says what
// became of the service; and those of each service in their order. It returns the
// messages that no notice knows of: duplicates.
func (s *stage) account(excused ...string) (unknown []fakediscord.Message) {
	t := s.t
	t.Helper()
	messages := s.fake.Messages()
	place := map[string]int{}
	for i, m := range messages {
		place[m.ID] = i
	}
	known := map[string]bool{}
	latest := map[laneswap.ServiceID]int{}
	events := s.events("")
	require.NotEmpty(t, events)
	slices.SortFunc(events, func(a, b laneswap.Event) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, ev := range events {
		if slices.Contains(excused, ev.ID) {
			continue
		}
		tr := s.trace(ev)
		require.Equal(t, laneswap.NoticeSent, tr.State, "%s %s: %q", ev.Kind, ev.ID, steps(tr))
		require.Positive(t, tr.Attempts)
		at, ok := place[tr.MessageID]
		require.True(t, ok, "%s says it was sent as %q, which the receiver has not: %q", ev.ID, tr.MessageID, steps(tr))
		known[tr.MessageID] = true
		require.GreaterOrEqual(t, at, latest[ev.Service], "%s %s came before what happened earlier", ev.Kind, ev.ID)
		latest[ev.Service] = at
		require.False(t, messages[at].At.Before(ev.At))
		s.tells(messages[at], ev)
	}
	for _, m := range messages {
		if !known[m.ID] {
			unknown = append(unknown, m)
		}
	}
	return unknown
}

// tells demands that a message tells of an event of a service: its incident, and
// where it tells of this service alone, the status that it led to.
func (s *stage) tells(m fakediscord.Message, ev laneswap.Event) {
	t := s.t
	t.Helper()
	if ev.Service == "" {
		return
	}
	text := said(m)
	require.Contains(t, text, string(ev.Service))
	require.Contains(t, text, ev.Incident, "who gets a message twice knows by it")
	if course, ok := m.Payload.Field("Status"); ok && !strings.Contains(course, "…") {
		require.Contains(t, course, string(ev.To), "%s %s", ev.Kind, ev.ID)
	}
}

// of are the messages that name a service, and duplicates among them.
func (s *stage) of(id laneswap.ServiceID) (of []fakediscord.Message) {
	for _, m := range s.fake.Messages() {
		if strings.Contains(said(m), string(id)) {
			of = append(of, m)
		}
	}
	return of
}

// courses are how the messages of a service say that its status went.
func (s *stage) courses(id laneswap.ServiceID) (courses []string) {
	s.t.Helper()
	for _, m := range s.of(id) {
		course, ok := m.Payload.Field("Status")
		require.True(s.t, ok, "%s", said(m))
		courses = append(courses, course)
	}
	return courses
}

// dead demands that the notice of an event was given up, for that reason.
func (s *stage) dead(ev laneswap.Event, why string) {
	t := s.t
	t.Helper()
	tr := s.trace(ev)
	require.Equal(t, laneswap.NoticeDead, tr.State, "%q", steps(tr))
	require.Empty(t, tr.MessageID)
	last := tr.Steps[len(tr.Steps)-1]
	require.Contains(t, last.Text, "given up", fmt.Sprint(steps(tr)))
	require.Contains(t, last.Text, why)
}

// gaps are the times between one request and the next, in seconds.
func (s *stage) gaps() (gaps []float64) {
	requests := s.fake.Requests()
	for i := range requests[1:] {
		gaps = append(gaps, requests[i+1].At.Sub(requests[i].At).Seconds())
	}
	return gaps
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// message is the one that told an event.
func (s *stage) message(ev laneswap.Event) fakediscord.Message {
	s.t.Helper()
	id := s.trace(ev).MessageID
	for _, m := range s.fake.Messages() {
		if m.ID == id {
			return m
		}
	}
	require.Fail(s.t, "no message", "%s: %q", ev.ID, id)
	return fakediscord.Message{}
}
