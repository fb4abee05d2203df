package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/server"
)

func ExampleOpen() {
	cfg, err := config.Load([]string{"LANESWAP_HOST=127.0.0.1"}, map[string]string{"port": "0", "storage": "memory"})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := server.Open(cfg, server.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()

	res, err := http.Get(s.URL() + "/readyz")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	fmt.Println(res.Status)
	cancel()
	fmt.Println(<-done)
	// Output:
	// 200 OK
	// <nil>
}
