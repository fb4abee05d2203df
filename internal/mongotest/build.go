package mongotest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildTimeout bounds a build with cold caches on a slow machine.
const buildTimeout = 10 * time.Minute

// built builds the server once in a process.
var built = sync.OnceValues(compile)

// build returns the path of the executable of the server.
func build(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a database server; run it without -short")
	}
	path, err := built()
	if err != nil {
		t.Fatalf("mongotest: %v", err)
	}
	return path
}

// compile builds the server and returns its executable, which is in the build
// cache: other than go build, go tool links it only once.
func compile() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	// Packages are tested in parallel. The second to build finds all in the cache.
	source := filepath.Join(root, "internal", "mongotest", "server")
	unlock, err := lockBuild(source)
	if err != nil {
		return "", err
	}
	defer unlock()
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", "server")
	cmd.Dir = source
	// A program for this machine, whatever the tests are built for.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-tags=ferretdb_no_postgresql", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	cmd.Stderr = new(strings.Builder)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build of the test server: %w\n%s", err, cmd.Stderr)
	}
	return strings.TrimSpace(string(out)), nil
}

// moduleRoot returns the folder of the module whose tests run.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", fmt.Errorf("the test runs outside of the module")
	}
	return filepath.Dir(file), nil
}
