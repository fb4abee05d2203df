package discord_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

// TestDigest_saysThatServicesAreBadAgain has a service recover and fall silent again
// before anybody was told: that it "was stale" would say nothing.
func TestDigest_saysThatServicesAreBadAgain(t *testing.T) {
	t.Parallel()
	note := many(laneswap.NoticeDigest, 2)
	back := note.Items[0].Event
	back.Kind, back.From, back.To = laneswap.EventRecovered, laneswap.StatusStale, laneswap.StatusHealthy
	note.Items[0].Earlier = []laneswap.Event{back}
	_, body, err := discord.Message(newNotifier(t), note)
	require.NoError(t, err)
	p, _ := read(t, "application/json", body)
	require.Contains(t, p.Text(), "**service 0** again, silent since <t:")
	require.Contains(t, p.Text(), "**service 1** was healthy, silent since <t:")
}

// read takes a body apart into what the fake knows of it.
func read(t *testing.T, contentType string, body []byte) (p fakediscord.Payload, file string) {
	t.Helper()
	require.Empty(t, fakediscord.Validate(contentType, body, false))
	text, file := parts(t, contentType, body)
	require.NoError(t, json.Unmarshal(text, &p))
	return p, file
}

func TestDigest_namesEveryServiceInOneMessage(t *testing.T) {
	t.Parallel()
	n := newNotifier(t)
	for _, count := range []int{2, 11, 60, 100, 300, 10_000} {
		for _, kind := range []laneswap.NoticeKind{laneswap.NoticeDigest, laneswap.NoticeMassSilence} {
			if count == 10_000 && kind == laneswap.NoticeDigest {
				continue // once is enough
			}
			note := many(kind, count)
			note.Finding = "the gateway answers"
			for _, make := range []func(*discord.Notifier, laneswap.Notification) (string, []byte, error){discord.Message, discord.PlainMessage} {
				contentType, body, err := make(n, note)
				require.NoError(t, err)
				p, file := read(t, contentType, body)
				require.Contains(t, p.Text(), "the gateway answers")
				if file == "" {
					for i := range count {
						require.Regexp(t, fmt.Sprintf(`\bservice %d\b`, i), p.Text())
						require.Regexp(t, fmt.Sprintf(`\bsvc-%d/1\b`, i), p.Text(), "the incident is named")
					}
					continue
				}
				require.Contains(t, p.Text(), "services.txt", "the message says where all of them are")
				require.Contains(t, p.Text(), "service 0, service 1, ")
				if count >= 1000 {
					require.Regexp(t, ` and \d+ more\n`, p.Text())
				}
				lines := strings.Split(strings.TrimSuffix(file, "\n"), "\n")
				require.Len(t, lines, count, "a line for each service")
				for i, line := range lines {
					require.Equal(t, fmt.Sprintf("stale     service %d (svc-%d), was healthy, silent since 2026-03-29T01:29:00Z, incident svc-%d/1", i, i, i), line)
				}
			}
		}
	}
	_, body, err := discord.Message(n, many(laneswap.NoticeDigest, 70))
	require.NoError(t, err)
	require.Equal(t, byte('{'), body[0], "seventy fit without a file")
}

func TestDigest_givesEachGroupItsColourAndRoom(t *testing.T) {
	t.Parallel()
	n := newNotifier(t)
	note := many(laneswap.NoticeDigest, 2000)
	to := []laneswap.Status{laneswap.StatusCritical, laneswap.StatusError, laneswap.StatusStale, laneswap.StatusDegraded, laneswap.StatusWarning, laneswap.StatusUnknown, laneswap.StatusShutdown}
	for i := range note.Items {
		ev := &note.Items[i].Event
		switch {
		case i < 1400:
			ev.To = laneswap.StatusStale
		case i < 1402:
			ev.Kind, ev.To = laneswap.EventRemoved, laneswap.StatusStale
		case i < 1404:
			ev.Kind, ev.To = laneswap.EventRecovered, laneswap.StatusIdle
		case i == 1404:
			ev.Service, ev.Name, ev.Message = "", "LaneSwap", "the storage is back"
			ev.Kind, ev.To = laneswap.EventStorageBack, ""
		default:
			ev.To = to[i%len(to)]
		}
	}
	contentType, body, err := discord.Message(n, note)
	require.NoError(t, err)
	p, file := read(t, contentType, body)
	require.Len(t, p.Embeds, 10)
	require.Equal(t, 2000, strings.Count(file, "\n"))
	require.Contains(t, file, "laneswap  LaneSwap")
	require.Contains(t, *p.Embeds[0].Description, "the storage is back")
	var titles []string
	colours := map[string]int{}
	total := 0
	for _, e := range p.Embeds[1:] {
		name, _, _ := strings.Cut(*e.Title, ":")
		titles = append(titles, name)
		colours[name] = *e.Color
		require.NotEmpty(t, *e.Description)
		total += strings.Count(*e.Description, "service ")
	}
	require.Equal(t, []string{"critical", "error", "stale", "degraded", "warning", "unknown", "shutdown", "removed", "recovered"}, titles, "the most urgent first")
	require.Equal(t, map[string]int{
		"critical": 15158332, "error": 15158332, "stale": 15158332, "degraded": 15965202, "warning": 15965202,
		"unknown": 9807270, "shutdown": 15158332, "removed": 9807270, "recovered": 3066993,
	}, colours)
	require.Greater(t, total, 250, "the room is used")
	small := p.Embeds[slices.Index(titles, "recovered")+1]
	require.Equal(t, "service 1402, service 1403", *small.Description, "a small group is whole")
}

