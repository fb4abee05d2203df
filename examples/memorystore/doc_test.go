package memorystore_test

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

func TestDocs_showTheWholeStoreAndPartsOfItsTest(t *testing.T) {
	t.Parallel()
	store, test := read(t, "memorystore.go"), read(t, "memorystore_test.go")
	var shown []string
	tested := 0
	page, _, _ := strings.Cut(read(t, filepath.Join("..", "..", "docs", "contributing", "writing-adapters.md")), "\n# Writing a notifier\n")
	for _, found := range goBlock.FindAllStringSubmatch(page, -1) {
		if strings.Contains(test, "\n"+found[1]) {
			tested++
			continue
		}
		shown = append(shown, found[1])
	}
	require.Equal(t, store, strings.Join(shown, "\n"), "the blocks that are not of the test are the file, in its order")
	require.Equal(t, 4, tested, "the tests and the example that the page shows are in memorystore_test.go")
}
