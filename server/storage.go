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

// storage is the storage that the settings select.
type storage struct {
	options  []laneswap.Option               // for the Manager
	logAttrs []slog.Attr                     // for the log line "listening"
	closeFn  func(ctx context.Context) error // nil in memory
}

// openStorage opens the storage that the settings select.
func openStorage(cfg config.Config, log *slog.Logger) (*storage, error) {
	chosen := cfg.ChosenStorage()
	s := &storage{logAttrs: []slog.Attr{slog.String("storage", chosen)}}
	var err error
	switch chosen {
	case config.StorageMemory:
	case config.StorageFile:
		err = s.openFile(cfg.Data, log)
	case config.StorageMongoDB:
		err = s.openMongoDB(cfg, log)
	default:
		err = fmt.Errorf("server: unknown storage %q", chosen)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *storage) openFile(data string, log *slog.Logger) error {
	path := absolute(data)
	store, err := boltstore.Open(path, boltstore.WithOnDamage(func(d boltstore.Damage) {
		log.Error("the data file was damaged; it was set aside, and a new file holds the rows that could be read", "data", d.Path, "aside", d.Aside,
			"problems", strings.Join(d.Problems, "; "), "rows", d.Rows, "outdated", d.Stale)
		s.options = append(s.options, laneswap.WithRemark(d.String()))
	}))
	if err != nil {
		return fmt.Errorf("server: cannot open the data file %s: %w (--data or LANESWAP_DATA chooses the file; --storage memory needs none)",
			path, fileReason(path, err))
	}
	s.options = append(s.options, laneswap.WithStorage(store))
	s.logAttrs = append(s.logAttrs, slog.String("data", path))
	s.closeFn = func(context.Context) error { return store.Close() }
	return nil
}

// openMongoDB does not wait for the database: the Manager starts without it and
// restores the state later. The URI is in no error and no log.
func (s *storage) openMongoDB(cfg config.Config, log *slog.Logger) error {
	store, err := mongostore.Open(cfg.MongoDBURI.Reveal(),
		mongostore.WithDatabase(cfg.MongoDBDatabase),
		mongostore.WithCollections(cfg.MongoDBHeartbeats, cfg.MongoDBErrors),
		// The Manager deletes old rows. The database does so when no Manager runs any more.
		mongostore.WithTTL(cfg.Retention+24*time.Hour),
		mongostore.WithLogger(log))
	if err != nil {
		return fmt.Errorf("server: cannot use MongoDB: %w (see LANESWAP_MONGODB_URI, --mongodb-database, LANESWAP_MONGODB_HEARTBEATS and LANESWAP_MONGODB_ERRORS)", without{"mongostore: open: ", err})
	}
	s.options = append(s.options, laneswap.WithStorage(store))
	s.logAttrs = append(s.logAttrs, slog.String("database", store.Database()))
	s.closeFn = store.Close
	return nil
}

// close closes the storage after its last use. It waits for closeTimeout at most:
// the end of the process closes a file that hangs.
func (s *storage) close() error {
	if s.closeFn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.closeFn(ctx) }() // ends with closeFn, or with the process
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("server: closing the storage takes too long; the end of the process closes it")
	}
}

// absolute returns an absolute path, or path itself if there is none.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// fileReason returns an error of boltstore without the path, which the caller
// names. For a file that cannot be created it names the missing folder.
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

// without is an error whose text lacks the prefix of an adapter.
type without struct {
	prefix string
	err    error
}

func (w without) Error() string { return strings.TrimPrefix(w.err.Error(), w.prefix) }
func (w without) Unwrap() error { return w.err }
