//go:build unix

package main_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// account is what happened and what was told of it.
type account struct {
	*newsroom
	incidents map[string]bool
	events    []laneswap.Event // of which people are told
	place     map[string]int   // of an event, by what its report said
	messages  []receipt
	digests   int
	repeated  int // events that were told again
	unmarked  int // messages after which it was killed before it had stored that
}

func (a *account) String() string {
	return fmt.Sprintf("%d incidents with %d events told in %d messages, %d of them digests; %d messages were not marked when it was killed, %d events told again, all of them of those; nothing lost",
		len(a.incidents), len(a.events), len(a.messages), a.digests, a.unmarked, a.repeated)
}

// account compares what happened with what was told.
func (n *newsroom) account() *account {
	n.t.Helper()
	a := &account{newsroom: n, incidents: map[string]bool{}, place: map[string]int{}, messages: n.channel.told()}
	// A run does not know of the delays that were announced to one before it.
	require.Empty(n.t, n.channel.Violations(fakediscord.RulePayload, fakediscord.RuleProtocol))
	a.happened()
	a.compare()
	a.explained()
	return a
}

// happened reads what happened, and requires that it is what was acknowledged.
func (a *account) happened() {
	t := a.t
	var reports []*report
	for _, r := range a.reporters {
		reports = append(reports, r.reports...)
	}
	said := map[laneswap.ServiceID][]string{}
	for _, r := range reports {
		require.True(t, r.happened != r.void, "%s of %s is in doubt", r.message(), r.service)
		if r.happened {
			said[r.service] = append(said[r.service], fmt.Sprintf("%s: %s", r.status, r.message()))
		}
	}
	found := map[laneswap.ServiceID][]string{}
	for ev, err := range a.client.Events(t.Context(), laneswap.EventQuery{}) {
		require.NoError(t, err)
		if ev.Service == "" {
			continue // of LaneSwap itself: a file is away for a while where its disk has much to do
		}
		found[ev.Service] = append(found[ev.Service], fmt.Sprintf("%s: %s", ev.To, ev.Message))
		if ev.Kind == laneswap.EventUp {
			continue // nobody is told
		}
		require.NotEmpty(t, ev.Incident)
		a.incidents[ev.Incident] = true
		a.place[ev.Message] = len(a.events)
		a.events = append(a.events, ev)
	}
	for id := range said {
		require.Equal(t, said[id], found[id], "events of %s", id)
	}
	require.Len(t, found, len(said), "services that nobody reported about")
	require.NotEmpty(t, a.events)
}

var (
	incidentID = regexp.MustCompile(`\bsubject-[\d.]+/\w+-\d+\b`)
	reportName = regexp.MustCompile(`\breport-\d+\b`)
)

// tale is what a message tells of one service.
type tale struct {
	incidents []string
	reports   []string // of events that it names, oldest first
	whole     bool     // it names all of which it tells
}

// read takes a message apart.
func (a *account) read(m receipt) (tales []tale) {
	require.NotEmpty(a.t, m.Payload.Embeds)
	if first := m.Payload.Embeds[0]; len(m.Payload.Embeds) == 1 && len(first.Fields) > 0 {
		before, _ := m.Payload.Field("Before")
		message, _ := m.Payload.Field("Message")
		if ids := incidentID.FindAllString(first.Footer.Text, -1); ids != nil {
			return []tale{{ids, append(reportName.FindAllString(before, -1), reportName.FindAllString(message, -1)...), true}}
		}
		return nil // of LaneSwap itself
	}
	for line := range strings.Lines(m.text()) {
		if ids := incidentID.FindAllString(line, -1); ids != nil {
			tales = append(tales, tale{ids, reportName.FindAllString(line, -1), false})
		}
	}
	return tales
}

