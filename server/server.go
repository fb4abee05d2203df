// Package server runs a LaneSwap server from settings: a Manager with its storage and
// notifiers, and the HTTP API. laneswapd and "laneswap server" are this package with
// flags.
//
//	s, err := server.Open(cfg) // opens the storage and listens
//	err = s.Run(ctx)           // serves until ctx ends
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/adapters/slognotify"
	"github.com/laneswap/laneswap/config"
)

// stopLimits bounds the parts of a stop. With closeTimeout, for the storage, they stay
// below the 10 seconds that Run promises.
type stopLimits struct {
	requests time.Duration // that are being answered
	manager  time.Duration
}

var defaultStopLimits = stopLimits{requests: 3 * time.Second, manager: 4 * time.Second}

// Server is a Manager with an HTTP API. Open creates it. All methods may be called
// concurrently.
type Server struct {
	cfg      config.Config
	log      *slog.Logger
	manager  *laneswap.Manager
	storage  *storage
	http     *http.Server
	listener net.Listener
	debug    *debugServer // nil without Debug
	limits   stopLimits

	ran  sync.Once
	quit context.Context // ends with Close
	end  context.CancelFunc
	done chan struct{} // closed when everything has ended
	err  error         // set before done is closed
}

// Open opens the storage and listens, so that the address is known; it starts nothing.
// cfg comes from config.Load or config.Default, perhaps changed; Open does not repeat
// the checks of config.Load. Call Close on a server that you do not Run.
func Open(cfg config.Config, opts ...Option) (*Server, error) {
	o := options{limits: defaultStopLimits}
	for _, opt := range opts {
		opt(&o)
	}
	s := &Server{cfg: cfg, log: o.logger(cfg), limits: o.limits, done: make(chan struct{})}
	s.quit, s.end = context.WithCancel(context.Background())
	notifiers, err := openNotifiers(cfg)
	if err != nil {
		return nil, err
	}
	warnUnused(cfg, s.log)
	if s.storage, err = openStorage(cfg, s.log); err != nil {
		return nil, err
	}
	s.manager = laneswap.NewManager(slices.Concat([]laneswap.Option{
		laneswap.WithStaleThreshold(cfg.StaleThreshold),
		laneswap.WithCheckInterval(cfg.CheckInterval),
		laneswap.WithRetention(cfg.Retention),
		laneswap.WithLogger(s.log),
		laneswap.WithGroupWait(cfg.GroupWait),
		laneswap.WithRemindEvery(cfg.RemindEvery),
		laneswap.WithSelfCheck(s.selfCheck),
		laneswap.WithNotifier(laneswap.Immediately(slognotify.New(s.log))),
	}, notifiers, s.storage.options, o.manager)...)
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.storage.close())
	}
	return s, nil
}

// listen opens the listeners. If it fails, it leaves none open.
func (s *Server) listen() error {
	cfg := s.cfg
	l, err := net.Listen("tcp", cfg.Address())
	if err != nil {
		return fmt.Errorf("server: cannot listen on %s: %w", cfg.Address(), reason(err))
	}
	s.listener = httpapi.LimitListener(l, cfg.MaxConnections)
	s.http = httpapi.NewServer(httpapi.New(s.manager,
		httpapi.WithCORSOrigins(cfg.CORSOrigins...), httpapi.WithLogger(s.log)))
	if cfg.Debug {
		if s.debug, err = openDebug(s.log); err != nil {
			return errors.Join(fmt.Errorf("server: cannot listen for pprof: %w", reason(err)), l.Close())
		}
	}
	return nil
}

// reason returns a network error without the address.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

// Addr returns the address that the server listens on, with the actual port.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL returns the address of the API for clients on this machine.
func (s *Server) URL() string {
	addr, ok := s.Addr().(*net.TCPAddr)
	if !ok {
		return "http://" + s.Addr().String()
	}
	at := *addr
	if at.IP.IsUnspecified() {
		// By the setting, because 0.0.0.0 listens as [::].
		at.IP = net.IPv6loopback
		if ip := net.ParseIP(string(s.cfg.Host)); ip == nil || ip.To4() != nil {
			at.IP = net.IPv4(127, 0, 0, 1)
		}
	}
	return "http://" + at.String()
}

// Manager returns the Manager behind the API.
func (s *Server) Manager() *laneswap.Manager { return s.manager }

// Run serves until ctx ends or Close is called, then stops within 10 seconds. It ends
// event streams, finishes open requests, and delivers pending notices; notices that
// cannot be delivered stay in the storage for the next start. Run returns nil after a
// clean stop. A second call waits for the first and returns the same.
func (s *Server) Run(ctx context.Context) error {
	s.ran.Do(func() {
		s.err = s.run(ctx)
		close(s.done)
	})
	<-s.done
	return s.err
}

// Close ends Run, waits for it and returns its error. Without Run it closes the listener
// and the storage. It may be called twice.
func (s *Server) Close() error {
	s.end()
	return s.Run(context.Background())
}

func (s *Server) run(ctx context.Context) error {
	if s.quit.Err() != nil {
		return errors.Join(s.listener.Close(), s.debug.close(), s.storage.close())
	}
	if err := s.manager.Start(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(err, s.listener.Close(), s.debug.close(), s.storage.close())
	}
	s.announce(ctx)
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }() // ended by Shutdown or Close below
	s.debug.start()

	var failure error
	select {
	case <-ctx.Done():
	case <-s.quit.Done():
	case failure = <-served: // never nil
	}
	s.log.Info("stopping")
	err := s.stop()
	if failure == nil {
		failure = <-served
	}
	if errors.Is(failure, http.ErrServerClosed) {
		failure = nil
	} else {
		failure = fmt.Errorf("server: cannot serve: %w", failure)
	}
	return errors.Join(failure, err)
}

// stop ends everything, each part within its limit and with its own context.
func (s *Server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.requests)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		// A request that hangs is not a failure of this server.
		s.log.Warn("closed connections with open requests", "err", err)
		_ = s.http.Close()
	}
	_ = s.debug.close()
	ctx, cancel = context.WithTimeout(context.Background(), s.limits.manager)
	defer cancel()
	err := s.manager.Stop(ctx)
	if s.storage.closeFn != nil && errors.Is(err, laneswap.ErrNotifier) && !errors.Is(err, laneswap.ErrDegraded) {
		// The storage has them: an unreachable receiver is not a failure of this server.
		s.log.Warn("some notices are not delivered yet; they are stored and sent after the next start", "err", err)
		err = nil
	}
	return errors.Join(err, s.storage.close())
}

// announce logs the address, the storage and the notifiers in one line, at every log
// level: with port 0 the address would be unknown otherwise.
func (s *Server) announce(ctx context.Context) {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "listening", 0)
	r.AddAttrs(slog.String("url", s.URL()), slog.String("address", s.Addr().String()))
	r.AddAttrs(s.storage.logAttrs...)
	r.AddAttrs(slog.String("notifiers", s.notifierNames(context.WithoutCancel(ctx))))
	_ = s.log.Handler().Handle(context.Background(), r)
}
