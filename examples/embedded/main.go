// Command embedded watches its own worker. When a job hangs, the worker falls silent, the
// program prints a notice, and /healthz fails until the worker continues.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/middleware"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// Every eighth job hangs for a while.
	job := func(ctx context.Context, n int) {
		pause := 500 * time.Millisecond
		if n%8 == 7 {
			pause = 5 * time.Second
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	if err := run(ctx, os.Stdout, "127.0.0.1:8080", 2*time.Second, job); err != nil {
		log.Fatal(err)
	}
}

// run does job after job until ctx ends; a job may take as long as patience.
func run(ctx context.Context, out io.Writer, addr string, patience time.Duration, job func(context.Context, int)) error {
	printer := laneswap.NotifierFunc(func(_ context.Context, n laneswap.Notification) error {
		_, err := fmt.Fprintln(out, n.Text)
		return err
	})
	m := laneswap.NewManager(laneswap.WithNotifier(laneswap.Immediately(printer)))
	if err := m.Start(ctx); err != nil {
		return err
	}
	defer m.Stop(context.WithoutCancel(ctx))
	if _, err := m.Register(ctx, laneswap.Registration{ID: "worker", StaleAfter: patience}); err != nil {
		return err
	}
	worker, err := m.Handle("worker")
	if err != nil {
		return err
	}
	go func() { // ends with ctx
		for n := 0; ctx.Err() == nil; n++ {
			worker.Beat() // in the loop itself: a beat beside it would go on while a job hangs
			job(ctx, n)
		}
	}()

	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "watch http://%s/healthz\n", ln.Addr())
	mux := http.NewServeMux()
	mux.Handle("/healthz", middleware.Healthz(m, "worker"))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
