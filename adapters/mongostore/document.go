package mongostore

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/laneswap/laneswap"
)

// The fields of a row. Those in collections that others write to as well begin
// with ls_; ls_epoch is in every document of ours and in no other.
const (
	fID      = "id"
	fKind    = "ls_kind" // not in heartbeats
	fService = "ls_service"
	fAt      = "ls_at"
	fOpen    = "ls_open"
	fEpoch   = "ls_epoch"
	fData    = "ls_data" // a string, or binary where it is none; missing when empty
)

var (
	majority = writeconcern.Majority()
	primary  = readpref.Primary()
)

// table is a collection of rows.
type table struct {
	coll *mongo.Collection
	// identity is the field that a row is found by: _id, which is made of kind and
	// id, but id where documents may be those of others.
	identity string
}

// tables are the collections of a store.
type tables struct {
	services, errors, rows *table
	seen                   *mongo.Collection
	all                    []*table
}

func newTables(db *mongo.Database, o settings) *tables {
	t := &tables{
		services: &table{db.Collection(o.heartbeats), fID},
		errors:   &table{db.Collection(o.errors), "_id"},
		rows:     &table{db.Collection(rowsCollection), "_id"},
		seen:     db.Collection(seenCollection),
	}
	t.all = []*table{t.services, t.errors, t.rows}
	return t
}

// of is where rows of a kind are; nil for what is seen.
func (t *tables) of(kind laneswap.Kind) *table {
	switch kind {
	case laneswap.KindService:
		return t.services
	case laneswap.KindError:
		return t.errors
	case laneswap.KindSeen:
		return nil
	}
	return t.rows
}

// shared reports whether the documents may be those of others.
func (t *table) shared() bool { return t.identity == fID }

// identify is what a row's identity field holds.
func (t *table) identify(k laneswap.Key) string {
	if t.shared() {
		return k.ID
	}
	return documentID(k)
}

// documentID is the _id of the document that is made for a row: of several
// writers one succeeds.
func documentID(k laneswap.Key) string {
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(string(k.Kind)) + "/" + k.ID
}

// date is a time as it is stored: whole milliseconds since 1970.
func date(t time.Time) bson.DateTime { return bson.DateTime(t.UnixMilli()) }

// ceiling is the first time that can be stored and is not before t.
func ceiling(t time.Time) bson.DateTime {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return bson.DateTime(ms)
}

// own are the fields of a row that are the store's, in every collection.
func own(row laneswap.Row, epoch uint64) bson.D {
	d := bson.D{
		{Key: fService, Value: row.Service}, {Key: fAt, Value: date(row.At)},
		{Key: fOpen, Value: row.Open}, {Key: fEpoch, Value: int64(epoch)},
	}
	switch {
	case len(row.Data) == 0:
	case utf8.Valid(row.Data):
		d = append(d, bson.E{Key: fData, Value: string(row.Data)})
	default:
		d = append(d, bson.E{Key: fData, Value: bson.Binary{Data: row.Data}})
	}
	return d
}

// document is what is inserted for a row.
func (t *table) document(row laneswap.Row, epoch uint64) bson.D {
	d := bson.D{{Key: "_id", Value: documentID(keyOf(row))}, {Key: fID, Value: row.ID}}
	if t.shared() {
		return append(append(d, spread(row).fields()...), own(row, epoch)...)
	}
	return append(append(d, bson.E{Key: fKind, Value: string(row.Kind)}), own(row, epoch)...)
}

// update is what makes an existing document that of a row. Of a document that
// others may have made, their own fields stay.
func (t *table) update(id bson.RawValue, row laneswap.Row, epoch uint64) mongo.WriteModel {
	if !t.shared() {
		filter := bson.D{{Key: "_id", Value: id}, {Key: fEpoch, Value: bson.D{{Key: "$lte", Value: int64(epoch)}}}}
		return mongo.NewReplaceOneModel().SetFilter(filter).SetReplacement(t.document(row, epoch))
	}
	parts := spread(row)
	change := bson.D{{Key: "$set", Value: append(append(bson.D{{Key: fID, Value: row.ID}}, parts.set...), own(row, epoch)...)}}
	if len(row.Data) == 0 {
		change = append(change, bson.E{Key: "$unset", Value: bson.D{{Key: fData, Value: ""}}})
	}
	if parts.last != nil {
		change = append(change, bson.E{Key: "$max", Value: bson.D{{Key: "last_heartbeat", Value: *parts.last}}})
	}
	filter := bson.D{{Key: "_id", Value: id}, notNewer(epoch)}
	return mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(change)
}

