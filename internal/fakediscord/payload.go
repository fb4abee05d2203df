package fakediscord

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"regexp"
	"strconv"
)

// Payload is a message as sent. The fake refuses fields of Discord that LaneSwap does
// not use (components, polls, stickers).
type Payload struct {
	Content         string           `json:"content,omitempty"`
	Username        *string          `json:"username,omitempty"`
	AvatarURL       *string          `json:"avatar_url,omitempty"`
	TTS             bool             `json:"tts,omitempty"`
	Embeds          []Embed          `json:"embeds,omitempty"`
	AllowedMentions *AllowedMentions `json:"allowed_mentions,omitempty"`
	Attachments     []Attachment     `json:"attachments,omitempty"`
	Flags           int              `json:"flags,omitempty"`
	ThreadName      string           `json:"thread_name,omitempty"`
}

// AllowedMentions says who may be mentioned.
type AllowedMentions struct {
	Parse       *[]string `json:"parse,omitempty"`
	Roles       []string  `json:"roles,omitempty"`
	Users       []string  `json:"users,omitempty"`
	RepliedUser bool      `json:"replied_user,omitempty"`
}

// Embed is one embed of a message. Its texts are pointers to distinguish an empty text
// from none.
type Embed struct {
	Title       *string  `json:"title,omitempty"`
	Description *string  `json:"description,omitempty"`
	URL         *string  `json:"url,omitempty"`
	Timestamp   *string  `json:"timestamp,omitempty"`
	Color       *int     `json:"color,omitempty"`
	Footer      *Footer  `json:"footer,omitempty"`
	Author      *Author  `json:"author,omitempty"`
	Thumbnail   *Picture `json:"thumbnail,omitempty"`
	Image       *Picture `json:"image,omitempty"`
	Fields      []Field  `json:"fields,omitempty"`
}

// Footer is the last line of an embed.
type Footer struct {
	Text    string  `json:"text"`
	IconURL *string `json:"icon_url,omitempty"`
}

// Author is the first line of an embed.
type Author struct {
	Name    string  `json:"name"`
	URL     *string `json:"url,omitempty"`
	IconURL *string `json:"icon_url,omitempty"`
}

// Picture is an image in an embed.
type Picture struct {
	URL string `json:"url"`
}

// Field is a name and a value in an embed.
type Field struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline,omitempty"`
}

// Attachment describes a file of the message, by the number in the name of its part.
type Attachment struct {
	ID          json.Number `json:"id"`
	Filename    string      `json:"filename,omitempty"`
	Description string      `json:"description,omitempty"`
}

// File is a file of a message.
type File struct {
	Number int // n of files[n]
	Name   string
	Data   []byte
}

// Text returns all visible texts of the message, one a line, in the order in which
// Discord shows them, without files.
func (p *Payload) Text() string {
	var b bytes.Buffer
	p.texts(func(_, text string) { b.WriteString(text + "\n") })
	return b.String()
}

// Field returns the value of the first field of that name in any embed, and
// whether there is one.
func (p *Payload) Field(name string) (value string, ok bool) {
	for _, e := range p.Embeds {
		for _, f := range e.Fields {
			if f.Name == name {
				return f.Value, true
			}
		}
	}
	return "", false
}

// texts calls f with the place and the content of each visible text.
func (p *Payload) texts(f func(place, text string)) {
	f("content", p.Content)
	for i, e := range p.Embeds {
		at := "embeds." + strconv.Itoa(i) + "."
		for _, t := range []struct {
			name string
			text *string
		}{{"title", e.Title}, {"description", e.Description}} {
			if t.text != nil {
				f(at+t.name, *t.text)
			}
		}
		if e.Author != nil {
			f(at+"author.name", e.Author.Name)
		}
		for j, field := range e.Fields {
			f(fmt.Sprintf("%sfields.%d.name", at, j), field.Name)
			f(fmt.Sprintf("%sfields.%d.value", at, j), field.Value)
		}
		if e.Footer != nil {
			f(at+"footer.text", e.Footer.Text)
		}
	}
}

// The limits of a request, in bytes.
const (
	maxRequest = 32 << 20
	maxJSON    = 1 << 20
)

var filePart = regexp.MustCompile(`^files\[(\d{1,3})\]$`)

// parse reads a message from the body of a request, as JSON or as a form with files.
func parse(contentType string, body []byte) (text []byte, files []File, problems []Problem) {
	kind, params, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && kind == "application/json":
		return body, nil, nil
	case err == nil && kind == "multipart/form-data":
	default:
		return nil, nil, []Problem{{"", "CONTENT_TYPE", "the content type is neither application/json nor multipart/form-data"}}
	}
	form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	seen := map[string]bool{}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return text, files, problems
		}
		if err != nil {
			return text, files, append(problems, Problem{"", "FORM", "the form is broken: " + err.Error()})
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return text, files, append(problems, Problem{"", "FORM", "the form is broken: " + err.Error()})
		}
		name := part.FormName()
		if seen[name] {
			problems = append(problems, Problem{name, "FORM", "comes twice"})
		}
		seen[name] = true
		switch m := filePart.FindStringSubmatch(name); {
		case name == "payload_json":
			text = data
		case m != nil && part.FileName() != "":
			n, _ := strconv.Atoi(m[1]) // up to three digits
			files = append(files, File{Number: n, Name: part.FileName(), Data: data})
		default:
			problems = append(problems, Problem{name, "FORM", "is neither payload_json nor a file files[n] with a filename"})
		}
	}
}

// decode reads the JSON of a message, and reports unknown fields.
func decode(text []byte) (p Payload, problems []Problem) {
	if len(text) == 0 {
		return p, nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, []Problem{{"", "JSON", err.Error()}}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		problems = append(problems, Problem{"", "JSON", "there is more after the message"})
	}
	return p, problems
}
