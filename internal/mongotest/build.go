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

// buildWait bounds a build with cold caches on a slow machine.
const buildWait = 10 * time.Minute

// built builds the server once in a process. The file is gone with the test that
// asked first, so what is kept is its content: about 20 MB.
var built = sync.OnceValues(compile)

// build returns the path of an executable of the server, which is gone with the
// test.
func build(t testing.TB) string {
	t.Helper()
	content, err := built()
	if err != nil {
		t.Fatalf("mongotest: %v", err)
	}
	path := filepath.Join(t.TempDir(), "server.exe")
	if err := os.WriteFile(path, content, 0o700); err != nil {
		t.Fatalf("mongotest: %v", err)
	}
	return path
}

// compile builds the server and returns the executable.
func compile() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildWait)
	defer cancel()
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	// Packages are tested in parallel: the second to come finds the work done in
	// the build cache.
	source := filepath.Join(root, "internal", "mongotest", "server")
	unlock, err := lockBuild(source)
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir, err := os.MkdirTemp("", "laneswap-mongotest-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "server.exe")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "ferretdb_no_postgresql", "-o", binary, ".")
	cmd.Dir = source
	// A program for this machine, whatever the tests are built for.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build of the test server: %w\n%s", err, out)
	}
	return os.ReadFile(binary)
}

// moduleRoot is the folder of the module whose tests run.
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
