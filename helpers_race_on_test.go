//go:build race

package laneswap_test

const raceEnabled = true
