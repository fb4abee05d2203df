package server

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

// maxProfile is the longest duration of a profile or trace.
const maxProfile = 5 * time.Minute

// debugServer serves pprof on a separate loopback port, because profiles reveal more
// than users of the API may know. A nil debugServer does nothing.
//
// It uses runtime/pprof: net/http/pprof would add its routes to the default mux of
// every program that imports this package.
type debugServer struct {
	log      *slog.Logger
	http     *http.Server
	listener net.Listener
}

func openDebug(log *slog.Logger) (*debugServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/{$}", listProfiles)
	mux.HandleFunc("GET /debug/pprof/{name}", writeProfile)
	mux.HandleFunc("GET /debug/pprof/profile", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, 30, pprof.StartCPUProfile, pprof.StopCPUProfile)
	})
	mux.HandleFunc("GET /debug/pprof/trace", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, 1, trace.Start, trace.Stop)
	})
	// No write timeout: a profile takes as long as the request asks for.
	srv := &http.Server{Handler: onlyLoopback(mux), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	return &debugServer{log: log, http: srv, listener: l}, nil
}

// start serves in the background until close.
func (d *debugServer) start() {
	if d == nil {
		return
	}
	d.log.Info("serving pprof", "url", "http://"+d.listener.Addr().String()+"/debug/pprof/")
	go func() { _ = d.http.Serve(d.listener) }() // ended by close, which is its only error
}

func (d *debugServer) close() error {
	if d == nil {
		return nil
	}
	_ = d.http.Close()
	return d.listener.Close()
}

// onlyLoopback refuses requests for another host: the DNS name of a web page may point
// to this machine.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "not for this host", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func listProfiles(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(w, "%s?debug=1 (%d)\n", p.Name(), p.Count())
	}
	fmt.Fprint(w, "profile?seconds=30\ntrace?seconds=1\n")
}

func writeProfile(w http.ResponseWriter, r *http.Request) {
	p := pprof.Lookup(r.PathValue("name"))
	if p == nil {
		http.Error(w, "unknown profile", http.StatusNotFound)
		return
	}
	level, _ := strconv.Atoi(r.FormValue("debug"))
	w.Header().Set("Content-Type", "application/octet-stream")
	if level > 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_ = p.WriteTo(w, level) // an error means that the client is gone
}

// record writes a recording of ?seconds= or fallback seconds.
func record(w http.ResponseWriter, r *http.Request, fallback int, start func(io.Writer) error, stop func()) {
	seconds, err := strconv.Atoi(r.FormValue("seconds"))
	if err != nil || seconds < 1 {
		seconds = fallback
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(w); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	defer stop()
	timer := time.NewTimer(min(time.Duration(seconds)*time.Second, maxProfile))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}
