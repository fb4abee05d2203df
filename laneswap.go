// Package laneswap is a heartbeat monitor that a program embeds. Services send
// heartbeats. LaneSwap alerts once when a service falls silent or reports trouble,
// and once when it recovers, with the duration of the incident.
//
//	m := laneswap.NewManager(laneswap.WithNotifier(slognotify.New(slog.Default())))
//	if err := m.Start(ctx); err != nil { ... }
//	defer m.Stop(context.Background())
//
//	st, err := m.Register(ctx, laneswap.Registration{Name: "billing", Interval: 30 * time.Second})
//	h, err := m.Handle(st.ID)
//	h.Beat() // from the worker's loop: no lock, no allocation
//
// WithStorage keeps everything acknowledged across a restart or a kill, and a
// restart causes no false alert. History returns how a service fared in any period.
// The adapters boltstore (one file) and mongostore (MongoDB) are storages.
//
// Package client offers the same methods over a network. It talks to laneswapd,
// or to any program that serves the handler of package adapters/httpapi.
//
// This package imports the standard library and internal packages only. Packages
// with other dependencies are below it: adapters, client, config, server.
//
// The files of this package form five families, which docs/contributing/architecture.md
// describes:
//
//   - types and contracts: service, status, event, options, errors, storage, notifier, json*
//   - methods: manager, lifecycle, register, beat, handle, query, watch, history*, errorlog, explain
//   - judgement of statuses: judge, deadlines, record, registry, threshold
//   - persistence: store*
//   - alerts: alerts*, masssilence, filter
package laneswap

import "sync/atomic"

// Version is the version of this module.
const Version = "0.2.0"

var defaultManager atomic.Pointer[Manager]

// Default returns the Manager that the whole program shares: the one given to
// SetDefault, or else one that the first call makes with NewManager and no options.
// Default does not start it.
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

// SetDefault makes Default return m. After SetDefault(nil) the next call of Default
// makes a new Manager. SetDefault does not stop the old one.
func SetDefault(m *Manager) { defaultManager.Store(m) }
