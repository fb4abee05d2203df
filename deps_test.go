package laneswap_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/laneswap/laneswap"

// direction says what the packages of a folder may import besides the standard
// library. Folders of this module are named by their path in it, "." is the
// root, and "x/..." is everything below x; the rest are paths of other modules.
type direction struct {
	folder string
	allow  []string
}

// directions lists the allowed imports: nothing points the other way. The most
// specific row counts, and a package without a row fails: whoever adds one
// decides where it stands.
var directions = []direction{
	{".", []string{"internal/bounded", "internal/cell", "internal/clock", "internal/journal", "internal/outbox", "internal/text", "internal/wirejson"}},
	{"internal/bounded", nil},
	{"internal/cell", nil},
	{"internal/journal", nil},
	{"internal/clock", nil},
	{"internal/outbox", []string{"internal/clock"}},
	{"internal/text", nil},
	{"internal/wirejson", nil},
	{"internal/strictjson", []string{"internal/text"}},
	{"adapters/...", []string{".", "internal/text", "internal/wirejson"}},
	{"adapters/discord", []string{".", "internal/httppost", "internal/text", "internal/wirejson"}},
	{"adapters/webhook", []string{".", "internal/httppost", "internal/text"}},
	{"adapters/httpapi", []string{".", "internal/text", "internal/wirejson", "internal/strictjson", "golang.org/x/net"}},
	{"adapters/boltstore", []string{".", "go.etcd.io/bbolt"}},
	{"adapters/mongostore", []string{".", "go.mongodb.org/mongo-driver/v2"}},
	{"client", []string{".", "internal/text", "internal/wirejson"}},
	{"config", []string{".", "internal/strictjson", "github.com/caarlos0/env/v10"}},
	{"server", []string{".", "config", "adapters/..."}},
	{"cmd/...", []string{".", "server", "config", "client", "cmd/...", "internal/...", "github.com/spf13/cobra", "golang.org/x/term", "golang.org/x/sys"}},
	{"examples/...", []string{".", "adapters/...", "client"}},
	{"internal/apitest", []string{"."}},
	{"internal/fakediscord", nil},
	{"internal/httppost", nil},
	{"internal/simulation", []string{"."}},
	{"internal/table", []string{".", "github.com/mattn/go-runewidth"}},
	{"internal/...", []string{".", "client", "internal/text", "golang.org/x/term", "golang.org/x/sys"}},
}

// listed is a package as `go list -json` prints it.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

func goCommand(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	require.NoError(t, err)
	return string(out)
}

func list(t *testing.T, dir string, env []string, args ...string) []listed {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(goCommand(t, dir, env, append([]string{"list", "-json=ImportPath,Standard,Imports,Deps,Module"}, args...)...)))
	var out []listed
	for {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		out = append(out, p)
	}
}

func TestDependencies_rootImportsTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, ".", nil, "-deps", ".") {
		if !strings.HasPrefix(p.ImportPath, modulePath) {
			require.True(t, p.Standard, "%s is not of the standard library", p.ImportPath)
		}
		require.NotEqual(t, "net/http", p.ImportPath)
	}
}

func TestDependencies_pointInTheDirectionsOfTheDesign(t *testing.T) {
	t.Parallel()
	for _, goos := range []string{"linux", "windows", "darwin"} {
		env := []string{"GOOS=" + goos, "CGO_ENABLED=0"}
		known := map[string]bool{}
		for _, p := range list(t, ".", env, "-deps", "./...") {
			known[p.ImportPath] = p.Standard
		}
		for _, p := range list(t, ".", env, "./...") {
			row := rowOf(p.ImportPath)
			if row == nil {
				t.Errorf("%s has no row in the directions", p.ImportPath)
				continue
			}
			for _, imported := range p.Imports {
				if !known[imported] && !allows(*row, p.ImportPath, imported) {
					t.Errorf("%s: %s imports %s, which %q may not", goos, p.ImportPath, imported, row.folder)
				}
			}
		}
	}
}

// rowOf finds the row of a package of this module; nil when there is none.
func rowOf(importPath string) *direction {
	var best *direction
	for i, row := range directions {
		if covers(row.folder, importPath) && (best == nil || len(row.folder) > len(best.folder)) {
			best = &directions[i]
		}
	}
	return best
}

