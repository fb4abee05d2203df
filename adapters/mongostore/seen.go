package mongostore

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/laneswap/laneswap"
)

// packs is how many documents of laneswap_seen share the services: a hundred
// thousand are noted by 256 updates of 20 kB each. It cannot change.
const packs = 256

// packOf is the _id of the document that a service is in.
func packOf(service string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(service))
	return fmt.Sprintf("seen-%03d", h.Sum32()%packs)
}

// seenField is the field that says when a service was seen. Names of services are
// no names of fields.
func seenField(service string) string {
	return "s" + base64.RawURLEncoding.EncodeToString([]byte(service))
}

// serviceOf is the service of a field; "" when the field is none of these.
func serviceOf(field string) string {
	encoded, ok := strings.CutPrefix(field, "s")
	service, err := base64.RawURLEncoding.DecodeString(encoded)
	if !ok || err != nil || !validID(string(service), 1) {
		return ""
	}
	return string(service)
}

// noteSeen raises when services were seen.
func (s *Store) noteSeen(ctx context.Context, t *tables, seen []laneswap.Seen) error {
	latest := map[string]map[string]bson.DateTime{}
	for _, note := range seen {
		pack, field, at := packOf(note.Service), seenField(note.Service), date(note.At)
		if latest[pack] == nil {
			latest[pack] = map[string]bson.DateTime{}
		}
		if before, ok := latest[pack][field]; !ok || before < at {
			latest[pack][field] = at
		}
	}
	var changes []mongo.WriteModel
	for _, pack := range slices.Sorted(maps.Keys(latest)) {
		fields := bson.D{}
		for _, field := range slices.Sorted(maps.Keys(latest[pack])) {
			fields = append(fields, bson.E{Key: field, Value: latest[pack][field]})
		}
		changes = append(changes, mongo.NewUpdateOneModel().SetUpsert(true).
			SetFilter(bson.D{{Key: "_id", Value: pack}}).SetUpdate(bson.D{{Key: "$max", Value: fields}}))
	}
	return s.changeSeen(ctx, t, changes)
}

// forgetSeen removes services.
func (s *Store) forgetSeen(ctx context.Context, t *tables, services []string) error {
	gone := map[string]bson.D{}
	for _, service := range slices.Compact(slices.Sorted(slices.Values(services))) {
		gone[packOf(service)] = append(gone[packOf(service)], bson.E{Key: seenField(service), Value: ""})
	}
	var changes []mongo.WriteModel
	for _, pack := range slices.Sorted(maps.Keys(gone)) {
		changes = append(changes, mongo.NewUpdateOneModel().
			SetFilter(bson.D{{Key: "_id", Value: pack}}).SetUpdate(bson.D{{Key: "$unset", Value: gone[pack]}}))
	}
	return s.changeSeen(ctx, t, changes)
}

// changeSeen writes changes in chunks. Two writers that make a document at the
// same time are no error: whoever comes second changes it.
func (s *Store) changeSeen(ctx context.Context, t *tables, changes []mongo.WriteModel) error {
	for tries := 0; len(changes) > 0; {
		chunk := changes[:min(s.chunk, len(changes))]
		done := len(chunk)
		err := s.call(ctx, "note what was seen", func(ctx context.Context) error {
			_, err := t.seen.BulkWrite(ctx, chunk)
			if i, ok := isDuplicate(err); ok {
				done, err = i, nil
			}
			return err
		})
		if err != nil {
			return err
		}
		if tries++; done > 0 {
			tries = 0
		}
		if tries > maxTries {
			return errContended
		}
		changes = changes[done:]
	}
	return nil
}

// loadSeen yields when services were seen, document by document.
func (s *Store) loadSeen(ctx context.Context, t *tables, yield func(laneswap.Row) bool) error {
	after := ""
	for {
		var rows []laneswap.Row
		last, size, more := after, 0, false
		filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}}
		err := s.scan(ctx, t.seen, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}), func(raw bson.Raw) bool {
			last, _ = raw.Lookup("_id").StringValueOK()
			elements, _ := raw.Elements()
			for _, e := range elements {
				service := serviceOf(e.Key())
				at, ok := e.Value().DateTimeOK()
				if ok && service != "" {
					rows = append(rows, laneswap.Row{Kind: laneswap.KindSeen, ID: service, Service: service, At: time.UnixMilli(at).UTC(), Open: true})
				}
			}
			size += len(raw)
			more = size >= pageBytes
			return !more
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if !yield(row) {
				return nil
			}
		}
		if !more {
			return nil
		}
		after = last
	}
}
