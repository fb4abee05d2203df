package discord

import (
	"net/http"
	"time"

	"github.com/laneswap/laneswap"
)

// Message is the body of the request for a notification.
func Message(n *Notifier, note laneswap.Notification) (contentType string, body []byte, err error) {
	m, err := n.message(note)
	return m.contentType, m.body, err
}

// PlainMessage is the body of the request after a refusal.
func PlainMessage(n *Notifier, note laneswap.Notification) (contentType string, body []byte, err error) {
	m, err := n.plain(note, true)
	return m.contentType, m.body, err
}

// BarePlainMessage is the body of the request after the refusal of a file.
func BarePlainMessage(n *Notifier, note laneswap.Notification) (contentType string, body []byte, err error) {
	m, err := n.plain(note, false)
	return m.contentType, m.body, err
}

// Address is where requests go.
func Address(n *Notifier) string { return n.to.url }

// RetryAfterOf reads a 429.
func RetryAfterOf(h http.Header, body string) (time.Duration, bool) {
	return retryAfter(h, []byte(body), time.Now())
}

// Functions of this package.
var (
	Paragraph   = paragraph
	Words       = words
	Span        = span
	Width       = width
	Visible     = visible
	BlamesField = blamesField
)

// List returns the file of a digest, of at most limit bytes.
func List(items []laneswap.Item, limit int) string { return list(items, limit) }

// MaxFile is the limit of the file of a digest.
const MaxFile = maxFile

// InvalidLimit is how many refused requests a notifier makes in ten minutes.
const InvalidLimit = invalidLimit
