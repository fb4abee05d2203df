//go:build unix

package boltstore

import (
	"os"
	"syscall"
)

// keepOwner gives a new file to whoever has the old one, where that is allowed: one
// that root has compacted must not be closed to the server.
func keepOwner(fresh string, old os.FileInfo) {
	if stat, ok := old.Sys().(*syscall.Stat_t); ok {
		_ = os.Chown(fresh, int(stat.Uid), int(stat.Gid))
	}
}
