// Command blocking_client runs a job every minute, which adds up the files of a folder, and
// reports each run to a laneswapd: busy while it runs, then healthy with its duration, or
// error with the message.
//
//	go run ./cmd/laneswapd                           # in one terminal
//	go run ./examples/blocking_client --folder /tmp  # in another
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

func main() {
	server := flag.String("server", "http://127.0.0.1:8000", "the laneswapd")
	folder := flag.String("folder", ".", "the folder to add up")
	every := flag.Duration("every", time.Minute, "how often")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *server, os.DirFS(*folder), *every); err != nil {
		log.Fatal(err)
	}
}

// run does the job until ctx ends, whether the server answers or not.
func run(ctx context.Context, out io.Writer, server string, folder fs.FS, every time.Duration) error {
	c, err := client.New(server, client.WithTimeout(2*time.Second))
	if err != nil {
		return err
	}
	reg := laneswap.Registration{ID: client.DefaultID("adder"), Name: "adder", Interval: every}
	complain := laneswap.WithBeatError(func(err error) { fmt.Fprintln(out, err) })
	job := laneswap.Wrap(c, reg.ID, func(context.Context) error {
		size, err := add(folder)
		fmt.Fprintf(out, "%d bytes, err %v\n", size, err)
		return err
	}, complain)
	for {
		// Each time, in case the server lost the registration.
		if _, err := c.Register(ctx, reg); err != nil {
			fmt.Fprintln(out, err)
		}
		_ = job(ctx) // printed above
		select {
		case <-time.After(every):
		case <-ctx.Done():
			// Bounded by the timeout of the client.
			_ = c.Beat(context.WithoutCancel(ctx), reg.ID, laneswap.Heartbeat{Status: laneswap.StatusShutdown})
			return nil
		}
	}
}

// add returns the bytes of all files in a folder and below.
func add(folder fs.FS) (size int64, err error) {
	err = fs.WalkDir(folder, ".", func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
