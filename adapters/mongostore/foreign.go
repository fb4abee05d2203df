package mongostore

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/laneswap/laneswap"
)

// foreign reads the documents of others in heartbeats, in the order of rows. They
// are those that no Manager has put yet: few, or an import. Of several of one
// service the latest counts.
func (s *Store) foreign(ctx context.Context, t *table) ([]laneswap.Row, error) {
	latest := map[string]laneswap.Row{}
	filter := bson.D{{Key: fEpoch, Value: bson.D{{Key: "$exists", Value: false}}}}
	err := s.scan(ctx, t.coll, filter, options.Find().SetBatchSize(pageRows), func(raw bson.Raw) bool {
		if row, ok := adopt(raw); ok {
			if other, twice := latest[row.ID]; !twice || other.At.Before(row.At) {
				latest[row.ID] = row
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	rows := make([]laneswap.Row, 0, len(latest))
	for _, row := range latest {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, inOrder)
	return rows, nil
}

// inOrder is the order of rows of one kind.
func inOrder(a, b laneswap.Row) int {
	return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
}

// adopted is a service as others wrote it, as the row that a Manager reads.
type adopted struct {
	ID            string         `json:"id"`
	Name          string         `json:"name,omitempty"`
	Status        string         `json:"status,omitempty"`
	Message       string         `json:"message,omitempty"`
	Metadata      map[string]any `json:"metadata,omitempty"`
	CreatedAt     *time.Time     `json:"created_at,omitempty"`
	LastHeartbeat *time.Time     `json:"last_heartbeat,omitempty"`
}

// adopt makes a row of a document of others. It fails on what is no service.
func adopt(raw bson.Raw) (laneswap.Row, bool) {
	text := func(key string) string {
		v, _ := raw.Lookup(key).StringValueOK()
		return strings.ToValidUTF8(v, "\ufffd")
	}
	id, ok := raw.Lookup(fID).StringValueOK()
	if !ok || !validID(id, 1) {
		return laneswap.Row{}, false
	}
	a := adopted{
		ID: id, Name: text("name"), Status: text("status"), Message: text("message"),
		CreatedAt: moment(raw.Lookup("created_at")), LastHeartbeat: moment(raw.Lookup("last_heartbeat")),
	}
	if doc, ok := raw.Lookup("metadata").DocumentOK(); ok {
		a.Metadata, _ = plain(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc}, maxDepth).(map[string]any)
	}
	row := laneswap.Row{Kind: laneswap.KindService, ID: id, Service: id, Open: true}
	if at := cmp.Or(a.LastHeartbeat, a.CreatedAt); at != nil {
		row.At = *at
	}
	var err error
	if row.Data, err = json.Marshal(a); err != nil || len(row.Data) > 1<<20 {
		// Nobody reads so much of a service; its name and its times are worth more.
		a.Metadata = nil
		if len(a.Name)+len(a.Status)+len(a.Message) > 1<<16 {
			a.Name, a.Status, a.Message = "", "", ""
		}
		row.Data, err = json.Marshal(a)
	}
	return row, err == nil
}

// isoLayouts are how Python writes times as text. Without a zone they are in UTC.
var isoLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02",
}

// moment is the time in a field, in UTC and whole milliseconds; nil when there is
// none. Numbers are seconds since 1970.
func moment(v bson.RawValue) *time.Time {
	var t time.Time
	switch v.Type {
	case bson.TypeDateTime:
		t = time.UnixMilli(v.DateTime())
	case bson.TypeTimestamp:
		seconds, _ := v.Timestamp()
		t = time.Unix(int64(seconds), 0)
	case bson.TypeDouble, bson.TypeInt32, bson.TypeInt64:
		seconds, ok := v.AsFloat64OK()
		if !ok || !(math.Abs(seconds) < 1e11) {
			return nil
		}
		t = time.UnixMilli(int64(math.Round(seconds * 1000)))
	case bson.TypeString:
		found := false
		for _, layout := range isoLayouts {
			var err error
			if t, err = time.Parse(layout, strings.TrimSpace(v.StringValue())); err == nil {
				found = true
				break
			}
		}
		if !found {
			return nil
		}
	default:
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	if !validTime(t) {
		return nil
	}
	return &t
}

// plain is a value of a document as JSON has it; omitted when JSON has none.
func plain(v bson.RawValue, depth int) any {
	switch v.Type {
	case bson.TypeNull:
		return nil
	case bson.TypeString:
		if text := v.StringValue(); utf8.ValidString(text) {
			return text
		}
		return strings.ToValidUTF8(v.StringValue(), "\ufffd")
	case bson.TypeBoolean:
		return v.Boolean()
	case bson.TypeInt32, bson.TypeInt64:
		return v.AsInt64()
	case bson.TypeDouble:
		if f := v.Double(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	case bson.TypeDateTime:
		if t := moment(v); t != nil {
			return t.Format(time.RFC3339Nano)
		}
	case bson.TypeObjectID:
		return v.ObjectID().Hex()
	case bson.TypeDecimal128:
		return v.Decimal128().String()
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return nested(v, depth)
	}
	return omitted
}

func nested(v bson.RawValue, depth int) any {
	// An array is stored as a document whose keys are numbers.
	elements, err := bson.Raw(v.Value).Elements()
	if err != nil || depth == 0 {
		return omitted
	}
	if v.Type == bson.TypeArray {
		a := []any{}
		for _, e := range elements {
			if inner := plain(e.Value(), depth-1); inner != omitted {
				a = append(a, inner)
			}
		}
		return a
	}
	m := map[string]any{}
	for _, e := range elements {
		if inner := plain(e.Value(), depth-1); inner != omitted {
			m[strings.ToValidUTF8(e.Key(), "\ufffd")] = inner
		}
	}
	return m
}
