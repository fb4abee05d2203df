package storagetest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
)

// flawOfChild names the flaw that this test binary is to run the suite with,
// when the suite's own test has started it.
const flawOfChild = "STORAGETEST_FLAW"

func run(t *testing.T, flaw string) {
	t.Helper()
	patience := time.Minute
	if flaw != "" {
		patience = 4 * time.Second // some flaws hang
	}
	storagetest.Run(t,
		func(*testing.T) laneswap.Storage { return storagetest.NewMemory(flaw) },
		storagetest.WithReopen(func(_ *testing.T, s laneswap.Storage) laneswap.Storage {
			return s.(*storagetest.Memory).Reopen()
		}),
		storagetest.WithPatience(patience))
}

func TestRun_passesWhatKeepsTheContract(t *testing.T) {
	t.Parallel()
	run(t, os.Getenv(flawOfChild))
}

// TestRun_findsEachFlaw runs the suite in processes of its own, for a test that
// is to fail cannot be run in the one that is to pass.
func TestRun_findsEachFlaw(t *testing.T) {
	t.Parallel()
	if os.Getenv(flawOfChild) != "" {
		t.Skip("this is a child")
	}
	binary, err := os.Executable()
	require.NoError(t, err)
	for flaw, test := range storagetest.Flaws {
		t.Run(strings.ReplaceAll(flaw, " ", "_"), func(t *testing.T) {
			t.Parallel()
			name := "TestRun_passesWhatKeepsTheContract/" + test
			cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^TestRun_passesWhatKeepsTheContract$/^"+test+"$")
			cmd.Env = append(os.Environ(), flawOfChild+"="+flaw)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "the suite passes a storage that %s:\n%s", flaw, out)
			require.Contains(t, string(out), "--- FAIL: "+name)
		})
	}
}

func BenchmarkMemory(b *testing.B) {
	storagetest.Benchmark(b, func(*testing.B) laneswap.Storage { return storagetest.NewMemory("") })
}