// compare requires that everything that happened was told, in order, and again only
// where laneswapd could not know that it had been told.
func (a *account) compare() {
	t := a.t
	ofService := map[laneswap.ServiceID][]int{} // the places of its events
	for i, ev := range a.events {
		ofService[ev.Service] = append(ofService[ev.Service], i)
	}
	told := map[laneswap.ServiceID]int{} // so many of its events were
	last := make([]int, len(a.events))   // the message that named it last, plus one
	incidents := map[string]bool{}
	for i, m := range a.messages {
		if !m.marked && m.run < a.runs {
			a.unmarked++
		}
		tales := a.read(m)
		if len(tales) > 1 {
			a.digests++
		}
		for _, tl := range tales {
			require.NotEmpty(t, tl.reports, "message %d tells nothing of %v: %s", i, tl.incidents, m.text())
			var at []int
			for _, name := range tl.reports {
				place, ok := a.place[name]
				require.True(t, ok, "message %d tells what did not happen: %s", i, name)
				if before := last[place]; before > 0 {
					require.False(t, a.messages[before-1].marked, "message %d tells %s again, although message %d was marked", i, name, before-1)
					a.repeated++
				}
				at, last[place] = append(at, place), i+1
			}
			ev := a.events[at[len(at)-1]]
			places := ofService[ev.Service]
			oldest, newest := slices.Index(places, at[0]), slices.Index(places, at[len(at)-1])
			if tl.whole {
				require.Equal(t, places[oldest:newest+1], at, "message %d tells %v", i, tl.reports)
				require.LessOrEqual(t, oldest, told[ev.Service], "message %d tells %v and leaves out what came before", i, tl.reports)
			} else {
				oldest = min(told[ev.Service], newest)
			}
			require.GreaterOrEqual(t, newest+1, told[ev.Service], "message %d goes back to %s of %s", i, ev.Message, ev.Service)
			told[ev.Service] = newest + 1
			var named []string // what it must name
			for _, place := range places[oldest : newest+1] {
				named = append(named, a.events[place].Incident)
			}
			require.Subset(t, tl.incidents, named, "message %d, run %d: %s", i, m.run, m.text())
			for _, id := range tl.incidents {
				incidents[id] = true
			}
		}
	}
	for id := range a.incidents {
		require.True(t, incidents[id], "incident %s is in no message\n%s", id, a.story(id))
	}
	require.Len(t, incidents, len(a.incidents), "incidents that did not happen")
	for id, places := range ofService {
		require.Len(t, places, told[id], "events of %s that were told", id)
	}
}

// story is what is known of an incident, and of the others of its service.
func (a *account) story(incident string) string {
	service := incident[:strings.LastIndexByte(incident, '/')+1]
	var b strings.Builder
	for _, ev := range a.events {
		if strings.HasPrefix(ev.Incident, service) {
			fmt.Fprintf(&b, "%v %s: %s, %s -> %s: %s\n", ev.At, ev.Incident, ev.Kind, ev.From, ev.To, ev.Message)
		}
	}
	for i, m := range a.messages {
		if text := m.text(); strings.Contains(text, service) {
			fmt.Fprintf(&b, "message %d, run %d, at %v:\n%s\n", i, m.run, m.At, text)
		}
	}
	return b.String()
}

// explained requires that laneswapd knows of each event with which message it was
// told, also of those that a digest does not name.
func (a *account) explained() {
	ctx, cancel := context.WithTimeout(a.t.Context(), 3*patience)
	defer cancel()
	incidents := map[string][]string{} // of a message
	for _, m := range a.messages {
		for _, tl := range a.read(m) {
			incidents[m.ID] = append(incidents[m.ID], tl.incidents...)
		}
	}
	for _, ev := range a.events {
		x, err := a.client.Explain(ctx, ev.ID)
		require.NoError(a.t, err)
		i := slices.IndexFunc(x.Notices, func(n laneswap.NoticeTrace) bool { return n.Notifier == "discord" })
		require.GreaterOrEqual(a.t, i, 0, "%s: %+v", ev.ID, x)
		require.Equal(a.t, laneswap.NoticeSent, x.Notices[i].State, "%s: %+v", ev.ID, x.Notices[i])
		require.Contains(a.t, incidents[x.Notices[i].MessageID], ev.Incident, "%s: %+v", ev.ID, x.Notices[i])
	}
}
