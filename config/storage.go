package config

import "strings"

// The values of Config.Storage.
const (
	StorageMemory  = "memory"
	StorageFile    = "file"
	StorageMongoDB = "mongodb"
)

// ChosenStorage returns StorageMemory, StorageFile or StorageMongoDB. If Storage is
// empty, a MongoDBURI selects StorageMongoDB, and StorageFile is the default.
func (c Config) ChosenStorage() string {
	switch {
	case c.Storage != "":
		return c.Storage
	case c.MongoDBURI != "":
		return StorageMongoDB
	}
	return StorageFile
}

// checkStorage checks the settings of MongoDB if it is used.
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
		l.refuse("LANESWAP_MONGODB_URI", "must begin with mongodb:// or mongodb+srv://")
	}
}
