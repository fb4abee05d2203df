package notifiertest

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

// limits tests extreme messages. The Manager cleans and cuts the texts of services, but
// not to the limits of a receiver.
var limits = []test{
	limit("Limits_aLongMessage", func() laneswap.Notification {
		long := strings.Repeat("\U0001F525\U0001F468\u200D\U0001F692", 100_000/15)
		ev := down(now, "long", long)
		ev.Message, ev.Cause, ev.Tags = long, long, []string{long, long}
		note := single("long", laneswap.NoticeEvent, laneswap.Item{Event: ev, Earlier: []laneswap.Event{ev, ev}, Text: long})
		note.Title, note.Text, note.Finding = long, long, long
		return note
	}),
	limit("Limits_oneWordWithoutEnd", func() laneswap.Notification {
		ev := down(now, "word", strings.Repeat("a", 100_000))
		ev.Message = strings.Repeat("\u6f22", 40_000)
		return single("word", laneswap.NoticeReminder, laneswap.Item{Event: ev, Reminder: 1<<63 - 1, Text: ev.Message})
	}),
	limit("Limits_aDigestOfTenThousand", func() laneswap.Notification {
		items := make([]laneswap.Item, 10_000)
		for i := range items {
			ev := down(now.Add(time.Duration(i)*time.Millisecond), laneswap.ServiceID(fmt.Sprintf("svc-%d@host", i)), fmt.Sprintf("service %d", i))
			items[i] = laneswap.Item{Event: ev, Text: ev.Name + " is stale, was healthy, silent since 2026-03-29T01:29:00Z"}
		}
		return several("many", laneswap.NoticeDigest, items)
	}),
	limit("Limits_noText", func() laneswap.Notification {
		return laneswap.Notification{Kind: laneswap.NoticeEvent, Items: []laneswap.Item{{}}}
	}),
	limit("Limits_onlySpaces", func() laneswap.Notification {
		return spoken(" \u00a0\u3000 ", "  ")
	}),
	limit("Limits_controlCharacters", func() laneswap.Notification {
		return spoken("\x00\x01\x07\x08\x1b[31;1m\x1b]0;title\x07\r\n\t\x7f\u0085\u009b2J\u202e\u2066\u200b\u2028\ufeff", "a\x00b\r\nX-Header: 1")
	}),
	limit("Limits_invalidUTF8", func() laneswap.Notification {
		return spoken("\xff\xfe\xc3\x28 \xed\xa0\x80 \xf0\x9f\x94", "\x80id\xc0\xaf")
	}),
	limit("Limits_markup", func() laneswap.Notification {
		return spoken("@everyone @here <@123> <@&456> <#789> [click](https://example.org) **b** `c` ```\n# h\n> q ||s|| </script><script>alert(1)</script> ${x} $(reboot) `reboot` ; | & %s %n {{.}} \\ \" '", "id")
	}),
	limit("Limits_timesAtTheEdges", func() laneswap.Notification {
		ev := down(time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), "late", "late")
		ev.SilentSince, ev.StartedAt, ev.Duration = time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Unix(0, 0), 1<<63-1
		old := ev
		old.At = time.Time{}
		return single("edges", laneswap.NoticeFlapping, laneswap.Item{Event: ev, Earlier: []laneswap.Event{old}, Flapping: 1 << 30, Text: "late"})
	}),
}

// spoken returns a digest of two items in which every text is this one.
func spoken(text, id string) laneswap.Notification {
	ev := laneswap.Event{
		ID: id, Kind: laneswap.EventDown, Service: laneswap.ServiceID(id), Name: text, Tags: []string{text}, From: laneswap.StatusHealthy,
		To: laneswap.StatusError, Message: text, At: now, Incident: id, StartedAt: now, Cause: text,
	}
	odd := ev
	odd.Kind, odd.From, odd.To = laneswap.EventKind(text), laneswap.Status(text), laneswap.Status(text)
	return laneswap.Notification{
		ID: id, Kind: laneswap.NoticeMassSilence, Event: ev, Title: text, Text: text, Finding: text, Attempt: 1,
		Items: []laneswap.Item{{Event: ev, Earlier: []laneswap.Event{odd}, Text: text}, {Event: odd, Text: text}},
	}
}

// limit tests that a notifier delivers an extreme message: whole or cut, as valid UTF-8,
// without a panic.
func limit(name string, edge func() laneswap.Notification) test {
	return test{name, func(r *run) {
		s, n, delivered := r.make()
		r.deliver("Notify", n, edge())
		if !utf8.ValidString(delivered()) {
			r.Error("the delivered message is not valid UTF-8")
		}
		for _, req := range s.received() {
			if !utf8.ValidString(req.uri) || !utf8.ValidString(fmt.Sprint(req.header)) {
				r.Errorf("a header is not valid UTF-8: %q", req.header)
			}
			// A text that ends a header would begin another one.
			if req.header.Get("X-Header") != "" {
				r.Error("a text of the message became a header")
			}
		}
	}}
}
