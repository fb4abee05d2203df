//go:build !unix

package boltstore

import "os"

// keepOwner does nothing here: a new file has the rights of its folder.
func keepOwner(string, os.FileInfo) {}
