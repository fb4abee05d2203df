// Command laneswap runs a LaneSwap server, asks one, or runs a program under a
// heartbeat. See laneswap --help.
package main

import (
	"os"

	"github.com/laneswap/laneswap/cmd/internal/cli"
)

func main() { os.Exit(cli.Laneswap(cli.Real())) }
