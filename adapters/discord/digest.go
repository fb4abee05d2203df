package discord

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

const (
	// maxFile bounds the list of services, in bytes. Discord accepts 10 MiB; the rest is
	// for the form around the file.
	maxFile = 9 << 20

	maxFinding   = 350 // characters of the finding
	maxLine      = 500 // characters of a service's line in an embed
	lineMessage  = 100 // characters of the message in that line
	maxLines     = 300 // lines that fit into the embeds, however short
	fileMessage  = 200 // characters of a message in the file
	groupReserve = 60  // characters of an embed besides its names: the title, "and 1000 more"
)

// group holds the services of a digest with the same status.
type group struct {
	name   string
	rank   int
	colour int
	items  []laneswap.Item
}

// digest returns the embeds of a notification about several services: a head, and one
// for each group. If not every service fits in with a line of its own, the embeds hold
// as many names as fit, and the file holds a line for each service.
func digest(note laneswap.Notification) (embeds []embed, file string) {
	groups, own := grouped(note.Items)
	head := embed{
		Title: title(note, note.Event), Color: mostUrgent(note, groups),
		Footer: &footer{digestFooter(note)}, Timestamp: stamp(newest(note.Items)),
	}
	text := headText(note, own, ownInDigest)
	if len(note.Items) <= maxLines {
		if embeds, ok := inLines(head, text, groups); ok {
			return embeds, ""
		}
	}
	return inNames(head, text, groups, len(note.Items)), list(note.Items, maxFile)
}

// grouped sorts items into groups, the most urgent first, and returns items about
// LaneSwap itself separately. There are at most nine groups: six bad or unknown
// statuses, shutdown, removed, recovered.
func grouped(items []laneswap.Item) (groups []group, own []laneswap.Item) {
	byName := map[string]*group{}
	for _, item := range items {
		ev := item.Event
		if ev.Service == "" {
			own = append(own, item)
			continue
		}
		g := group{name: status(ev.To), rank: laneswap.Status(status(ev.To)).Compare(laneswap.StatusCritical)}
		switch {
		case ev.Kind == laneswap.EventRemoved:
			g = group{name: "removed", rank: 100}
		case ev.Level() == laneswap.LevelSuccess, ev.To.Good() && ev.To != laneswap.StatusShutdown:
			g = group{name: "recovered", rank: 101}
		}
		if byName[g.name] == nil {
			g.colour = colour(laneswap.Item{Event: ev})
			byName[g.name] = &g
		}
		byName[g.name].items = append(byName[g.name].items, item)
	}
	for _, g := range byName {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(a.rank, b.rank) })
	return groups, own
}

// mostUrgent returns the colour of the first group, which is the most urgent.
func mostUrgent(note laneswap.Notification, groups []group) int {
	switch {
	case note.Kind == laneswap.NoticeMassSilence:
		return red
	case len(groups) > 0:
		return groups[0].colour
	}
	return colour(laneswap.Item{Event: note.Event})
}

func newest(items []laneswap.Item) time.Time {
	var last time.Time
	for _, item := range items {
		if item.Event.At.After(last) {
			last = item.Event.At
		}
	}
	return last
}

// digestFooter returns the id of the message: the incidents are in its lines.
func digestFooter(note laneswap.Notification) string {
	return strings.TrimSuffix("LaneSwap · "+words(note.ID, maxFooter/8), " · ")
}

// headText returns the text before the services: what LaneSwap found out about itself,
// and at most limit events about itself.
func headText(note laneswap.Notification, own []laneswap.Item, limit int) string {
	return strings.TrimSpace(paragraph(note.Finding, maxFinding) + "\n" + ownText(own, limit))
}

