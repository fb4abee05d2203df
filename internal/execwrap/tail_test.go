package execwrap_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/execwrap"
)

func TestRun_keepsTheLastFourKibibytes(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/bin/cat"); err != nil {
		t.Skip("there is no /bin/cat to write the output")
	}
	for _, size := range []int{0, 1, 4095, 4096, 4097, 8192, 70_000, 200_001} {
		var all strings.Builder
		for i := 0; all.Len() < size; i++ {
			all.WriteString(strconv.Itoa(i) + ",")
		}
		data := all.String()[:size]
		name := filepath.Join(t.TempDir(), "in")
		require.NoError(t, os.WriteFile(name, []byte(data), 0o600))
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		require.NoError(t, err)
		o := execwrap.Run(execwrap.Command{Args: []string{"/bin/cat", name}, Stdout: out, Stderr: os.Stderr})
		require.NoError(t, out.Close())
		require.Equal(t, data[max(0, size-4096):], string(o.Tail), size)
		written, err := os.ReadFile(out.Name())
		require.NoError(t, err)
		require.Equal(t, data, string(written))
	}
}