// covers reports whether a folder or another module holds an import path.
func covers(folder, importPath string) bool {
	if importPath == modulePath {
		return folder == "."
	}
	inside, ours := strings.CutPrefix(importPath, modulePath+"/")
	if !ours {
		return importPath == folder || strings.HasPrefix(importPath, folder+"/")
	}
	if above, ok := strings.CutSuffix(folder, "/..."); ok {
		return strings.HasPrefix(inside, above+"/")
	}
	return inside == folder
}

func allows(row direction, importer, imported string) bool {
	if imported == "C" {
		return false
	}
	// A package and those below it belong together: an adapter may have parts.
	if importer != modulePath && strings.HasPrefix(imported, importer+"/") {
		return true
	}
	return slices.ContainsFunc(row.allow, func(folder string) bool { return covers(folder, imported) })
}

func TestDependencies_theTableTellsRightFromWrong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from, to string
		want     bool
	}{
		{"", "/client", false},
		{"/adapters/httpapi", "", true},
		{"/adapters/httpapi", "/adapters/middleware", false},
		{"/adapters/httpapi", "/client", false},
		{"/client", "/adapters/httpapi", false},
		{"/server", "/adapters/httpapi", true},
		{"/server", "/client", false},
		{"/cmd/laneswap", "/server", true},
		{"/internal/apitest", "/client", false},
		{"/internal/fakediscord", "", false},
	} {
		row := rowOf(modulePath + tc.from)
		require.NotNil(t, row, tc.from)
		require.Equal(t, tc.want, allows(*row, modulePath+tc.from, modulePath+tc.to), "%s -> %s", tc.from, tc.to)
	}
	require.False(t, allows(*rowOf(modulePath + "/server"), modulePath+"/server", "github.com/caarlos0/env/v10"))
	require.False(t, allows(*rowOf(modulePath + "/client"), modulePath+"/client", "github.com/stretchr/testify/require"))
	require.Nil(t, rowOf(modulePath+"/elsewhere"))
}

// TestDependencies_aConsumerOfTheRootGetsNothingElse builds a program outside
// this module, with no way to download anything.
func TestDependencies_aConsumerOfTheRootGetsNothingElse(t *testing.T) {
	t.Parallel()
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("go.mod", "module example.org/consumer\n\ngo 1.26.0\n\nrequire "+modulePath+" v0.0.0\n\nreplace "+modulePath+" => "+here+"\n")
	write("main.go", `package main

import (
	"context"
	"fmt"

	"`+modulePath+`"
)

func main() {
	st, err := laneswap.NewManager().Register(context.Background(), laneswap.Registration{ID: "a"})
	fmt.Println(st.Status, err)
}
`)
	env := []string{"GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off"}
	binary := filepath.Join(dir, "consumer.exe")
	goCommand(t, dir, env, "build", "-o", binary, ".")
	out, err := exec.CommandContext(t.Context(), binary).Output()
	require.NoError(t, err)
	require.Equal(t, "unknown <nil>\n", string(out))

	var modules []string
	for _, p := range list(t, dir, env, "-deps", ".") {
		if p.Module != nil && !slices.Contains(modules, p.Module.Path) {
			modules = append(modules, p.Module.Path)
		}
	}
	slices.Sort(modules)
	require.Equal(t, []string{"example.org/consumer", modulePath}, modules)
	goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(goMod), "require"), "the build added nothing to go.mod:\n%s", goMod)
	require.NotContains(t, string(goMod), "indirect")
	require.NoFileExists(t, filepath.Join(dir, "go.sum"), "nothing had to be trusted")
}

// The judge is pure: it has no clock, no I/O and no log, and knows no storage.
func TestDependencies_theJudgeIsPure(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"judge.go", "deadlines.go", "record.go", "internal/cell/cell.go", "internal/clock/clock.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, imported := range parsed.Imports {
			path := strings.Trim(imported.Path.Value, `"`)
			require.NotContains(t, []string{"context", "log/slog", "os", modulePath + "/internal/journal", modulePath + "/internal/outbox"}, path, file)
		}
	}
}
