//go:build unix

package execwrap_test

import (
	"bufio"
	"io"
	"testing"
	"time"
)

// linesOf returns the lines of r as they come. When the test is over, or stands
// still for a minute, kill is called and r is closed.
func linesOf(t *testing.T, r io.ReadCloser, kill func()) <-chan string {
	t.Helper()
	lines := make(chan string, 1024)
	go func() {
		defer close(lines)
		sc := bufio.NewScanner(r)
		for sc.Scan() {
			lines <- sc.Text()
		}
	}()
	stop := func() { kill(); r.Close() }
	timer := time.AfterFunc(time.Minute, stop)
	t.Cleanup(func() { timer.Stop(); stop() })
	return lines
}
