// Package bench compares LaneSwap with what its users know. It is a module of
// its own, so that no program that uses LaneSwap sees what it is compared with.
//
//	cd bench && go test -bench . -benchtime 1s
package bench
