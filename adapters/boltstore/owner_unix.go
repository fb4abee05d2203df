//go:build unix

package boltstore

import (
	"os"
	"syscall"
)

// keepOwner gives a new file the owner of the old one, if that is allowed: the server
// must be able to open a file that root has compacted.
func keepOwner(fresh string, old os.FileInfo) {
	if stat, ok := old.Sys().(*syscall.Stat_t); ok {
		_ = os.Chown(fresh, int(stat.Uid), int(stat.Gid))
	}
}
