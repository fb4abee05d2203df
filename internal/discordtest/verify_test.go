package discordtest_test

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

// verify compares events with messages: each event that is not excused is in a message
// that the fake has, with its incident and status, in the order of the service's events.
// It returns messages that no notice knows of: duplicates.
func (s *harness) verify(excused ...string) (unknown []fakediscord.Message) {
	t := s.t
	t.Helper()
	messages := s.fake.Messages()
	place := map[string]int{}
	for i, m := range messages {
		place[m.ID] = i
	}
	told := map[string][]laneswap.Event{}
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
		require.GreaterOrEqual(t, at, latest[ev.Service], "%s %s came before what happened earlier", ev.Kind, ev.ID)
		latest[ev.Service] = at
		require.False(t, messages[at].At.Before(ev.At))
		told[tr.MessageID] = append(told[tr.MessageID], ev)
	}
	for id, events := range told {
		s.covers(messages[place[id]], events...)
	}
	for _, m := range messages {
		if len(told[m.ID]) == 0 {
			unknown = append(unknown, m)
		}
	}
	return unknown
}

// covers requires that a message names the services and incidents of events and, if it
// is about a single service, their statuses. It may only count the oldest incidents of a
// service.
func (s *harness) covers(m fakediscord.Message, events ...laneswap.Event) {
	t := s.t
	t.Helper()
	text := textOf(m)
	course, _ := m.Payload.Field("Status")
	incidents := map[laneswap.ServiceID][]string{}
	for _, ev := range events {
		if ev.Service == "" {
			continue
		}
		require.Contains(t, text, string(ev.Service))
		if course != "" && !strings.Contains(course, "…") {
			require.Contains(t, course, string(ev.To), "%s %s", ev.Kind, ev.ID)
		}
		if of := incidents[ev.Service]; len(of) == 0 || of[len(of)-1] != ev.Incident {
			incidents[ev.Service] = append(of, ev.Incident)
		}
	}
	for service, ids := range incidents {
		rest := 0
		for !names(text, ids[rest]) {
			rest++
			require.Less(t, rest, len(ids), "who gets a message twice knows by the incident: %s in\n%s", ids, text)
		}
		if rest > 0 {
			require.Contains(t, text, fmt.Sprintf("%d more, %s", rest, ids[rest]), "%s", service)
		}
		for _, id := range ids[rest:] {
			require.True(t, names(text, id), "%s in\n%s", id, text)
		}
	}
}

// names reports whether a text holds an id, and not only a longer one.
func names(text, id string) bool {
	for _, after := range strings.Split(text, id)[1:] {
		if after == "" || !strings.ContainsAny(after[:1], "0123456789") {
			return true
		}
	}
	return false
}

// of returns the messages that name a service, with duplicates.
func (s *harness) of(id laneswap.ServiceID) (of []fakediscord.Message) {
	for _, m := range s.fake.Messages() {
		if strings.Contains(textOf(m), string(id)) {
			of = append(of, m)
		}
	}
	return of
}

// courses returns the statuses that the messages of a service show.
func (s *harness) courses(id laneswap.ServiceID) (courses []string) {
	s.t.Helper()
	for _, m := range s.of(id) {
		course, ok := m.Payload.Field("Status")
		require.True(s.t, ok, "%s", textOf(m))
		courses = append(courses, course)
	}
	return courses
}

// dead requires that the notice of an event was dropped, for that reason.
func (s *harness) dead(ev laneswap.Event, why string) {
	t := s.t
	t.Helper()
	tr := s.trace(ev)
	require.Equal(t, laneswap.NoticeDead, tr.State, "%q", steps(tr))
	require.Empty(t, tr.MessageID)
	last := tr.Steps[len(tr.Steps)-1]
	require.Contains(t, last.Text, "dropped: ", fmt.Sprint(steps(tr)))
	require.Contains(t, last.Text, why)
}

// gaps returns the times between requests, in seconds.
func (s *harness) gaps() (gaps []float64) {
	requests := s.fake.Requests()
	for i := range requests[1:] {
		gaps = append(gaps, requests[i+1].At.Sub(requests[i].At).Seconds())
	}
	return gaps
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// message returns the message with an event.
func (s *harness) message(ev laneswap.Event) fakediscord.Message {
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
