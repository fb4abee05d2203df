package laneswap_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/adapters/slognotify"
)

// block is a fenced block of a Markdown file.
type block struct{ language, text string }

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

func blocks(t *testing.T, path string) []block {
	t.Helper()
	var out []block
	for _, found := range fence.FindAllStringSubmatch(read(t, path), -1) {
		out = append(out, block{found[1], found[2]})
	}
	require.NotEmpty(t, out, "%s has no blocks", path)
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}

func TestReadme_programIsTheExampleAndItsOutput(t *testing.T) {
	t.Parallel()
	_, example, found := strings.Cut(read(t, "example_test.go"), "\nfunc Example() {\n")
	require.True(t, found)
	example, _, found = strings.Cut(example, "\n}\n")
	require.True(t, found)
	code, output, found := strings.Cut(example, "\t// Output:\n")
	require.True(t, found)

	readme := blocks(t, "README.md")
	indent := regexp.MustCompile(`(?m)^\t`)
	require.Equal(t, block{"go", indent.ReplaceAllString(code, "")}, readme[0])
	require.LessOrEqual(t, strings.Count(readme[0].text, "\n"), 15)
	output = regexp.MustCompile(`(?m)^\t// `).ReplaceAllString(output, "")
	require.Equal(t, block{"text", output + "\n"}, readme[1])
}

// sources are the Markdown files and all Go files.
func sources(t *testing.T, suffix string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, suffix) {
			out = append(out, path)
		}
		return err
	}))
	require.NotEmpty(t, out)
	return out
}

func TestDocs_linksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)]+)\)`)
	for _, path := range sources(t, ".md") {
		for _, found := range link.FindAllStringSubmatch(read(t, path), -1) {
			target, _, _ := strings.Cut(found[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			_, err := os.Stat(filepath.Join(filepath.Dir(path), target))
			require.NoError(t, err, "%s links to %s", path, target)
		}
	}
}

func TestDocs_guaranteesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	for _, path := range sources(t, "_test.go") {
		code.WriteString(read(t, path))
	}
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z0-9]*_?[A-Za-z0-9]*)`").FindAllStringSubmatch(read(t, "docs/contributing/guarantees.md"), -1)
	require.NotEmpty(t, named)
	for _, found := range named {
		require.True(t, strings.Contains(code.String(), "\nfunc "+found[1]+"("), "docs/contributing/guarantees.md promises by %s, which is no test", found[1])
	}
}

// Parts of answers that differ from run to run.
var (
	anyTime     = regexp.MustCompile(`^\d{4}-\d\d-\d\dT[\d:.]+Z$`)
	anyIncident = regexp.MustCompile(`/[0-9a-z]+-(e?\d+(/\d+)?)$`)
)

// measured are the members of answers that are times in seconds, or made of them.
var measured = []string{"duration", "uptime", "up", "down", "unknown", "absent", "mean_time_to_recovery", "longest_gap"}

// still replaces what differs from run to run by something that does not.
func still(v any) any {
	switch v := v.(type) {
	case string:
		if anyTime.MatchString(v) {
			return "TIME"
		}
		return anyIncident.ReplaceAllString(v, "/ID-$1")
	case []any:
		for i := range v {
			v[i] = still(v[i])
		}
	case map[string]any:
		for k := range v {
			if _, took := v[k].(float64); took && slices.Contains(measured, k) || k == "journal" {
				v[k] = "TIME"
			}
			v[k] = still(v[k])
		}
	}
	return v
}

// TestDocs_curlExamplesAnswerAsDocumented runs every sh block of docs/api.md in
// order against one server, and compares what it prints with the block behind
// it: JSON by its meaning, save for times and the ids of incidents, text as it is.
func TestDocs_curlExamplesAnswerAsDocumented(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	m := laneswap.NewManager(laneswap.WithNotifier(slognotify.New(slog.New(slog.DiscardHandler))), laneswap.WithGroupWait(0))
	require.NoError(t, m.Start(t.Context()))
	s := httptest.NewServer(httpapi.New(m))
	defer s.Close()
	all := blocks(t, filepath.Join("docs", "api.md"))
	ran := 0
	for i, b := range all {
		if b.language != "sh" {
			continue
		}
		ran++
		require.Eventually(t, func() bool { return m.Health().Notifiers[0].Waiting == 0 }, time.Minute, time.Millisecond)
		cmd := exec.CommandContext(t.Context(), "sh", "-eu")
		cmd.Stdin = strings.NewReader(b.text)
		cmd.Env = append(os.Environ(), "LANESWAP="+s.URL, "no_proxy=*")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "%s\n%s", b.text, &stderr)
		require.Less(t, i+1, len(all), "no answer is documented for\n%s", b.text)
		if want := all[i+1]; want.language == "json" {
			require.Equal(t, plain(t, want.text), plain(t, string(out)), b.text)
		} else {
			require.Equal(t, want.text, strings.ReplaceAll(string(out), "\r", ""), b.text)
		}
	}
	require.Greater(t, ran, 10)
}

func plain(t *testing.T, text string) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return still(v)
}
