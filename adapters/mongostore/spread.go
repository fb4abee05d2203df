package mongostore

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/laneswap/laneswap"
)

// maxDepth is how deep metadata is nested that others get to see; MongoDB itself
// takes a hundred.
const maxDepth = 20

// parts are the fields of a service that are there for others.
type parts struct {
	set  bson.D
	last *bson.DateTime // last_heartbeat; nil when the row does not say
	is   bool           // a service at all: else there are none
}

// fields are those of a new document.
func (p parts) fields() bson.D {
	switch {
	case !p.is:
		return nil
	case p.last == nil:
		return append(p.set, bson.E{Key: "last_heartbeat", Value: nil})
	}
	return append(p.set, bson.E{Key: "last_heartbeat", Value: *p.last})
}

// spread takes the fields for others from the data of a service: an object that
// has a name or a status. What it does not say is as new, but created_at and
// last_heartbeat stay as they are.
func spread(row laneswap.Row) parts {
	var data map[string]json.RawMessage
	if json.Unmarshal(row.Data, &data) != nil {
		return parts{}
	}
	text := func(key string) (string, bool) {
		var v *string
		if raw, ok := data[key]; !ok || json.Unmarshal(raw, &v) != nil || v == nil {
			return "", false
		}
		return *v, true
	}
	when := func(key string) (bson.DateTime, bool) {
		v, ok := text(key)
		if !ok {
			return 0, false
		}
		t, err := time.Parse(time.RFC3339Nano, v)
		return date(t), err == nil && validTime(t)
	}
	name, named := text("name")
	status, stated := text("status")
	if !named && !stated {
		return parts{}
	}
	if !named {
		name = row.ID
	}
	if !stated {
		status = "unknown"
	}
	p := parts{is: true, set: bson.D{{Key: "name", Value: name}, {Key: "status", Value: status}}}
	var message any
	if v, ok := text("message"); ok {
		message = v
	}
	p.set = append(p.set, bson.E{Key: "message", Value: message}, bson.E{Key: "metadata", Value: metadata(data["metadata"])})
	if v, ok := when("created_at"); ok {
		p.set = append(p.set, bson.E{Key: "created_at", Value: v})
	}
	if v, ok := when("last_heartbeat"); ok {
		p.last = &v
	}
	return p
}

// metadata makes a document of a JSON object, an empty one of anything else.
func metadata(raw json.RawMessage) bson.D {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v map[string]any
	if dec.Decode(&v) != nil {
		return bson.D{}
	}
	d, _ := subdocument(v, maxDepth).(bson.D)
	return d
}

// subdocument makes what a document can hold of a JSON value; what it cannot hold
// is left out.
func subdocument(v any, depth int) any {
	switch v := v.(type) {
	case map[string]any:
		d := bson.D{}
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if key == "" || key[0] == '$' || strings.ContainsAny(key, ".\x00") || depth == 0 {
				continue
			}
			if inner := subdocument(v[key], depth-1); inner != omitted {
				d = append(d, bson.E{Key: key, Value: inner})
			}
		}
		return d
	case []any:
		if depth == 0 {
			return omitted
		}
		a := bson.A{}
		for _, element := range v {
			if inner := subdocument(element, depth-1); inner != omitted {
				a = append(a, inner)
			}
		}
		return a
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil && !math.IsInf(f, 0) {
			return f
		}
		return omitted
	}
	return v
}

// omitted stands for what no document can hold.
var omitted = any(omission{})

type omission struct{}
