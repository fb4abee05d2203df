// Command laneswapd is a LaneSwap server. See laneswapd --help.
package main

import (
	"os"

	"github.com/laneswap/laneswap/cmd/internal/cli"
)

func main() { os.Exit(cli.Laneswapd(cli.Real())) }
