//go:build !race

package alerttest_test

const raceEnabled = false

// many is how many services there are in a storm.
const many = 1000
