//go:build race

package alerttest_test

const raceEnabled = true

// many is how many services there are in a storm. The race detector needs no more of
// them than of goroutines, and takes its time.
const many = 200
