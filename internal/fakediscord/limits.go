package fakediscord

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// The limits of a message. Lengths are in UTF-16 units.
const (
	MaxContent     = 2000
	MaxEmbeds      = 10
	MaxTitle       = 256
	MaxDescription = 4096
	MaxFields      = 25
	MaxFieldName   = 256
	MaxFieldValue  = 1024
	MaxFooter      = 2048
	MaxAuthor      = 256
	MaxEmbedText   = 6000 // of all embeds together
	MaxUsername    = 80
	MaxFiles       = 10
	MaxFileSize    = 10 << 20 // bytes; servers and users may have more
)

// Problem is a reason to refuse a message.
type Problem struct {
	Path string // such as "embeds.0.fields.2.value"; "" is the whole
	Code string
	Text string
}

func (p Problem) String() string { return strings.TrimPrefix(p.Path+": "+p.Text, ": ") }

// Validate returns the problems of a message, or of an edit, with that content type and
// body: what Discord refuses, and what LaneSwap must not send.
func Validate(contentType string, body []byte, edit bool) []Problem {
	_, _, _, problems := examine(contentType, body, edit)
	return problems
}

func examine(contentType string, body []byte, edit bool) (text []byte, p Payload, files []File, problems []Problem) {
	text, files, problems = parse(contentType, body)
	p, more := decode(text)
	c := checker{problems: append(problems, more...)}
	if len(text) > maxJSON {
		c.add("", "SIZE", "the message has %d bytes of JSON", len(text))
	}
	if !utf8.Valid(text) || bytes.ContainsRune(text, 0) {
		c.add("", "UTF8", "the JSON is not valid UTF-8, or has NUL in it")
	}
	c.message(&p, files, edit)
	c.files(&p, files)
	c.embeds(p.Embeds)
	c.policy(&p)
	return text, p, files, c.problems
}

// checker collects problems.
type checker struct {
	problems []Problem
	total    int // UTF-16 units in embeds
}

func (c *checker) add(path, code, format string, args ...any) {
	c.problems = append(c.problems, Problem{path, code, fmt.Sprintf(format, args...)})
}

// Width returns the length of s in UTF-16 units.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// length checks a text that must not be empty; Discord trims it first.
func (c *checker) length(path, text string, limit int) {
	n := Width(text)
	if !visible(text) {
		c.add(path, "BASE_TYPE_REQUIRED", "This field is required")
	}
	if n > limit {
		c.add(path, "BASE_TYPE_MAX_LENGTH", "Must be %d or fewer in length, is %d.", limit, n)
	}
}

// visible reports whether a text has a visible character.
func visible(text string) bool {
	return strings.TrimFunc(text, func(r rune) bool {
		return r <= ' ' || r == 0x85 || r == 0xa0 || 0x2000 <= r && r <= 0x200f || 0x2028 <= r && r <= 0x202f || 0x2060 <= r && r <= 0x206f || r == 0x3000 || r == 0xfeff
	}) != ""
}

func (c *checker) message(p *Payload, files []File, edit bool) {
	if !edit && p.Content == "" && len(p.Embeds) == 0 && len(files) == 0 {
		c.add("", "50006", "Cannot send an empty message")
	}
	if p.Content != "" {
		c.length("content", p.Content, MaxContent)
	}
	if p.Username != nil {
		name := *p.Username
		c.length("username", name, MaxUsername)
		for _, bad := range []string{"clyde", "discord"} {
			if strings.Contains(strings.ToLower(name), bad) {
				c.add("username", "USERNAME_INVALID_CONTAINS", "Username cannot contain %q", bad)
			}
		}
		if edit {
			c.add("username", "UNKNOWN_FIELD", "an edit cannot change the username")
		}
	}
	if p.AvatarURL != nil {
		c.link("avatar_url", *p.AvatarURL)
	}
	if p.Flags&^(1<<2|1<<12) != 0 {
		c.add("flags", "FLAGS", "only SUPPRESS_EMBEDS and SUPPRESS_NOTIFICATIONS can be set")
	}
}

func (c *checker) files(p *Payload, files []File) {
	if len(files) > MaxFiles {
		c.add("files", "BASE_TYPE_MAX_LENGTH", "there are %d files", len(files))
	}
	for _, f := range files {
		path := fmt.Sprintf("files[%d]", f.Number)
		if len(f.Data) > MaxFileSize {
			c.add(path, "40005", "Request entity too large: %d bytes", len(f.Data))
		}
		if !utf8.ValidString(f.Name) || strings.ContainsAny(f.Name, "/\\\x00") {
			c.add(path, "FILENAME", "the filename is %q", f.Name)
		}
		if len(p.Attachments) > 0 && !slices.ContainsFunc(p.Attachments, func(a Attachment) bool { return a.ID.String() == fmt.Sprint(f.Number) }) {
			c.add(path, "ATTACHMENT", "is not among the attachments")
		}
	}
	for i, a := range p.Attachments {
		if !slices.ContainsFunc(files, func(f File) bool { return a.ID.String() == fmt.Sprint(f.Number) }) {
			c.add(fmt.Sprintf("attachments.%d", i), "ATTACHMENT", "there is no file of that number")
		}
		if Width(a.Description) > 1024 {
			c.add(fmt.Sprintf("attachments.%d.description", i), "BASE_TYPE_MAX_LENGTH", "Must be 1024 or fewer in length.")
		}
	}
}

