// Package wirejson holds what the client and the API agree on: how JSON is
// encoded, and the names of headers and members.
package wirejson

import (
	"bytes"
	"encoding/json"
)

// The headers of answers.
const (
	BootHeader    = "LaneSwap-Boot"    // The random id of one run of the server.
	JournalHeader = "LaneSwap-Journal" // The id of the numbering of the events in a stream.
)

// Durability is part of an answer. Durable is false when the storage of the
// server does not have yet what the answer acknowledges, and otherwise absent.
type Durability struct {
	Durable *bool `json:"durable,omitempty"`
}

// DurabilityOf returns the member for an answer.
func DurabilityOf(durable bool) Durability {
	if durable {
		return Durability{}
	}
	return Durability{&durable}
}

// Missing reports whether the storage of the server lacks what was acknowledged.
func (d Durability) Missing() bool { return d.Durable != nil && !*d.Durable }

// Encode returns v as JSON in one line, without the escapes for HTML: they make
// text up to six times as long.
func Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes()[:buf.Len()-1], nil // it ends with a newline
}
