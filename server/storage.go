package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/config"
)

// closeTimeout is how long closing a storage takes at most.
const closeTimeout = 2 * time.Second

// storage is what the settings chose to keep state in.
type storage struct {
	options []laneswap.Option               // those of the Manager
	said    []slog.Attr                     // what the line says that tells where we listen
	shut    func(ctx context.Context) error // nil in memory
}

// openStorage opens what the settings choose.
func openStorage(cfg config.Config, log *slog.Logger) (*storage, error) {
	chosen := cfg.ChosenStorage()
	s := &storage{said: []slog.Attr{slog.String("storage", chosen)}}
	var err error
	switch chosen {
	case config.StorageMemory:
	case config.StorageFile:
		err = s.openFile(cfg.Data, log)
	case config.StorageMongoDB:
		err = s.openMongoDB(cfg, log)
	default:
		err = fmt.Errorf("server: there is no storage %q", chosen)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *storage) openFile(data string, log *slog.Logger) error {
	path := absolute(data)
	store, err := boltstore.Open(path, boltstore.WithOnDamage(func(d boltstore.Damage) {
		log.Error("the data file was damaged, going on with what could be read", "data", d.Path, "aside", d.Aside,
			"problems", strings.Join(d.Problems, "; "), "rows", d.Rows, "outdated", d.Stale)
		s.options = append(s.options, laneswap.WithRemark(d.String()))
	}))
	if err != nil {
		return fmt.Errorf("server: cannot open the data file %s: %w (set --data or LANESWAP_DATA to a file that can be written, or --storage memory)",
			path, fileReason(path, err))
	}
	s.options = append(s.options, laneswap.WithStorage(store))
	s.said = append(s.said, slog.String("data", path))
	s.shut = func(context.Context) error { return store.Close() }
	return nil
}

// openMongoDB does not wait for the database: one that is away at the start is
// waited for by the Manager. The URI is in no error and no log.
func (s *storage) openMongoDB(cfg config.Config, log *slog.Logger) error {
	store, err := mongostore.Open(cfg.MongoDBURI.Reveal(),
		mongostore.WithDatabase(cfg.MongoDBDatabase),
		mongostore.WithCollections(cfg.MongoDBHeartbeats, cfg.MongoDBErrors),
		// The Manager deletes what is old. Where none runs any more, the database does.
		mongostore.WithTTL(cfg.Retention+24*time.Hour),
		mongostore.WithLogger(log))
	if err != nil {
		return fmt.Errorf("server: cannot use MongoDB: %w (see LANESWAP_MONGODB_URI, --mongodb-database, LANESWAP_MONGODB_HEARTBEATS and LANESWAP_MONGODB_ERRORS)", without{"mongostore: open: ", err})
	}
	s.options = append(s.options, laneswap.WithStorage(store))
	s.said = append(s.said, slog.String("database", store.Database()))
	s.shut = store.Close
	return nil
}

// close closes the storage, once nobody uses it any more. It gives up in time: a
// system that hangs gives the file back when the process ends.
func (s *storage) close() error {
	if s.shut == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.shut(ctx) }() // ends by itself, or with the process
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("server: the storage was not closed in time")
	}
}

// absolute is a path as it can be found from anywhere.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// fileReason is what is left of an error of boltstore when the path, said
// already, is taken off. A file that cannot be made says why.
func fileReason(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		if _, stat := os.Stat(filepath.Dir(path)); errors.Is(stat, os.ErrNotExist) {
			return fmt.Errorf("the folder %s does not exist", filepath.Dir(path))
		}
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// without is an error whose text lacks the words that an adapter puts in front.
type without struct {
	prefix string
	err    error
}

func (w without) Error() string { return strings.TrimPrefix(w.err.Error(), w.prefix) }
func (w without) Unwrap() error { return w.err }
