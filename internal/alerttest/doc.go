// Package alerttest holds tests of alerts from one end to the other: a Manager with
// the adapter for Discord, against the strict stand-in of Discord, in virtual time. It
// has no code of its own.
package alerttest
