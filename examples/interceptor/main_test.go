package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun_makesAHotCPUCritical(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, []float64{20, 90, 95.5, 40, 140}))
	require.Equal(t, `cpu 20: healthy
cpu 90: healthy
cpu 95.5: critical, the limit is 90
cpu 40: healthy
laneswap: report "encoder": invalid heartbeat: cpu is 140, it must be from 0 to 100
`, out.String())
}
