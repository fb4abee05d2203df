package discord

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strings"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// The limits of a message, as documented; all lengths in UTF-16 units.
const (
	maxContent     = 2000
	maxEmbeds      = 10
	maxTitle       = 256
	maxDescription = 4096
	maxFields      = 25
	maxValue       = 1024
	maxFooter      = 2048
	maxEmbedText   = 6000 // of all embeds together
)

// The colours of embeds.
const (
	red    = 15158332
	green  = 3066993
	orange = 15965202
	blue   = 3447003
	grey   = 9807270
)

// payload is a message in Discord's format.
type payload struct {
	Content     string       `json:"content,omitempty"`
	Username    string       `json:"username,omitempty"`
	AvatarURL   string       `json:"avatar_url,omitempty"`
	Embeds      []embed      `json:"embeds,omitempty"`
	Mentions    mentions     `json:"allowed_mentions"`
	Attachments []attachment `json:"attachments,omitempty"`

	file string // the content of the attachment, if any
}

// mentions allows no mentions. Without it Discord would notify those whom the text
// mentions.
type mentions struct {
	Parse []string `json:"parse"`
}

type embed struct {
	Title       string  `json:"title,omitempty"`
	Description string  `json:"description,omitempty"`
	Color       int     `json:"color"`
	Fields      []field `json:"fields,omitempty"`
	Footer      *footer `json:"footer,omitempty"`
	Timestamp   string  `json:"timestamp,omitempty"`
}

type field struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline,omitempty"`
}

type footer struct {
	Text string `json:"text"`
}

type attachment struct {
	ID       int    `json:"id"`
	Filename string `json:"filename"`
}

// fileName is the name of the file that lists the services of a digest.
const fileName = "services.txt"

// message is the body of a request.
type message struct {
	body        []byte
	contentType string
	file        bool // the message has a file
}

// message returns the message with embeds.
func (n *Notifier) message(note laneswap.Notification) (message, error) {
	return compose(note, n.user, n.avatar).encode()
}

// plain returns the message that follows when Discord refused the first: text only, and
// a file if it needs one and file allows it.
func (n *Notifier) plain(note laneswap.Notification, file bool) (message, error) {
	return composePlain(note, file).encode()
}

// compose returns the payload of a notification.
func compose(note laneswap.Notification, user, avatar string) payload {
	p := payload{Username: user, AvatarURL: avatar, Mentions: mentions{[]string{}}}
	switch {
	case note.Kind == laneswap.NoticeTest:
		p.Embeds = []embed{testEmbed(note)}
	case len(note.Items) > 1, note.Kind == laneswap.NoticeDigest, note.Kind == laneswap.NoticeMassSilence:
		p.Embeds, p.file = digest(note)
	case len(note.Items) == 1:
		p.Embeds = []embed{itemEmbed(note, note.Items[0])}
	default: // the Manager sends none without items
		p.Embeds = []embed{itemEmbed(note, laneswap.Item{Event: note.Event, Text: note.Text})}
	}
	if p.file != "" {
		p.Attachments = []attachment{{0, fileName}}
	}
	return p
}

// composePlain returns the payload with the same content as one text. If that cannot
// name every service, the payload has a file if file allows it; else it counts the rest.
func composePlain(note laneswap.Notification, file bool) payload {
	p := payload{Mentions: mentions{[]string{}}}
	if len(note.Items) > 1 {
		p.Content, p.file = plainDigest(note, file)
		if p.file != "" {
			p.Attachments = []attachment{{0, fileName}}
		}
		return p
	}
	item := laneswap.Item{Event: note.Event}
	if len(note.Items) == 1 {
		item = note.Items[0]
	}
	last := escaped(footerText(note, item), maxFooter/2)
	text := paragraph(note.Text, maxContent-width(last)-1)
	if item.Event.Service == "" && len(item.Earlier) > 0 {
		// note.Text might be cut before the latest event.
		text = strings.TrimSpace(title(note, item.Event) + "\n" + ownText(note.Items, ownPlain))
	}
	if text == "" {
		text = title(note, item.Event)
	}
	p.Content = text + "\n" + last
	return p
}

// encode returns the body of a request: JSON, or a form if there is a file.
func (p payload) encode() (message, error) {
	data, err := wirejson.Encode(p)
	if err != nil {
		return message{}, fmt.Errorf("discord: the message cannot be encoded: %w", err)
	}
	if p.file == "" {
		return message{data, "application/json", false}, nil
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	parts := []struct{ disposition, kind, data string }{
		{`form-data; name="payload_json"`, "application/json", string(data)},
		{`form-data; name="files[0]"; filename="` + fileName + `"`, "text/plain; charset=utf-8", p.file},
	}
	for _, part := range parts {
		out, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {part.disposition}, "Content-Type": {part.kind}})
		if err == nil {
			_, err = out.Write([]byte(part.data))
		}
		if err != nil {
			return message{}, fmt.Errorf("discord: the message cannot be encoded: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return message{}, fmt.Errorf("discord: the message cannot be encoded: %w", err)
	}
	return message{form.Bytes(), w.FormDataContentType(), true}, nil
}
