package discord_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// hostile are texts that a service, or an attacker in its place, might send.
var hostile = []string{
	"", " ", "   \t\n ", "\u00a0\u3000\u2003", "\u200b\u200d\ufeff", "\u2800\u3164", "\u0301\u0302",
	strings.Repeat("🔥", 25_000), strings.Repeat("👨‍👩‍👧‍👦", 4_000), strings.Repeat("\\", 10_000), strings.Repeat("*_~|`[<", 3_000), strings.Repeat("漢", 40_000),
	strings.Repeat("a", 255) + "\\", strings.Repeat("a", 1023) + "_", strings.Repeat("a", 1022) + "😀", strings.Repeat("@everyone ", 500),
	"@everyone", "@EveryOne @HERE", "<@80351110224678912> <@!80351110224678912> <@&165511591545143296> <#103735883630395392> </airhorn:816437322781949972> <id:customize>",
	"@\u200beveryone", "@\x00everyone", "@\u202eeveryone", "<\u200b@123>", "<@\u200d123>", "\\<@123>", "@@everyone@here",
	"[click](https://evil.example)", "[a\\](b)[c](d)", "[[a]](b)", "[a]\n(b)", "[a]\u200b(b)", "!" + "[i](https://evil.example/i.png)", "<https://evil.example>", "https://evil.example/a_b_c",
	"# heading\n## two\n-# small\n> quote\n>>> all\n- list\n* list\n+ list\n1. one\n2) two\n```go\ncode\n```\n||spoiler|| ~~gone~~ __under__ **bold** *it* `c`",
	"\x00\x01\x1b[31m\x1b]0;t\x07\x7f\u0085\u009b2J\r\n", "\xff\xfe\xc3\x28\xed\xa0\x80\xf0\x9f\x94", "\u202eabc\u2066\u2069", "\U000e0041\U0010ffff\ufffd",
	":fire: :100: 10:20:30 <:mmLol:216154654256398347> <a:b1nzy:392938283556143104> <t:1618953630:R>", "discord clyde",
}

// spoken returns a notification in which every text is a or b.
func spoken(kind laneswap.NoticeKind, items int, a, b string) laneswap.Notification {
	tags := make([]string, 40)
	for i := range tags {
		tags[i] = fmt.Sprintf("key%d=%s", i, b)
	}
	note := laneswap.Notification{ID: b, Kind: kind, Title: a, Text: b + "\n" + a, Finding: a, Attempt: 1}
	for i := range items {
		ev := laneswap.Event{
			ID: b + "/1", Kind: laneswap.EventDown, Service: laneswap.ServiceID(b), Name: a, Tags: tags, From: laneswap.Status(b), To: laneswap.Status(a),
			Message: a, At: told, Incident: b, StartedAt: told.Add(-time.Hour), SilentSince: told, Cause: b, Duration: time.Hour,
		}
		switch i % 7 {
		case 1:
			ev.Kind, ev.To = laneswap.EventRecovered, laneswap.StatusHealthy
		case 2:
			ev.Kind = laneswap.EventKind(a)
		case 3:
			ev.Service = ""
		case 4:
			ev.Kind, ev.To = laneswap.EventWorse, laneswap.StatusStale
		case 5:
			ev.Kind = laneswap.EventUnheard
		case 6:
			ev.Kind = laneswap.EventRemoved
		}
		earlier := make([]laneswap.Event, i%14)
		for k := range earlier {
			earlier[k] = ev
			earlier[k].Incident = fmt.Sprint(b, "/", k/2)
		}
		note.Items = append(note.Items, laneswap.Item{Event: ev, Earlier: earlier, Text: a + b, Flapping: i % 3, Reminder: time.Duration(i % 2)})
	}
	if items > 0 {
		note.Event = note.Items[0].Event
	}
	return note
}

// fits requires that Discord accepts all messages of a notification, and that they have
// neither mentions nor hidden links.
func fits(t *testing.T, n *discord.Notifier, note laneswap.Notification) {
	t.Helper()
	contentType, body, err := discord.Message(n, note)
	require.NoError(t, err)
	require.Empty(t, fakediscord.Validate(contentType, body, false), "%s", cutForShow(body))
	require.True(t, utf8.Valid(body))
	contentType, body, err = discord.PlainMessage(n, note)
	require.NoError(t, err)
	require.Empty(t, fakediscord.Validate(contentType, body, false), "%s", cutForShow(body))
	contentType, body, err = discord.BarePlainMessage(n, note)
	require.NoError(t, err)
	require.Equal(t, "application/json", contentType, "no file")
	require.Empty(t, fakediscord.Validate(contentType, body, false), "%s", cutForShow(body))
}

func cutForShow(body []byte) []byte { return body[:min(len(body), 4000)] }

var long = flag.Bool("long", false, "try each hostile text in each kind of notification")

func TestMessage_fitsAnyTextOfServices(t *testing.T) {
	t.Parallel()
	n := newNotifier(t)
	kinds := []laneswap.NoticeKind{laneswap.NoticeEvent, laneswap.NoticeDigest, laneswap.NoticeMassSilence, laneswap.NoticeFlapping, laneswap.NoticeReminder, laneswap.NoticeTest, "of a later version"}
	for i, a := range hostile {
		for k, kind := range kinds {
			if !*long && k != i%len(kinds) {
				continue
			}
			b := hostile[(i+k+1)%len(hostile)]
			fits(t, n, spoken(kind, []int{0, 1, 2, 15}[(i+k)%4], a, b))
			fits(t, n, spoken(kind, 1, a, b))
		}
		fits(t, n, spoken(laneswap.NoticeMassSilence, min(300, 1<<20/(len(a)+1)), a, "svc"))
	}
}

func FuzzPayload(f *testing.F) {
	for i, text := range hostile {
		repeat := len(text) / 64
		text = strings.ToValidUTF8(text[:min(len(text), 64)], "\xff")
		f.Add(uint8(i), uint16(i), uint16(repeat), text, hostile[len(hostile)-1-i][:min(len(hostile[len(hostile)-1-i]), 64)])
	}
	n := newNotifier(f)
	kinds := []laneswap.NoticeKind{laneswap.NoticeEvent, laneswap.NoticeDigest, laneswap.NoticeMassSilence, laneswap.NoticeFlapping, laneswap.NoticeReminder, laneswap.NoticeTest}
	f.Fuzz(func(t *testing.T, kind uint8, items, repeat uint16, a, b string) {
		// Long texts by repetition: an input of 100 kB is slow to mutate.
		a = strings.Repeat(a, min(int(repeat), 128<<10/max(len(a), 1))+1)
		fits(t, n, spoken(kinds[int(kind)%len(kinds)], min(int(items)%400, 1<<20/(len(a)+len(b)+1)+1), a, b))
	})
}
