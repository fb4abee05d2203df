package mongostore

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/laneswap/laneswap"
)

// Prune deletes the oldest closed rows of a kind, in chunks.
func (s *Store) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	t, err := s.ready(ctx)
	if err != nil {
		return 0, err
	}
	table := t.of(k)
	if table == nil {
		return 0, nil
	}
	old := table.filter(laneswap.RowQuery{Kind: k})
	old[len(old)-1] = within(bson.DateTime(firstTime), max(ceiling(before), bson.DateTime(firstTime)))
	old = append(old, bson.E{Key: fOpen, Value: false})
	pruned := 0
	for pruned < limit {
		want := min(limit-pruned, pageRows)
		var ids bson.A
		o := options.Find().SetSort(bson.D{{Key: fAt, Value: 1}, {Key: fID, Value: 1}}).SetLimit(int64(want)).
			SetBatchSize(int32(want)).SetProjection(bson.D{{Key: "_id", Value: 1}})
		err := s.scan(ctx, table.coll, old, o, func(raw bson.Raw) bool {
			id := raw.Lookup("_id")
			id.Value = append([]byte(nil), id.Value...)
			ids = append(ids, id)
			return true
		})
		if err != nil {
			return pruned, err
		}
		found := len(ids)
		for len(ids) > 0 {
			n := min(wideRows, len(ids))
			// One that was opened or has become younger meanwhile stays.
			filter := append(bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids[:n]}}}}, old...)
			err := s.call(ctx, "prune", func(ctx context.Context) error {
				result, err := table.coll.DeleteMany(ctx, filter)
				if err == nil {
					pruned += int(result.DeletedCount)
				}
				return err
			})
			if err != nil {
				return pruned, err
			}
			ids = ids[n:]
		}
		if found < want {
			break
		}
	}
	return pruned, nil
}
