// Command server is a database for tests that speaks MongoDB's protocol: an
// embedded FerretDB on SQLite, behind a proxy that passes one command at a time.
// It is a module of its own, so that what it needs is no part of LaneSwap. The
// package mongotest builds and starts it:
//
//	server -listen 127.0.0.1:0 -data FOLDER
//
// It prints the address that it listens on as its first line, and ends when its
// standard input does: nobody who dies leaves it behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	data := flag.String("data", "", "folder of the databases, which exists")
	flag.Parse()
	if err := run(*listen, *data); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(listen, data string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Before anything else, so that an address that is taken is said at once.
	outside, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	inside, err := database(ctx, data)
	if err != nil {
		return err
	}
	fmt.Println(outside.Addr())

	failed := make(chan error, 1)
	go func() { failed <- (&proxy{inside: inside}).serve(outside) }()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		failed <- nil
	}()
	return <-failed
}

// database runs FerretDB on a port of its own and returns its address once it
// answers there.
func database(ctx context.Context, data string) (string, error) {
	if data == "" {
		return "", errors.New("-data is required")
	}
	folder, err := filepath.Abs(data)
	if err != nil {
		return "", err
	}
	db, err := ferretdb.New(&ferretdb.Config{
		Listener: ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Handler:  "sqlite",
		// The folder must exist and its name must end in a slash. Whoever kills the
		// process leaves what was written to the system; a machine that dies is not
		// what is tested.
		SQLiteURL: (&url.URL{Scheme: "file", Opaque: filepath.ToSlash(folder) + "/", RawQuery: "_pragma=synchronous(off)"}).String(),
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	// It ends with the process.
	go func() { ended <- db.Run(ctx) }()
	uri, err := url.Parse(db.MongoDBURI())
	if err != nil {
		return "", err
	}
	for range 1000 {
		conn, err := net.Dial("tcp", uri.Host)
		if err == nil {
			return uri.Host, conn.Close()
		}
		select {
		case err := <-ended:
			return "", fmt.Errorf("the database ended: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return "", errors.New("the database does not listen")
}
