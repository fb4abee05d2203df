package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

// The limits of a notifiers file.
const (
	maxFileBytes   = 1 << 20
	maxSecretBytes = 1 << 16 // of a file with one secret
	maxNotifiers   = 100
	maxListed      = 100 // in one list of an entry; filters run at each event
	maxPattern     = 512 // bytes
	maxProblems    = 10  // reported at once
)

// readNotifiers reads the notifiers file into c.
func (l *loader) readNotifiers(c *Config) {
	if c.NotifiersFile == "" {
		return
	}
	taken := map[string]string{nameLog: "the log"}
	for _, n := range c.ofVariables() {
		taken[n.Name] = "the notifier of " + n.Called(map[string]string{
			nameDiscord: "discord.webhook", nameWebhook: "webhook.url", nameCommand: "command",
		}[n.Name])
	}
	r := notifiersReader{file: c.NotifiersFile, environ: l.environ, taken: taken, read: readSmall}
	notifiers, problem := r.readFile()
	c.Notifiers = notifiers
	l.refuse("LANESWAP_NOTIFIERS", problem)
}

// notifiersReader reads a notifiers file. Its problems name the entry and the key, and
// quote no secret.
type notifiersReader struct {
	file    string
	environ map[string]string
	taken   map[string]string // names in lower case, and their owners
	read    func(path string, limit int) ([]byte, error)

	problems  []string
	variables []string // the variables that hold secrets of the current entry
}

// readFile returns the notifiers, or the problem of the file.
func (r *notifiersReader) readFile() (notifiers []Notifier, problem string) {
	if strings.Contains(r.file, "://") {
		return nil, "is an address, it must be the path of a file" // not quoted: it may be a webhook
	}
	label := "names the file " + strconv.Quote(laneswap.Sanitize(r.file)) + ": "
	data, err := r.read(r.file, maxFileBytes)
	if err != nil {
		return nil, label + err.Error()
	}
	tree, err := parseTree(data)
	if err != nil {
		return nil, label + err.Error()
	}
	notifiers = r.notifiers(tree)
	if more := len(r.problems) - maxProblems; more > 0 {
		r.problems = append(r.problems[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	if len(r.problems) > 0 {
		return nil, label + strings.Join(r.problems, "; ")
	}
	return notifiers, ""
}

func (r *notifiersReader) refuse(where, text string) {
	r.problems = append(r.problems, where+" "+text)
}

func (r *notifiersReader) notifiers(tree any) []Notifier {
	members, ok := tree.(map[string]any)
	if !ok {
		r.refuse("it", `must be an object, such as {"notifiers": [...]}`)
		return nil
	}
	o := object{reader: r, members: members, seen: map[string]bool{}}
	entries := o.list("notifiers")
	o.refuseUnknown()
	if _, given := members["notifiers"]; !given {
		r.refuse("it", `has no "notifiers"`)
	}
	if len(entries) > maxNotifiers {
		r.refuse("notifiers", fmt.Sprintf("has %d entries, the limit is %d", len(entries), maxNotifiers))
		return nil
	}
	var all []Notifier
	for i, entry := range entries {
		all = append(all, r.notifier(i+1, entry))
	}
	return all
}

// notifier reads an entry.
func (r *notifiersReader) notifier(number int, tree any) Notifier {
	label := fmt.Sprintf("entry %d", number)
	members, ok := tree.(map[string]any)
	if !ok {
		r.refuse(label, "must be an object")
		return Notifier{}
	}
	if name, ok := members["name"].(string); ok && validName(name) {
		label += " (" + name + ")"
	}
	o := object{reader: r, entry: label, members: members, seen: map[string]bool{}}
	n := Notifier{Name: o.name(), file: r.file, entry: label}
	r.variables = nil
	o.kind(&n)
	n.variables = r.variables
	for _, s := range o.texts("levels") {
		n.Levels = append(n.Levels, o.level("levels", s))
	}
	if s := o.text("min_level"); s != "" {
		n.MinLevel = o.level("min_level", s)
	}
	for _, s := range o.texts("statuses") {
		st, err := laneswap.ParseStatus(s)
		if err != nil {
			o.refuse("statuses", "holds "+shown(s)+", which is not a status")
		}
		n.Statuses = append(n.Statuses, st)
	}
	n.Services, n.NotServices = o.patterns("services"), o.patterns("not_services")
	for _, s := range o.texts("tags") {
		if utf8.RuneCountInString(s) > 64 {
			o.refuse("tags", "holds "+shown(s)+", which is longer than the 64 characters of a tag")
		}
		n.Tags = append(n.Tags, s)
	}
	n.Immediately = o.flag("immediately")
	o.refuseUnknown()
	return n
}

// kind reads the part that decides the kind of notifier.
func (o *object) kind(n *Notifier) {
	var kinds []string
	for _, kind := range []string{nameDiscord, nameWebhook, nameCommand} {
		if _, given := o.members[kind]; given {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) != 1 {
		has := "has none of discord, webhook and command"
		if len(kinds) > 1 {
			has = "has " + strings.Join(kinds, " and ")
		}
		o.reader.refuse(o.entry, has+", it must have one of them")
	}
	if d := o.object(nameDiscord); d != nil {
		n.Discord = Discord{Webhook: d.secret("webhook", true), Username: d.text("username"), AvatarURL: d.text("avatar_url")}
		d.refuseUnknown()
	}
	if w := o.object(nameWebhook); w != nil {
		n.Webhook = Webhook{URL: w.secret("url", true), Secret: w.secret("secret", false), Private: w.flag("private"), Headers: w.headers()}
		w.refuseUnknown()
	}
	if argv := o.texts(nameCommand); argv != nil {
		var p problem
		if err := n.Command.set(argv); errors.As(err, &p) {
			o.refuse(nameCommand, string(p))
		}
	}
}

// name reads the name, which must be unique.
func (o *object) name() string {
	name := o.text("name")
	if _, given := o.members["name"]; !given {
		o.refuse("name", "is missing")
	}
	if name == "" {
		return ""
	}
	if !validName(name) {
		// Not quoted: it may be anything.
		o.refuse("name", "must be 1 to 64 letters, digits and . _ - and begin with a letter or digit")
		return ""
	}
	folded := strings.ToLower(name)
	if whose := o.reader.taken[folded]; whose != "" {
		o.refuse("name", "is the name of "+whose)
	}
	o.reader.taken[folded] = o.entry
	return name
}

func validName(name string) bool {
	for i, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

func (o *object) level(key, s string) laneswap.Level {
	l, err := laneswap.ParseLevel(s)
	if err != nil {
		o.refuse(key, "holds "+shown(s)+", it must be one of info, success, warning, error")
	}
	return l
}

// patterns reads patterns of services.
func (o *object) patterns(key string) []string {
	list := o.texts(key)
	for _, p := range list {
		if _, err := path.Match(p, ""); err != nil || len(p) > maxPattern {
			o.refuse(key, "holds "+shown(p)+", which is not a pattern")
		}
	}
	return list
}

// shown quotes a value inside a problem.
func shown(s string) string { return strings.TrimPrefix(quote(s), "is ") }

// readSmall reads a regular file: anything else might never end, or never begin.
func readSmall(path string, limit int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileReason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, problem("it is not a regular file")
	}
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fileReason(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, fileReason(err)
	}
	if len(data) > limit {
		return nil, problem(fmt.Sprintf("it is larger than %d bytes", limit))
	}
	return data, nil
}

// fileReason returns err without the path, which the problem names already or must
// not name.
func fileReason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
