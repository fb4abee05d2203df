// Package laneswap is a heartbeat monitor to embed in a program: services say
// that they are alive and how they are, and LaneSwap notices when one falls
// silent or reports trouble, tells people once, and tells them again when it is
// over and how long it took.
//
//	m := laneswap.NewManager(laneswap.WithNotifier(slognotify.New(slog.Default())))
//	if err := m.Start(ctx); err != nil { ... }
//	defer m.Stop(context.Background())
//
//	st, err := m.Register(ctx, laneswap.Registration{Name: "billing", Interval: 30 * time.Second})
//	h, err := m.Handle(st.ID)
//	h.Beat() // from the worker's loop: no lock, no allocation
//
// With WithStorage a restart, or a kill, loses nothing that was acknowledged and
// alarms nobody, and History tells how a service fared in any period. The adapters
// boltstore, one file, and mongostore are such storages.
//
// The same verbs work over a network: package client talks to a laneswapd, or
// to the handler of package adapters/httpapi in any program.
//
// This package imports the standard library only. Everything else is in the
// packages below it: adapters, client, config, server.
package laneswap

import "sync/atomic"

// Version is the version of this module.
const Version = "0.2.0"

var defaultManager atomic.Pointer[Manager]

// Default returns the Manager of the whole program: the one given to
// SetDefault, else one made by NewManager without options on the first call. It
// is not started for the caller.
func Default() *Manager {
	for {
		if m := defaultManager.Load(); m != nil {
			return m
		}
		if m := NewManager(); defaultManager.CompareAndSwap(nil, m) {
			return m
		}
	}
}

// SetDefault makes m the Manager that Default returns; nil makes the next call
// of Default make a new one. The old one is not stopped.
func SetDefault(m *Manager) { defaultManager.Store(m) }
