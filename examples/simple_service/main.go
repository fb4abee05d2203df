// Command simple_service is an HTTP service that reports to a laneswapd. An agent sends a
// heartbeat every ten seconds. A failed request sets the status error until the next
// successful one. No request waits for the laneswapd.
//
//	go run ./cmd/laneswapd                   # in one terminal
//	go run ./examples/simple_service         # in another
//	curl http://127.0.0.1:8081/hello/you     # healthy
//	curl http://127.0.0.1:8081/fail          # error: GET /fail: 500 Internal Server Error
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/middleware"
	"github.com/laneswap/laneswap/client"
)

func main() {
	server := flag.String("server", "http://127.0.0.1:8000", "the laneswapd")
	addr := flag.String("addr", "127.0.0.1:8081", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *server, *addr); err != nil {
		log.Fatal(err)
	}
}

// routes returns the service itself, which does not use LaneSwap.
func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %q\n", r.PathValue("name"))
	})
	mux.HandleFunc("GET /fail", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusInternalServerError)
	})
	return mux
}

// run serves until ctx ends.
func run(ctx context.Context, out io.Writer, server, addr string) error {
	c, err := client.New(server)
	if err != nil {
		return err
	}
	defer c.Close()
	agent, err := c.Agent(laneswap.Registration{Name: "simple_service", Tags: []string{"example"}})
	if err != nil {
		return err
	}
	defer agent.Close() // reports shutdown

	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s listens on http://%s\n", agent.ID(), ln.Addr())
	web := &http.Server{Handler: middleware.Observe(agent.Report, routes()), ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = web.Shutdown(context.WithoutCancel(ctx)) })
	if err := web.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
