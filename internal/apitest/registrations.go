package apitest

import (
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

var registrationTests = []test{
	{"Register returns the current service", func(r *run) {
		before := time.Now().Add(-time.Millisecond)
		st := r.register(laneswap.Registration{
			ID: "billing@web-1", Name: "billing", Interval: 30 * time.Second, StaleAfter: 90 * time.Second,
			Tags: []string{"eu", "paid"}, Metadata: map[string]any{"version": "1.2", "port": 8080},
		})
		r.equal("id", st.ID, laneswap.ServiceID("billing@web-1"))
		r.equal("name", st.Name, "billing")
		r.equal("status", st.Status, laneswap.StatusUnknown)
		r.equal("reported", st.ReportedStatus, laneswap.StatusUnknown)
		r.equal("interval", st.Interval, 30*time.Second)
		r.equal("window", st.Window, 90*time.Second)
		r.equal("tags", st.Tags, []string{"eu", "paid"})
		r.equal("metadata", st.Metadata, map[string]any{"version": "1.2", "port": 8080.0})
		r.equal("last heartbeat", st.LastHeartbeat, time.Time{})
		r.equal("beats", st.Beats, uint64(0))
		if st.CreatedAt.Before(before.Truncate(time.Millisecond)) || st.CreatedAt.After(time.Now()) {
			r.Fatalf("created at %v, want now", st.CreatedAt)
		}
		if d := st.Deadline.Sub(st.CreatedAt) - 90*time.Second; d < -time.Second || d > time.Second {
			r.Fatalf("the deadline is %v, want a window after %v", st.Deadline, st.CreatedAt)
		}
		r.equal("what Service says", r.service("billing@web-1"), st)
	}},
	{"Register again changes only new values", func(r *run) {
		reg := laneswap.Registration{ID: "a", Name: "A", Interval: time.Minute, Tags: []string{"x"}, Metadata: map[string]any{"k": "v"}}
		first := r.register(reg)
		r.equal("registered twice", r.register(reg), first)
		second := r.register(laneswap.Registration{ID: "a", Interval: 2 * time.Minute, Tags: []string{"y"}})
		r.equal("name kept", second.Name, "A")
		r.equal("interval replaced", second.Interval, 2*time.Minute)
		r.equal("tags replaced", second.Tags, []string{"y"})
		r.equal("birth kept", second.CreatedAt, first.CreatedAt)
		sum, err := r.Summary(r.ctx)
		r.ok("summary", err)
		r.equal("services", sum.Total, 1)
	}},
	{"Register merges metadata and null removes a key", func(r *run) {
		r.register(laneswap.Registration{ID: "a", Metadata: map[string]any{"keep": 1, "change": "old", "drop": true}})
		st := r.register(laneswap.Registration{ID: "a", Metadata: map[string]any{"change": "new", "drop": nil, "add": []any{"x", 2.5, nil}}})
		r.equal("metadata", st.Metadata, map[string]any{"keep": 1.0, "change": "new", "add": []any{"x", 2.5, nil}})
	}},
	{"Register without an id generates one", func(r *run) {
		first := r.register(laneswap.Registration{Name: "worker"})
		if !uuid.MatchString(string(first.ID)) {
			r.Fatalf("the id %q is no UUID", first.ID)
		}
		second := r.register(laneswap.Registration{Name: "worker"})
		if second.ID == first.ID {
			r.Fatal("a living service was taken over")
		}
	}},
	{"Register without an id adopts a stale service of its name", func(r *run) {
		first := r.register(laneswap.Registration{Name: "worker"})
		other := r.register(laneswap.Registration{Name: "other"})
		r.beat(first.ID, laneswap.Heartbeat{Status: laneswap.StatusShutdown})
		r.beat(other.ID, laneswap.Heartbeat{Status: laneswap.StatusShutdown})
		second := r.register(laneswap.Registration{Name: "worker"})
		r.equal("id", second.ID, first.ID)
		r.equal("birth", second.CreatedAt, first.CreatedAt)
	}},
	{"Register without an id leaves a chosen one alone", func(r *run) {
		r.register(laneswap.Registration{ID: "mine", Name: "worker"})
		r.beat("mine", laneswap.Heartbeat{Status: laneswap.StatusShutdown})
		if st := r.register(laneswap.Registration{Name: "worker"}); st.ID == "mine" {
			r.Fatal("a service with a chosen id was taken over")
		}
	}},
	{"Register without a deadline makes a service that is never stale", func(r *run) {
		st := r.register(laneswap.Registration{ID: "a", NoDeadline: true})
		r.equal("deadline", st.Deadline, time.Time{})
		r.equal("window", st.Window, time.Duration(0))
	}},
	{"A name is by default the id", func(r *run) {
		r.equal("name", r.register(laneswap.Registration{ID: "a-b"}).Name, "a-b")
	}},
	{"Settings of every kind survive", func(r *run) {
		r.register(laneswap.Registration{ID: "a", ForgetAfter: laneswap.Never})
		r.register(laneswap.Registration{ID: "b", ForgetAfter: time.Hour})
		r.register(laneswap.Registration{ID: "c", MustRun: true})
		st, err := r.Report(r.ctx, "c", laneswap.Heartbeat{Status: laneswap.StatusShutdown})
		r.ok("report", err)
		if st.Incident == nil {
			r.Fatal("the goodbye of a service that must run opens no incident")
		}
	}},
	{"Thresholds come back as registered", func(r *run) {
		for i, t := range []laneswap.Threshold{
			{}, {Beats: 1}, {Beats: laneswap.MaxThresholdBeats}, {For: laneswap.MinDuration}, {For: 90*time.Second + time.Nanosecond}, {For: laneswap.MaxThresholdFor},
		} {
			id := laneswap.ServiceID(fmt.Sprint("t", i))
			st := r.register(laneswap.Registration{ID: id, AlertAfter: t, RecoverAfter: laneswap.Threshold{Beats: i + 2}})
			r.equal("alert after", st.AlertAfter, t)
			r.equal("recover after", st.RecoverAfter, laneswap.Threshold{Beats: i + 2})
			r.equal("asked", r.service(id), st)
			st = r.register(laneswap.Registration{ID: id})
			r.equal("registered without", []laneswap.Threshold{st.AlertAfter, st.RecoverAfter}, []laneswap.Threshold{{}, {}})
		}
	}},
	{"Unusual names survive", func(r *run) {
		for i, name := range []string{"Zahlungs-Dienst für Köln", "платежи", "支払い 💴", `quote " slash / \ <b>&amp;`, "a?b=c&d#e%20+"} {
			id := laneswap.ServiceID(fmt.Sprintf("svc-%d", i))
			r.equal("registered", r.register(laneswap.Registration{ID: id, Name: name}).Name, name)
			r.equal("asked", r.service(id).Name, name)
			found := all(r, "services", r.Services(r.ctx, laneswap.ServiceQuery{Name: name}))
			if len(found) != 1 || found[0].ID != id {
				r.Fatalf("by name %q: found %s", name, show(found))
			}
		}
	}},
	{"Names are cleaned where they enter", func(r *run) {
		st := r.register(laneswap.Registration{ID: "a", Name: " ev\x1b[31mil\u202e\nname\x00\xff ", Tags: []string{"t\x07ag\xfe"}, Metadata: map[string]any{"k\u2028ey": "va\xfflue\x1b"}})
		r.equal("name", st.Name, "ev[31mil name")
		r.equal("tags", st.Tags, []string{"tag"})
		r.equal("metadata", st.Metadata, map[string]any{"key": "value"})
	}},
	{"Unusual ids survive", func(r *run) {
		for _, id := range []laneswap.ServiceID{"billing@web-1:8080", "a.b_c-d:e@f", "0", "heartbeat", "UPPER.lower", "a@b@c::d"} {
			r.equal("registered", r.register(laneswap.Registration{ID: id}).ID, id)
			r.beat(id, laneswap.Heartbeat{Message: string(id)})
			r.equal("asked", r.service(id).Message, string(id))
			r.equal("heartbeats", len(all(r, "heartbeats", r.Heartbeats(r.ctx, id))), 1)
			r.ok("remove", r.Remove(r.ctx, id))
		}
	}},
	{"Concurrent use loses nothing", func(r *run) {
		const writers, beats = 8, 25
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				id := laneswap.ServiceID(fmt.Sprintf("own-%d", i))
				for _, id := range []laneswap.ServiceID{id, "shared"} {
					if _, err := r.Register(r.ctx, laneswap.Registration{ID: id}); err != nil {
						r.Error(err)
					}
				}
				for range beats {
					if err := r.Beat(r.ctx, id, laneswap.Heartbeat{}); err != nil {
						r.Error(err)
					}
					if _, err := r.Report(r.ctx, "shared", laneswap.Heartbeat{Message: string(id)}); err != nil {
						r.Error(err)
					}
					for _, err := range r.Services(r.ctx, laneswap.ServiceQuery{}) {
						if err != nil {
							r.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		r.equal("beats of the shared service", r.service("shared").Beats, uint64(writers*beats))
		for i := range writers {
			r.equal("beats", r.service(laneswap.ServiceID(fmt.Sprintf("own-%d", i))).Beats, uint64(beats))
		}
	}},
}
