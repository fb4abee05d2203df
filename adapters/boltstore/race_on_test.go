//go:build race

package boltstore_test

const raceEnabled = true