// inLines returns embeds with a line for each service, or false if they do not fit.
func inLines(head embed, text string, groups []group) ([]embed, bool) {
	head.Description = text
	embeds := []embed{head}
	total := head.width()
	for _, g := range groups {
		e := embed{Title: g.title(), Color: g.colour}
		for _, item := range g.items {
			next := line(item)
			if e.Description != "" && width(e.Description)+1+width(next) > maxDescription {
				total += e.width()
				embeds = append(embeds, e)
				e = embed{Color: g.colour} // the group continues
			}
			e.Description = strings.TrimPrefix(e.Description+"\n"+next, "\n")
			if total+e.width() > maxEmbedText {
				return nil, false
			}
		}
		total += e.width()
		embeds = append(embeds, e)
	}
	return embeds, len(embeds) <= maxEmbeds
}

// inNames returns embeds with as many names as fit, and says where the rest are.
func inNames(head embed, text string, groups []group, all int) []embed {
	where := fmt.Sprintf("All %d are in %s, one line each.", all, fileName)
	head.Description = strings.TrimSpace(text + "\n" + where)
	embeds := []embed{head}
	for i, room := range rooms(groups, maxEmbedText-head.width()) {
		g := groups[i]
		embeds = append(embeds, embed{Title: g.title(), Description: names(g.items, room-groupReserve, itemName), Color: g.colour})
	}
	return embeds
}

// rooms shares the rest of a message among the groups: equally, but what a group does
// not need goes to the others.
func rooms(groups []group, left int) []int {
	needs, order := make([]int, len(groups)), make([]int, len(groups))
	for i, g := range groups {
		order[i] = i
		needs[i] = groupReserve + min(width(names(g.items, maxDescription, itemName)), maxDescription)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(needs[a], needs[b]) })
	out := make([]int, len(groups))
	for n, i := range order {
		out[i] = min(needs[i], left/(len(order)-n))
		left -= out[i]
	}
	return out
}

// width returns what an embed counts towards the limit over all embeds.
func (e embed) width() int {
	n := width(e.Title) + width(e.Description)
	for _, f := range e.Fields {
		n += width(f.Name) + width(f.Value)
	}
	if e.Footer != nil {
		n += width(e.Footer.Text)
	}
	return n
}

func (g *group) title() string { return fmt.Sprintf("%s: %d", g.name, len(g.items)) }

// line returns the line of a service in an embed.
func line(item laneswap.Item) string {
	ev := item.Event
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**", itemName(item))
	before := status(ev.From)
	if len(item.Earlier) > 0 {
		before = status(item.Earlier[0].From)
	}
	switch {
	case item.Flapping > 0:
		fmt.Fprintf(&b, " flapping, %s changes in 30 minutes", changes(item.Flapping))
	case item.Reminder > 0:
		fmt.Fprintf(&b, " bad for %s", span(item.Reminder))
	case ev.Duration > 0:
		fmt.Fprintf(&b, " after %s", span(ev.Duration))
	case len(item.Earlier) > 0 && before == status(ev.To):
		b.WriteString(" again") // the title has the status
	default:
		fmt.Fprintf(&b, " was %s", before)
	}
	if since := silence(ev); since != "" && ev.Kind != laneswap.EventRecovered {
		fmt.Fprintf(&b, ", silent since %s", since)
	}
	if ids, _ := incidents(item, nameLimit/2, escaped); ids != "" {
		fmt.Fprintf(&b, " · %s", ids)
	}
	if message := escaped(ev.Message, min(lineMessage, maxLine-width(b.String())-2)); message != "" {
		fmt.Fprintf(&b, ": %s", message)
	}
	return b.String()
}

// itemName returns the name of a service in a list; never "".
func itemName(item laneswap.Item) string {
	ev := item.Event
	return cmp.Or(escaped(ev.Name, nameLimit), escaped(string(ev.Service), nameLimit), "(no name)")
}

// itemIncident returns a name with its incidents.
func itemIncident(item laneswap.Item) string {
	if ids, _ := incidents(item, nameLimit, escaped); ids != "" {
		return itemName(item) + " · " + ids
	}
	return itemName(item)
}