// notNewer selects documents that no newer writer has written, and those of
// others.
func notNewer(epoch uint64) bson.E {
	return bson.E{Key: fEpoch, Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$gt", Value: int64(epoch)}}}}}
}

// decode makes a row of a document of ours, in memory of its own. It fails on
// documents that are none.
func (t *table) decode(raw bson.Raw) (laneswap.Row, bool) {
	var row laneswap.Row
	id, ok1 := raw.Lookup(fID).StringValueOK()
	service, ok2 := raw.Lookup(fService).StringValueOK()
	at, ok3 := raw.Lookup(fAt).DateTimeOK()
	open, ok4 := raw.Lookup(fOpen).BooleanOK()
	_, ok5 := raw.Lookup(fEpoch).AsInt64OK()
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !validID(id, 1) {
		return row, false
	}
	row = laneswap.Row{Kind: laneswap.KindService, ID: id, Service: service, At: time.UnixMilli(at).UTC(), Open: open}
	if !t.shared() {
		kind, ok := raw.Lookup(fKind).StringValueOK()
		if !ok {
			return row, false
		}
		row.Kind = laneswap.Kind(kind)
	}
	data := raw.Lookup(fData)
	if text, ok := data.StringValueOK(); ok {
		row.Data = []byte(text)
	} else if _, binary, ok := data.BinaryOK(); ok {
		row.Data = bytes.Clone(binary)
	}
	return row, true
}

func keyOf(row laneswap.Row) laneswap.Key { return laneswap.Key{Kind: row.Kind, ID: row.ID} }

// same reports whether two rows are equal but for their epochs.
func same(a, b laneswap.Row) bool {
	return a.Kind == b.Kind && a.ID == b.ID && a.Service == b.Service && a.At.Equal(b.At) && a.Open == b.Open && bytes.Equal(a.Data, b.Data)
}

// The times that a row may have, in milliseconds since 1970.
var (
	firstTime = time.Time{}.UnixMilli()
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli()
)

func validTime(t time.Time) bool {
	ms := t.UnixMilli()
	return firstTime <= ms && ms <= lastTime
}

// validID reports whether an id or the name of a service has at least so many
// bytes and is otherwise as the contract says.
func validID(id string, atLeast int) bool {
	return len(id) >= atLeast && len(id) <= 512 && utf8.ValidString(id) && !strings.Contains(id, "\x00")
}

func validKind(kind laneswap.Kind) bool {
	return len(kind) >= 1 && len(kind) <= 64 && utf8.ValidString(string(kind)) && !strings.Contains(string(kind), "\x00")
}

// check refuses batches that the contract does not allow, before anything is
// written.
func check(b laneswap.Batch) error {
	if b.Epoch < 1 || b.Epoch > math.MaxInt64 {
		return fmt.Errorf("%w: the epoch is %d", ErrInvalidRow, b.Epoch)
	}
	for _, rows := range [][]laneswap.Row{b.Insert, b.Put} {
		for _, row := range rows {
			switch {
			case !validKind(row.Kind) || row.Kind == laneswap.KindSeen:
				return fmt.Errorf("%w: the kind %.64q", ErrInvalidRow, row.Kind)
			case !validID(row.ID, 1):
				return fmt.Errorf("%w: the id %.64q", ErrInvalidRow, row.ID)
			case !validID(row.Service, 0):
				return fmt.Errorf("%w: the service %.64q", ErrInvalidRow, row.Service)
			case !validTime(row.At):
				return fmt.Errorf("%w: the time of %.64q", ErrInvalidRow, row.ID)
			case len(row.Data) > 1<<20:
				return fmt.Errorf("%w: %.64q holds %d bytes", ErrInvalidRow, row.ID, len(row.Data))
			}
		}
	}
	for _, k := range b.Delete {
		if !validKind(k.Kind) || !validID(k.ID, 1) {
			return fmt.Errorf("%w: the key %.64q of the kind %.64q", ErrInvalidRow, k.ID, k.Kind)
		}
	}
	for _, seen := range b.Seen {
		if !validID(seen.Service, 1) || !validTime(seen.At) {
			return fmt.Errorf("%w: the service %.64q seen", ErrInvalidRow, seen.Service)
		}
	}
	return nil
}
