package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/config"
)

const uri = "mongodb://user:hunter2@db.example.org:27017/?w=majority"

func TestChosenStorage_isTheFileUnlessSomethingElseIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ storage, uri, want string }{
		{"", "", config.StorageFile},
		{"", " ", config.StorageFile},
		{"", uri, config.StorageMongoDB},
		{"", "mongodb+srv://db.example.org", config.StorageMongoDB},
		{"file", uri, config.StorageFile},
		{"file", "not used, not checked", config.StorageFile},
		{"memory", "", config.StorageMemory},
		{"memory", uri, config.StorageMemory},
		{"mongodb", uri, config.StorageMongoDB},
		{"MongoDB", uri, config.StorageMongoDB},
	} {
		c, err := config.Load([]string{"LANESWAP_STORAGE=" + tc.storage, "LANESWAP_MONGODB_URI=" + tc.uri}, nil)
		require.NoError(t, err, tc)
		require.Equal(t, tc.want, c.ChosenStorage(), tc)
	}
	require.Equal(t, config.StorageFile, config.Default().ChosenStorage())
	c, err := config.Load([]string{"LANESWAP_STORAGE=memory", "LANESWAP_MONGODB_URI=" + uri}, map[string]string{"storage": "mongodb"})
	require.NoError(t, err)
	require.Equal(t, config.StorageMongoDB, c.ChosenStorage(), "the flag wins")
	require.Equal(t, uri, c.MongoDBURI.Reveal())
}

func TestLoad_refusesAStorageThatCannotBe(t *testing.T) {
	t.Parallel()
	_, err := config.Load([]string{"LANESWAP_STORAGE=mongodb"}, nil)
	require.EqualError(t, err, `LANESWAP_STORAGE (--storage) is "mongodb", which needs LANESWAP_MONGODB_URI`)
	for _, storage := range []string{"", "mongodb"} {
		_, err = config.Load([]string{"LANESWAP_STORAGE=" + storage, "LANESWAP_MONGODB_URI=postgres://user:hunter2@db"}, nil)
		require.EqualError(t, err, "LANESWAP_MONGODB_URI must begin with mongodb:// or mongodb+srv://")
		var one *config.Error
		require.ErrorAs(t, err, &one)
		require.Equal(t, "LANESWAP_MONGODB_URI", one.Env)
		require.Empty(t, one.Flag)
	}
}

func TestLoad_takesSettingsWithoutAFlagFromTheEnvironmentOnly(t *testing.T) {
	t.Parallel()
	c, err := config.Load([]string{"LANESWAP_MONGODB_HEARTBEATS=hb", "LANESWAP_MONGODB_ERRORS=err"}, map[string]string{"": uri, "mongodb-uri": uri})
	require.NoError(t, err)
	require.Empty(t, c.MongoDBURI)
	require.Equal(t, "hb", c.MongoDBHeartbeats)
	require.Equal(t, "err", c.MongoDBErrors)
}
