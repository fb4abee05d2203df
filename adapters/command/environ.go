package command

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
)

const (
	prefix   = "LANESWAP_"
	maxValue = 1 << 10 // bytes of a variable
	maxText  = 8 << 10 // bytes of LANESWAP_TEXT
)

// environ returns the environment of the program for a notification.
func (n *Notifier) environ(note laneswap.Notification) []string {
	env := n.env
	if env == nil {
		env = inherited(os.Environ(), n.kept)
	}
	env = env[:len(env):len(env)]
	if n.dir != "" {
		env = append(env, "PWD="+n.dir)
	}
	ev := note.Event
	for _, v := range []struct{ name, value string }{
		{"NOTICE_ID", note.ID},
		{"KIND", string(note.Kind)},
		{"TITLE", note.Title},
		{"LEVEL", string(maxLevel(note))},
		{"ITEMS", strconv.Itoa(len(note.Items))},
		{"SERVICE", string(ev.Service)},
		{"NAME", ev.Name},
		{"EVENT", string(ev.Kind)},
		{"EVENT_ID", ev.ID},
		{"STATUS", string(ev.To)},
		{"PREVIOUS_STATUS", string(ev.From)},
		{"MESSAGE", ev.Message},
		{"INCIDENT", ev.Incident},
		{"ATTEMPT", strconv.Itoa(note.Attempt)},
	} {
		env = append(env, prefix+v.name+"="+text.Cut(laneswap.Sanitize(v.value), maxValue))
	}
	return append(env, prefix+"TEXT="+lines(note.Text))
}

// inherited returns env without LaneSwap's own settings, which hold secrets, and without
// the named variables. It ignores case, as Windows does.
func inherited(env, without []string) []string {
	kept := []string{} // not nil: exec would inherit everything
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		own := len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
		if !own && !slices.ContainsFunc(without, func(other string) bool { return strings.EqualFold(name, other) }) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// lines cleans each line of a text. It cuts before it cleans, because the text may be
// long.
func lines(s string) string {
	var clean []string
	for line := range strings.SplitSeq(text.Cut(s, maxText), "\n") {
		clean = append(clean, laneswap.Sanitize(line))
	}
	return strings.Join(clean, "\n")
}

// maxLevel returns the most severe level of all items.
func maxLevel(note laneswap.Notification) laneswap.Level {
	order := map[laneswap.Level]int{laneswap.LevelInfo: 0, laneswap.LevelSuccess: 1, laneswap.LevelWarning: 2, laneswap.LevelError: 3}
	level := note.Event.Level()
	for i := range note.Items {
		if l := note.Items[i].Event.Level(); order[l] > order[level] {
			level = l
		}
	}
	return level
}
