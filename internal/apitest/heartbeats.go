package apitest

import (
	"time"

	"github.com/laneswap/laneswap"
)

var heartbeatTests = []test{
	{"An empty beat means healthy", func(r *run) {
		r.register(laneswap.Registration{ID: "a", Interval: time.Minute})
		r.beat("a", laneswap.Heartbeat{})
		st := r.service("a")
		r.equal("status", st.Status, laneswap.StatusHealthy)
		r.equal("reported", st.ReportedStatus, laneswap.StatusHealthy)
		r.equal("beats", st.Beats, uint64(1))
		if st.LastHeartbeat.IsZero() || st.LastHeartbeat.Before(st.CreatedAt) {
			r.Fatalf("the last heartbeat is %v, created at %v", st.LastHeartbeat, st.CreatedAt)
		}
	}},
	{"Every status that can be reported is", func(r *run) {
		r.register(laneswap.Registration{ID: "a", Interval: time.Minute})
		for _, status := range laneswap.Statuses() {
			if status == laneswap.StatusStale {
				continue
			}
			st, err := r.Report(r.ctx, "a", laneswap.Heartbeat{Status: status, Message: "is " + string(status)})
			r.ok("report", err)
			r.equal("status", st.Status, status)
			r.equal("reported", st.ReportedStatus, status)
			r.equal("message", st.Message, "is "+string(status))
			if status != laneswap.StatusUnknown { // which leaves an incident as it is
				r.equal("incident", st.Incident != nil, status.Bad())
			}
			r.beat("a", laneswap.Heartbeat{Status: status})
			r.equal("after a beat", r.service("a").Status, status)
		}
	}},
	{"A status may be written in any case", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		st, err := r.Report(r.ctx, "a", laneswap.Heartbeat{Status: "WARNING"})
		r.ok("report", err)
		r.equal("status", st.Status, laneswap.StatusWarning)
	}},
	{"Report returns what Service says", func(r *run) {
		r.register(laneswap.Registration{ID: "a", Interval: time.Minute, Metadata: map[string]any{"v": 1}})
		st, err := r.Report(r.ctx, "a", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "disk full", Metadata: map[string]any{"disk": 99.5}})
		r.ok("report", err)
		asked := r.service("a")
		asked.Events = nil // Report leaves them out
		r.equal("report", st, asked)
	}},
	{"A beat merges metadata and null removes a key", func(r *run) {
		r.register(laneswap.Registration{ID: "a", Metadata: map[string]any{"keep": "x", "drop": 1}})
		nested := map[string]any{"deep": map[string]any{"list": []any{true, nil, "é", 1e21, -0.5}}}
		st, err := r.Report(r.ctx, "a", laneswap.Heartbeat{Metadata: map[string]any{"drop": nil, "nested": nested, "big": int64(1) << 60}})
		r.ok("report", err)
		r.equal("metadata", st.Metadata, map[string]any{"keep": "x", "nested": nested, "big": float64(int64(1) << 60)})
		r.beat("a", laneswap.Heartbeat{})
		r.equal("after an empty beat", r.service("a").Metadata, st.Metadata)
	}},
	{"Metadata of other types is stored as JSON", func(r *run) {
		type point struct {
			X int    `json:"x"`
			Y string `json:"y,omitempty"`
		}
		r.register(laneswap.Registration{ID: "a"})
		st, err := r.Report(r.ctx, "a", laneswap.Heartbeat{Metadata: map[string]any{
			"struct": point{X: 3}, "strings": []string{"a", "b"}, "uint": uint8(7), "time": time.Unix(0, 0).UTC(), "duration": 2 * time.Nanosecond,
		}})
		r.ok("report", err)
		r.equal("metadata", st.Metadata, map[string]any{
			"struct": map[string]any{"x": 3.0}, "strings": []any{"a", "b"}, "uint": 7.0, "time": "1970-01-01T00:00:00Z", "duration": 2.0,
		})
	}},
	{"An empty beat clears the message", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		r.beat("a", laneswap.Heartbeat{Message: "line one\nline two\tü <&>"})
		r.equal("message", r.service("a").Message, "line one\nline two\tü <&>")
		r.beat("a", laneswap.Heartbeat{})
		r.equal("message", r.service("a").Message, "")
	}},
	{"Messages are cleaned where they enter", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		r.beat("a", laneswap.Heartbeat{Message: "a\x1b]0;x\x07b\u202ec\xffd\u2028e"})
		r.equal("message", r.service("a").Message, "a]0;xbcde")
	}},
	{"A message of the greatest length is taken", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		for _, filling := range []byte{'x', '<', '\n', '"'} {
			message := string(repeat(filling, 4096))
			r.beat("a", laneswap.Heartbeat{Message: message})
			r.equal("message", r.service("a").Message, message)
		}
	}},
	{"Silence becomes stale and a beat recovers", func(r *run) {
		ev := r.stale(laneswap.Registration{ID: "a"})
		st := r.service("a")
		r.equal("status", st.Status, laneswap.StatusStale)
		r.equal("since", st.Since, ev.At)
		r.equal("incident", st.Incident.ID, ev.Incident)
		r.equal("deadline", st.Deadline, time.Time{})
		r.register(laneswap.Registration{ID: "a", Interval: time.Minute}) // lest it go stale again meanwhile
		st, err := r.Report(r.ctx, "a", laneswap.Heartbeat{})
		r.ok("report", err)
		r.equal("status", st.Status, laneswap.StatusHealthy)
		r.equal("incident", st.Incident, (*laneswap.Incident)(nil))
	}},
	{"Different beats are kept, equal ones counted", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		r.equal("heartbeats before", len(all(r, "heartbeats", r.Heartbeats(r.ctx, "a"))), 0)
		r.beat("a", laneswap.Heartbeat{})
		r.beat("a", laneswap.Heartbeat{Message: "one", Metadata: map[string]any{"n": 1}})
		for range 3 {
			r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "two"})
		}
		kept := all(r, "heartbeats", r.Heartbeats(r.ctx, "a"))
		if len(kept) != 2 {
			r.Fatalf("kept %s, want two", show(kept))
		}
		r.equal("message", kept[0].Message, "one")
		r.equal("metadata", kept[0].Metadata, map[string]any{"n": 1.0})
		r.equal("status", kept[0].Status, laneswap.StatusHealthy)
		r.equal("count", kept[0].Count, uint64(1))
		r.equal("status", kept[1].Status, laneswap.StatusWarning)
		r.equal("count", kept[1].Count, uint64(3))
		if kept[1].At.IsZero() || kept[1].Last.Before(kept[1].At) {
			r.Fatalf("heard from %v to %v", kept[1].At, kept[1].Last)
		}
		for range r.Heartbeats(r.ctx, "a") {
			break // an early break must not panic
		}
	}},
	{"Remove removes a service", func(r *run) {
		r.register(laneswap.Registration{ID: "a"})
		r.register(laneswap.Registration{ID: "b"})
		r.ok("remove", r.Remove(r.ctx, "a"))
		_, err := r.Service(r.ctx, "a")
		r.refused("service", err, laneswap.ErrServiceNotFound, "")
		r.equal("the other", r.service("b").ID, laneswap.ServiceID("b"))
		r.equal("registered again", r.register(laneswap.Registration{ID: "a"}).Beats, uint64(0))
	}},
}

func repeat(b byte, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}
