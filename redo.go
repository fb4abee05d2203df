package laneswap

import (
	"encoding/json"
	"slices"
)

// A storage without transactions may have stored what happened, and not yet the
// state that it led to, when LaneSwap was killed. Each event has that state with
// it.

// redone is what the events say that the states do not know.
type redone struct {
	states map[ServiceID]bool // those that were brought up to their events
	gone   map[ServiceID]bool // those that turned out to be removed
	runs   []*entry           // that had ended
	events []*Event           // of which the notifiers may not have been told
}

// redo brings the states up to the latest events.
func (l *loaded) redo() redone {
	done := redone{states: map[ServiceID]bool{}, gone: map[ServiceID]bool{}}
	at := make(map[ServiceID]int, len(l.services))
	for i, s := range l.services {
		at[s.ID] = i
	}
	for _, ev := range l.recent {
		i, known := at[ev.Event.Service]
		if !known {
			continue
		}
		s := l.services[i]
		born, _, transitions, ok := transitionOf(ev.Event.ID)
		if !ok || s.Version == 0 || born != s.Born || transitions <= s.Transitions {
			continue
		}
		run := span{
			born: s.Born, number: s.Transitions, state: s.Side, status: s.Status, from: s.Since,
			to: max(s.Since, ev.Event.At.UnixMilli()), gap: int64(s.Gap), message: s.Message, incident: s.incident(),
		}
		if ev.Event.Kind == EventRemoved {
			run.beats = s.Beats - min(s.Beats, s.RunBeats)
			done.gone[s.ID] = true
		} else {
			next := &storedService{}
			err := json.Unmarshal(ev.State, next)
			if err == nil {
				err = next.check()
			}
			if !l.note(err) || next.ID != s.ID {
				continue
			}
			if next.Bare {
				next.Metadata, next.Bare = s.Metadata, false
			}
			run.beats = next.RunBeats - min(next.RunBeats, s.RunBeats)
			l.services[i] = next
		}
		done.states[s.ID] = true
		done.runs = append(done.runs, runEntry(s.ID, run))
		done.events = append(done.events, ev.Event)
	}
	l.services = slices.DeleteFunc(l.services, func(s *storedService) bool { return done.gone[s.ID] })
	return done
}

// incident is the open one, with its id.
func (s *storedService) incident() *incident { return s.Incident.incident() }
