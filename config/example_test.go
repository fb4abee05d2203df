package config_test

import (
	"fmt"

	"github.com/laneswap/laneswap/config"
)

func ExampleLoad() {
	environ := []string{"LANESWAP_PORT=9000", "LANESWAP_STALE_THRESHOLD=90"} // os.Environ()
	flags := map[string]string{"port": "9001"}                               // those that were given
	cfg, err := config.Load(environ, flags)
	fmt.Println(cfg.Address(), cfg.StaleThreshold, err)

	_, err = config.Load([]string{"LANESWAP_PORT=90000"}, nil)
	fmt.Println(err)
	// Output:
	// 0.0.0.0:9001 1m30s <nil>
	// LANESWAP_PORT (--port) is "90000", it must be a whole number from 0 to 65535
}
