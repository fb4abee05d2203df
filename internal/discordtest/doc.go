// Package discordtest holds end-to-end tests of alerts by Discord: a Manager with the
// Discord adapter, against the strict fake of Discord, in virtual time. It has no code
// of its own.
package discordtest