func (c *checker) embeds(embeds []Embed) {
	if len(embeds) > MaxEmbeds {
		c.add("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length, is %d.", len(embeds))
	}
	for i, e := range embeds {
		at := fmt.Sprintf("embeds.%d", i)
		if e.Title == nil && e.Description == nil && e.Author == nil && e.Footer == nil && e.Image == nil && e.Thumbnail == nil && len(e.Fields) == 0 {
			c.add(at, "LIST_ITEM_VALUE_REQUIRED", "List item values of ModelType are required")
		}
		c.text(at+".title", e.Title, MaxTitle)
		c.text(at+".description", e.Description, MaxDescription)
		if e.Footer != nil {
			c.text(at+".footer.text", &e.Footer.Text, MaxFooter)
		}
		if e.Author != nil {
			c.text(at+".author.name", &e.Author.Name, MaxAuthor)
		}
		if len(e.Fields) > MaxFields {
			c.add(at+".fields", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length, is %d.", len(e.Fields))
		}
		for j, f := range e.Fields {
			c.text(fmt.Sprintf("%s.fields.%d.name", at, j), &f.Name, MaxFieldName)
			c.text(fmt.Sprintf("%s.fields.%d.value", at, j), &f.Value, MaxFieldValue)
		}
		if e.Color != nil && (*e.Color < 0 || *e.Color > 0xffffff) {
			c.add(at+".color", "NUMBER_TYPE_MAX", "int value should be less than or equal to 16777215, is %d", *e.Color)
		}
		if e.Timestamp != nil {
			if _, err := time.Parse(time.RFC3339, *e.Timestamp); err != nil {
				c.add(at+".timestamp", "DATE_TIME_TYPE_PARSE", "Could not parse %q", *e.Timestamp)
			}
		}
		if e.URL != nil {
			c.link(at+".url", *e.URL)
		}
		for name, picture := range map[string]*Picture{"thumbnail": e.Thumbnail, "image": e.Image} {
			if picture != nil {
				c.link(at+"."+name+".url", picture.URL)
			}
		}
	}
	if c.total > MaxEmbedText {
		c.add("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000: %d", c.total)
	}
}

// text checks a text of an embed, if present.
func (c *checker) text(path string, text *string, limit int) {
	if text != nil {
		c.length(path, *text, limit)
		c.total += Width(*text)
	}
}

func (c *checker) link(path, link string) {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "attachment" || len(link) > 2048 {
		c.add(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.")
	}
}

// mention matches what notifies somebody or looks like it: everyone, here, users, roles,
// and other uses of angle brackets.
var mention = regexp.MustCompile(`(?i)@everyone|@here|<@[!&]?\d+>|<#\d+>|</[^>]+:\d+>|<id:[a-z-]+>`)

// policy checks what Discord accepts but LaneSwap must not send.
func (c *checker) policy(p *Payload) {
	switch m := p.AllowedMentions; {
	case m == nil || m.Parse == nil:
		c.add("allowed_mentions", "LANESWAP", `must be {"parse":[]}, in edits too`)
	case len(*m.Parse) > 0 || len(m.Roles) > 0 || len(m.Users) > 0 || m.RepliedUser:
		c.add("allowed_mentions", "LANESWAP", "allows mentions")
	}
	if p.TTS {
		c.add("tts", "LANESWAP", "must not be read aloud")
	}
	p.texts(func(place, text string) {
		if found := mention.FindString(text); found != "" {
			c.add(place, "LANESWAP", "mentions %q", found)
		}
		if !strings.HasSuffix(place, "footer.text") && !strings.HasSuffix(place, "author.name") && maskedLink(text) { // those have no markdown
			c.add(place, "LANESWAP", "has a link under another text")
		}
	})
}

// maskedLink reports whether a text has an unescaped link [text](address).
func maskedLink(text string) bool {
	open, closed := false, false // an opening bracket was seen; a closing one just now
	escaped := false
	for _, r := range text {
		switch {
		case escaped:
			escaped, closed = false, false
			continue
		case r == '\\':
			escaped, closed = true, false
			continue
		case r == '(' && closed:
			return true
		}
		closed = r == ']' && open
		open = open || r == '['
	}
	return false
}
