package mongostore

import (
	"context"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// indexRetry is the pause before the store asks again for indexes that took too long:
// the server goes on creating them.
const indexRetry = time.Minute

// ready returns the collections once there are a client and the indexes. When both
// are there it makes no call.
func (s *Store) ready(ctx context.Context) (*tables, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if t, done, err := s.state(); done || err != nil {
		return t, err
	}
	// One call at a time does the setup. The others wait as long as for an answer.
	if err := s.call(ctx, "reach the server", func(ctx context.Context) error {
		select {
		case s.setup <- struct{}{}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}); err != nil {
		return nil, err
	}
	defer func() { <-s.setup }()
	t, done, err := s.state()
	if done || err != nil {
		return t, err
	}
	if t == nil {
		if t, err = s.connect(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.call(ctx, "reach the server", func(ctx context.Context) error {
		return t.seen.Database().Client().Ping(ctx, primary)
	}); err != nil {
		return nil, err
	}
	err = s.call(ctx, "create indexes", func(ctx context.Context) error { return s.index(ctx, t) })
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.indexed = err == nil
	s.retry = time.Now().Add(indexRetry)
	// The server has answered. Without an index it is slower, but correct.
	return t, nil
}

// state reports whether the setup is done, or is not to be tried now.
func (s *Store) state() (t *tables, done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, true, ErrClosed
	}
	return s.tables, s.tables != nil && (s.indexed || time.Now().Before(s.retry)), nil
}

// connect creates the client of a URI that needs a name server.
func (s *Store) connect(ctx context.Context) (*tables, error) {
	var client *mongo.Client
	err := s.call(ctx, "connect", func(ctx context.Context) error {
		type made struct {
			client *mongo.Client
			err    error
		}
		done, dial := make(chan made, 1), s.dial
		// It ends when the name server answers or the system stops waiting for it.
		go func() {
			client, err := dial()
			done <- made{client, err}
		}()
		select {
		case m := <-done:
			client = m.client
			return m.err
		case <-ctx.Done():
			go func() {
				if m := <-done; m.client != nil {
					_ = m.client.Disconnect(context.Background())
				}
			}()
			return ctx.Err()
		}
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = client.Disconnect(ctx)
		return nil, ErrClosed
	}
	s.setClient(client)
	return s.tables, nil
}

// index is an index that the store wants.
type index struct {
	coll   *mongo.Collection
	name   string
	keys   bson.D
	unique bool
	only   bson.D // filter of a partial index; left out when the server refuses it
}

// ttlIndex is the name of the index by which the server deletes old rows.
const ttlIndex = "ls_ttl"

// index creates the indexes. It fails when the server does not answer.
func (s *Store) index(ctx context.Context, t *tables) error {
	want := []index{
		{coll: t.services.coll, name: "id_1", keys: bson.D{{Key: fID, Value: 1}}, unique: true},
		{coll: t.services.coll, name: "ls_time", keys: bson.D{{Key: fAt, Value: 1}, {Key: fID, Value: 1}}},
		{coll: t.services.coll, name: "ls_service_time", keys: bson.D{{Key: fService, Value: 1}, {Key: fAt, Value: 1}, {Key: fID, Value: 1}}},
	}
	for _, coll := range []*mongo.Collection{t.rows.coll, t.errors.coll} {
		want = append(want,
			index{coll: coll, name: "ls_kind_time", keys: bson.D{{Key: fKind, Value: 1}, {Key: fAt, Value: 1}, {Key: fID, Value: 1}}},
			index{coll: coll, name: "ls_kind_service_time", keys: bson.D{{Key: fKind, Value: 1}, {Key: fService, Value: 1}, {Key: fAt, Value: 1}, {Key: fID, Value: 1}}},
			index{coll: coll, name: "ls_open", keys: bson.D{{Key: fOpen, Value: 1}, {Key: "_id", Value: 1}}, only: bson.D{{Key: fOpen, Value: true}}})
	}
	for _, i := range want {
		o := options.Index().SetName(i.name)
		if i.unique {
			o.SetUnique(true)
		}
		err := s.create(ctx, i, o, i.only != nil)
		if _, no := refused(err); no && i.only != nil {
			err = s.create(ctx, i, o, false)
		}
		if err := s.tolerate(ctx, i, err); err != nil {
			return err
		}
	}
	return s.indexTTL(ctx, t)
}

func (s *Store) create(ctx context.Context, i index, o *options.IndexOptionsBuilder, partial bool) error {
	if partial {
		o = options.Index().SetName(i.name).SetPartialFilterExpression(i.only)
	}
	_, err := i.coll.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: i.keys, Options: o})
	return err
}

// indexTTL creates the TTL index, or removes it.
func (s *Store) indexTTL(ctx context.Context, t *tables) error {
	i := index{coll: t.rows.coll, name: ttlIndex, keys: bson.D{{Key: fAt, Value: 1}}}
	if s.ttl == 0 {
		if err := i.coll.Indexes().DropOne(ctx, i.name); err != nil {
			if _, no := refused(err); !no {
				return err
			}
		}
		return nil
	}
	seconds := int32(s.ttl / time.Second)
	// Without rows that have no time.
	only := bson.D{{Key: fOpen, Value: false}, {Key: fAt, Value: bson.D{{Key: "$gte", Value: date(time.Unix(0, 0))}}}}
	model := mongo.IndexModel{
		Keys: i.keys, Options: options.Index().SetName(i.name).SetExpireAfterSeconds(seconds).SetPartialFilterExpression(only),
	}
	_, err := i.coll.Indexes().CreateOne(ctx, model)
	if code, _ := refused(err); code == 85 { // it exists with another time
		// The role readWrite may not change it by collMod, and an index with a shorter
		// time would go on deleting.
		if err = i.coll.Indexes().DropOne(ctx, i.name); err == nil {
			_, err = i.coll.Indexes().CreateOne(ctx, model)
		}
	}
	return s.tolerate(ctx, i, err)
}

// tolerate logs that the server refuses an index, and returns other errors.
func (s *Store) tolerate(ctx context.Context, i index, err error) error {
	if _, no := refused(err); no {
		s.log.LogAttrs(ctx, s.level(i), "the server refuses an index; the storage works without it", attrs(i, err)...)
		return nil
	}
	return err
}

// level is the level of the log line about a refused index.
func (s *Store) level(i index) slog.Level {
	if i.name == ttlIndex {
		return slog.LevelInfo // the Manager prunes
	}
	return slog.LevelWarn
}

func attrs(i index, err error) []slog.Attr {
	return []slog.Attr{slog.String("collection", i.coll.Name()), slog.String("index", i.name), slog.String("err", reason(err))}
}
