package mongostore_test

import (
	"context"
	"log"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/mongostore"
)

func ExampleOpen() {
	ctx := context.Background()
	store, err := mongostore.Open("mongodb://db-1.example.org,db-2.example.org/laneswap?replicaSet=rs0")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close(ctx)
	m := laneswap.NewManager(laneswap.WithStorage(store))
	if err := m.Start(ctx); err != nil {
		log.Print(err)
		return
	}
	defer m.Stop(ctx)
}
