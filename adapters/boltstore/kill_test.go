package boltstore_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
)

// The environment of a child: the file that it commits to, and from which number on.
const (
	childPath  = "BOLTSTORE_CHILD_PATH"
	childFirst = "BOLTSTORE_CHILD_FIRST"
)

// ring is how many events are kept: each commit deletes one as it inserts one.
const ring = 50

// numbered is commit number n of the child.
func numbered(n int) laneswap.Batch {
	service := fmt.Sprint("service-", n%10)
	at := noon.Add(time.Duration(n) * time.Second)
	return laneswap.Batch{
		Epoch:  1,
		Insert: []laneswap.Row{{Kind: laneswap.KindEvent, ID: fmt.Sprint(n), Service: service, At: at, Data: fmt.Appendf(nil, `{"n":%d,"padding":"%0500d"}`, n, 0)}},
		Put:    []laneswap.Row{{Kind: laneswap.KindService, ID: service, Service: service, At: at, Open: true, Data: fmt.Append(nil, n)}},
		Delete: []laneswap.Key{{Kind: laneswap.KindEvent, ID: fmt.Sprint(n - ring)}},
		Seen:   []laneswap.Seen{{Service: service, At: at}},
	}
}

// TestChild_commitsUntilItIsKilled is the other process of the test below.
func TestChild_commitsUntilItIsKilled(t *testing.T) {
	path := os.Getenv(childPath)
	if path == "" {
		t.Skip("runs as the child of another test")
	}
	first, err := strconv.Atoi(os.Getenv(childFirst))
	require.NoError(t, err)
	s := open(t, path)
	fmt.Println("ready")
	for n := first; n < first+1_000_000; n++ {
		require.NoError(t, s.Commit(t.Context(), numbered(n)))
		// Unbuffered: what was written is in the pipe, whatever becomes of us.
		fmt.Println(n)
	}
}

// child starts a child and waits until it has the file.
func child(t *testing.T, path string, first int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestChild_commitsUntilItIsKilled$", "-test.v=false")
	cmd.Env = append(os.Environ(), childPath+"="+path, childFirst+"="+strconv.Itoa(first))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "ready", lines.Text())
	return cmd, lines
}

func TestKill_losesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	cycles := 5 * *rounds
	if testing.Short() {
		cycles = 2
	}
	path := newPath(t)
	last := 0
	for cycle := range cycles {
		cmd, lines := child(t, path, last+1)
		for left := rand.IntN(100); left > 0 && lines.Scan(); left-- {
			last = number(t, lines)
		}
		require.NoError(t, cmd.Process.Kill())
		for lines.Scan() {
			last = number(t, lines)
		}
		require.Error(t, cmd.Wait(), "it was killed")

		s := open(t, path) // fails when it finds damage
		last = complete(t, s, last)
		require.NoError(t, s.Close())
		t.Logf("cycle %d: %d commits", cycle, last)
	}
	report, err := boltstore.Check(path)
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	require.Less(t, report.Size, int64(4<<20), "the file does not grow with what was deleted")
}

func number(t *testing.T, lines *bufio.Scanner) int {
	t.Helper()
	n, err := strconv.Atoi(lines.Text())
	require.NoError(t, err)
	return n
}

// complete requires all of the commits up to one that was acknowledged, and
// nothing but the whole of the one behind it besides. It returns the last.
func complete(t *testing.T, s laneswap.Storage, acknowledged int) int {
	t.Helper()
	rows, seen := stored(t, s)
	for _, last := range []int{acknowledged, acknowledged + 1} {
		want := map[laneswap.Key]laneswap.Row{}
		times := map[string]time.Time{}
		for n := 1; n <= last; n++ {
			b := numbered(n)
			want[laneswap.Key{Kind: laneswap.KindService, ID: b.Put[0].ID}] = b.Put[0]
			times[b.Seen[0].Service] = b.Seen[0].At
			if n > last-ring {
				want[laneswap.Key{Kind: laneswap.KindEvent, ID: b.Insert[0].ID}] = b.Insert[0]
			}
		}
		if last == acknowledged {
			if _, ok := rows[laneswap.Key{Kind: laneswap.KindEvent, ID: fmt.Sprint(last + 1)}]; ok {
				continue
			}
		}
		require.Equal(t, want, rows)
		require.Equal(t, times, seen)
		return last
	}
	return 0
}