func TestList_staysBelowItsLimit(t *testing.T) {
	t.Parallel()
	require.Less(t, discord.MaxFile, fakediscord.MaxFileSize*95/100, "the form around it needs some room")
	const limit = discord.MaxFile / 64
	note := many(laneswap.NoticeMassSilence, 125)
	long := strings.Repeat("漢", 700)
	for i := range note.Items {
		ev := &note.Items[i].Event
		ev.Name = fmt.Sprint(i, " ", long[:384])
		ev.Service = laneswap.ServiceID(fmt.Sprint(i, "-", strings.Repeat("i", 120)))
		ev.Message, ev.Incident = long, string(ev.Service)+"/1"
	}
	file := discord.List(note.Items, limit)
	require.Equal(t, len(note.Items), strings.Count(file, "\n"))
	require.NotContains(t, file, ": 漢", "the messages do not fit")
	require.LessOrEqual(t, len(file), limit)
	for i := range note.Items { // longer than anything that the Manager makes
		note.Items[i].Event.Name, note.Items[i].Event.Service, note.Items[i].Event.Incident = long, laneswap.ServiceID(long[3:]), long
	}
	file = discord.List(note.Items, limit)
	require.Regexp(t, `and \d+ more\n$`, file[len(file)-30:])
	require.LessOrEqual(t, len(file), limit)
}

func TestDigest_tellsOfLaneSwapItselfAllOfIt(t *testing.T) {
	t.Parallel()
	own := laneswap.Event{ID: "storage/2", Kind: laneswap.EventStorageBack, Name: "LaneSwap", Message: "the storage took all that waited", At: told, Duration: 90 * time.Second}
	away := laneswap.Event{ID: "storage/1", Kind: laneswap.EventStorageAway, Name: "LaneSwap", Message: "the storage does not answer", At: told.Add(-90 * time.Second)}
	item := laneswap.Item{Event: own, Earlier: []laneswap.Event{away}, Text: "LaneSwap: back"}
	for _, note := range []laneswap.Notification{
		{ID: "a", Kind: laneswap.NoticeEvent, Title: "LaneSwap: storage back", Items: []laneswap.Item{item}, Event: own},
		{ID: "b", Kind: laneswap.NoticeDigest, Title: "2 services", Items: []laneswap.Item{item, {Event: event("a", "a")}}, Event: own},
	} {
		contentType, body, err := discord.Message(newNotifier(t), note)
		require.NoError(t, err)
		p, _ := read(t, contentType, body)
		require.Contains(t, p.Text(), "the storage does not answer\nthe storage took all that waited")
	}
}

// More events about LaneSwap than fit: the message counts the rest, and keeps the last
// one and losses of data.
func TestDigest_countsOwnEventsThatDoNotFit(t *testing.T) {
	t.Parallel()
	n := newNotifier(t)
	said := regexp.MustCompile(`own-\d+ happened`)
	more := regexp.MustCompile(`(?m)^(\d+) more, then$`)
	for _, tail := range []string{"", strings.Repeat(" *", 1000)} {
		for _, count := range []int{2, 5, 8, 15, 200} {
			item := laneswap.Item{Text: "LaneSwap: much"}
			for i := range count {
				ev := laneswap.Event{
					ID: fmt.Sprint("/laneswap/", i), Kind: laneswap.EventStorageAway, Name: "LaneSwap", At: told.Add(time.Duration(i) * time.Minute),
					Message: fmt.Sprintf("own-%d happened%s", i, tail),
				}
				if i%2 == 1 {
					ev.Kind = laneswap.EventStorageBack
				}
				if i == count/3 {
					ev.Kind = laneswap.EventStorageLost
				}
				item.Earlier = append(item.Earlier, ev)
			}
			item.Event, item.Earlier = item.Earlier[count-1], item.Earlier[:count-1]
			digest := many(laneswap.NoticeDigest, 12)
			digest.Finding = strings.Repeat("found ", 100)
			digest.Items = append(digest.Items, item)
			big := many(laneswap.NoticeMassSilence, 400)
			big.Items = append(big.Items, item)
			alone := laneswap.Notification{ID: "a", Kind: laneswap.NoticeEvent, Title: "LaneSwap: storage back", Text: item.Text, Event: item.Event, Items: []laneswap.Item{item}}
			for kind, note := range map[string]laneswap.Notification{"digest": digest, "with a file": big, "alone": alone} {
				for form, make := range []func(*discord.Notifier, laneswap.Notification) (string, []byte, error){discord.Message, discord.PlainMessage, discord.BarePlainMessage} {
					what := fmt.Sprint(kind, ", form ", form, ", of ", count)
					contentType, body, err := make(n, note)
					require.NoError(t, err)
					p, _ := read(t, contentType, body)
					text := p.Text()
					require.Contains(t, text, fmt.Sprintf("own-%d happened", count/3), "%s: what was lost", what)
					require.Contains(t, text, fmt.Sprintf("own-%d happened", count-1), "%s: the last", what)
					total := len(said.FindAllString(text, -1))
					for _, found := range more.FindAllStringSubmatch(text, -1) {
						left, err := strconv.Atoi(found[1])
						require.NoError(t, err)
						total += left
					}
					require.Equal(t, count, total, "%s: %s", what, text)
				}
			}
		}
	}
}