// names lists as many items as fit, as write writes them, and counts the rest.
func names(items []laneswap.Item, limit int, write func(laneswap.Item) string) string {
	var b strings.Builder
	used := 0
	for i, item := range items {
		name := write(item)
		if i > 0 {
			name = ", " + name
		}
		rest := fmt.Sprintf(" and %d more", len(items)-i)
		if need := used + width(name); need > limit || i < len(items)-1 && need+len(rest) > limit {
			return strings.TrimSpace(b.String() + rest)
		}
		b.WriteString(name)
		used += width(name)
	}
	return b.String()
}

// list returns the file: a line for each service, without their messages if that
// exceeds limit bytes, and with fewer services if that does too.
func list(items []laneswap.Item, limit int) string {
	for _, maxMessage := range []int{fileMessage, 0} {
		var b strings.Builder
		for i, item := range items {
			text := fileLine(item, maxMessage)
			if b.Len()+len(text) > limit-100 {
				if maxMessage > 0 {
					break
				}
				fmt.Fprintf(&b, "and %d more\n", len(items)-i)
				return b.String()
			}
			b.WriteString(text)
			if i == len(items)-1 {
				return b.String()
			}
		}
	}
	return ""
}

// fileLine returns the line of a service in the file, with up to maxMessage characters
// of its message.
func fileLine(item laneswap.Item, maxMessage int) string {
	ev := item.Event
	if ev.Service == "" {
		return fmt.Sprintf("%-9s %s\n", "laneswap", words(cmp.Or(item.Text, ev.Name), 5*fileMessage))
	}
	var b strings.Builder
	state := status(ev.To)
	if ev.Kind == laneswap.EventRemoved {
		state = "removed"
	}
	name, id := words(ev.Name, nameLimit), words(string(ev.Service), nameLimit)
	fmt.Fprintf(&b, "%-9s %s", state, cmp.Or(name, id, "(no name)"))
	if id != name && id != "" && name != "" {
		fmt.Fprintf(&b, " (%s)", id)
	}
	fmt.Fprintf(&b, ", was %s", status(ev.From))
	if item.Flapping > 0 {
		fmt.Fprintf(&b, ", flapping, %s changes in 30 minutes", changes(item.Flapping))
	}
	if item.Reminder > 0 {
		fmt.Fprintf(&b, ", bad for %s", span(item.Reminder))
	}
	if ev.Duration > 0 {
		fmt.Fprintf(&b, ", after %s", span(ev.Duration))
	}
	if silence(ev) != "" {
		fmt.Fprintf(&b, ", silent since %s", ev.SilentSince.UTC().Format(time.RFC3339))
	}
	if ids, many := incidents(item, nameLimit, words); many {
		fmt.Fprintf(&b, ", incidents %s", ids)
	} else if ids != "" {
		fmt.Fprintf(&b, ", incident %s", ids)
	}
	if message := words(ev.Message, maxMessage); maxMessage > 0 && message != "" {
		fmt.Fprintf(&b, ": %s", message)
	}
	return b.String() + "\n"
}

// plainDigest returns a digest as one text. If that cannot name all services, it counts
// the rest, or, with mayFile, adds a file that lists all.
func plainDigest(note laneswap.Notification, mayFile bool) (text, file string) {
	groups, own := grouped(note.Items)
	var items []laneswap.Item
	var all []string
	for _, g := range groups {
		items = append(items, g.items...)
		all = append(all, g.name+": "+names(g.items, 1<<30, itemIncident))
	}
	head := strings.TrimSpace(title(note, note.Event)+"\n"+headText(note, own, ownPlain)) + "\n"
	if whole := head + strings.Join(all, "\n"); width(whole) <= maxContent {
		return strings.TrimSpace(whole), ""
	}
	if !mayFile {
		return head + names(items, maxContent-width(head), itemName), ""
	}
	where := "All are in " + fileName + ": "
	return head + where + names(items, maxContent-width(head)-width(where)-groupReserve, itemName), list(note.Items, maxFile)
}
