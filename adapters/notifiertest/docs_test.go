package notifiertest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}

func TestDocs_showTheWholePager(t *testing.T) {
	t.Parallel()
	_, section, found := strings.Cut(read(t, filepath.Join("..", "..", "docs", "contributing", "writing-adapters.md")), "\n# Writing a notifier\n")
	require.True(t, found)
	var shown []string
	for _, block := range goBlock.FindAllStringSubmatch(section, -1) {
		shown = append(shown, block[1])
	}
	_, pager, found := strings.Cut(read(t, "pager_test.go"), "\n)\n\n") // behind the imports
	require.True(t, found)
	require.Equal(t, pager, strings.Join(shown, "\n"), "the blocks are the file, in its order")
}
