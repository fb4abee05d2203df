package config

import "strings"

// The values of Config.Storage.
const (
	StorageMemory  = "memory"
	StorageFile    = "file"
	StorageMongoDB = "mongodb"
)

// ChosenStorage returns StorageMemory, StorageFile or StorageMongoDB: Storage
// where it is set, else StorageMongoDB with a MongoDBURI and StorageFile without.
func (c Config) ChosenStorage() string {
	switch {
	case c.Storage != "":
		return c.Storage
	case c.MongoDBURI != "":
		return StorageMongoDB
	}
	return StorageFile
}

// checkStorage refuses settings that do not go together. Those of a MongoDB that
// is not used do not matter.
func (l *loader) checkStorage(c Config) {
	if c.ChosenStorage() != StorageMongoDB {
		return
	}
	uri := c.MongoDBURI.Reveal()
	switch {
	case uri == "":
		l.refuse("LANESWAP_STORAGE", `is "mongodb", which needs LANESWAP_MONGODB_URI`)
	case !strings.HasPrefix(uri, "mongodb://") && !strings.HasPrefix(uri, "mongodb+srv://"):
		// Not quoted: it may hold a password.
		l.refuse("LANESWAP_MONGODB_URI", "is not the address of a MongoDB: it must begin with mongodb:// or mongodb+srv://")
	}
}
