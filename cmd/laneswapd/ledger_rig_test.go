//go:build unix

package main_test

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/durabilitytest"
)

var (
	kills      = flag.Int("kills", 10, "how often laneswapd is killed over a data file")
	mongoKills = flag.Int("mongo-kills", 2, "how often laneswapd, its MongoDB or both are killed")
	seed       = flag.Uint64("seed", 0, "of the moments of the kills and of the operations; 0 takes one of the clock")
)

// rig is a laneswapd that is killed while clients work, and the check of what it kept.
type rig struct {
	*durabilitytest.Checker
	t      *testing.T
	random *rand.Rand
	env    []string
	args   []string
	leaves bool // the storage may be too slow to take all before a stop ends
	killed bool // the last process was, rather than told to stop

	*process // the present one
	url      string
	stop     chan struct{} // ends the work
	worked   chan struct{} // closed when the work has ended
}

func newRig(t *testing.T, o durabilitytest.Options, env []string, args ...string) *rig {
	t.Helper()
	if o.Seed = *seed; o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", o.Seed)
	return &rig{
		Checker: durabilitytest.New(o), t: t, random: rand.New(rand.NewPCG(o.Seed, 1000)), env: env, leaves: o.StorageLeaves,
		args: append([]string{"--host", "127.0.0.1", "--port", "0"}, args...),
	}
}

// launch starts laneswapd, and does not wait for it.
func (r *rig) launch() {
	r.t.Helper()
	cmd := exec.Command(program(r.t, "laneswapd"), r.args...)
	cmd.Dir = r.t.TempDir()
	cmd.Env = append(cmd.Environ(), r.env...)
	p := &process{cmd: cmd, stdout: new(buffer), stderr: new(buffer), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	require.NoError(r.t, cmd.Start())
	go func() { // ends with the process
		_ = cmd.Wait() // the exit code is asked for elsewhere
		close(p.done)
	}()
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
	})
	r.process = p
}

// anywhere is the line that says where a server listens, whatever it stores in.
var anywhere = regexp.MustCompile(`(?m)msg=listening url=(http://127\.0\.0\.1:\d+) `)

// up starts laneswapd and what accompanies its life.
func (r *rig) up() {
	r.t.Helper()
	at := time.Now()
	r.launch()
	eventually(r.t, "the line that says where it listens", func() bool {
		m := anywhere.FindStringSubmatch(r.stderr.String())
		if m != nil {
			r.url = m[1]
		}
		select {
		case <-r.done:
			require.Fail(r.t, "laneswapd has ended", r.said())
		default:
		}
		return m != nil
	})
	require.NoError(r.t, r.Begin(r.t.Context(), r.url, at, r.killed))
}

// ready waits until the storage takes what it is given.
func (r *rig) ready() {
	r.t.Helper()
	eventually(r.t, "the storage is back", func() bool {
		res, err := http.Get(r.url + "/readyz?strict=1")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// said is what the server logged besides notices.
func (r *rig) said() string {
	var out strings.Builder
	for line := range strings.Lines(r.stderr.String()) {
		if !strings.Contains(line, " event=") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// check compares what was acknowledged with the state of the server.
func (r *rig) check(cycle int) {
	r.t.Helper()
	require.NoError(r.t, r.Check(r.t.Context()), "cycle %d\n%s", cycle, r.said())
}

// work begins to work.
func (r *rig) work(strangers bool) {
	stop, worked := make(chan struct{}), make(chan struct{})
	r.stop, r.worked = stop, worked
	go func() { // ends with the server, or by stop
		defer close(worked)
		r.Work(r.t.Context(), stop, strangers)
	}()
}

// rest ends the work while the server goes on.
func (r *rig) rest() {
	close(r.stop)
	<-r.worked
}

// down ends the server, at once or gently, and waits for the clients to notice.
// One that ended before its storage had taken all says so, and counts as killed.
func (r *rig) down(gently bool) {
	r.t.Helper()
	if gently {
		r.signal(r.t, syscall.SIGTERM)
		if code := r.ended(r.t); code != 0 {
			require.True(r.t, r.leaves && strings.Contains(r.said(), "stop: storage has not taken it yet"), r.said())
			gently = false
		}
	} else {
		r.kill()
	}
	if r.worked != nil {
		<-r.worked
	}
	r.End()
	r.killed = !gently
}

// kill ends the process as kill -9 does.
func (r *rig) kill() {
	r.t.Helper()
	r.signal(r.t, syscall.SIGKILL)
	require.Equal(r.t, -1, r.ended(r.t), r.said())
}

// pause lets between from and to pass, in which others work.
func (r *rig) pause(from, to time.Duration) {
	select {
	case <-time.After(from + time.Duration(r.random.Int64N(int64(to-from)))):
	case <-r.t.Context().Done():
	}
}

// finish compares everything, one last time.
func (r *rig) finish(cycles int) {
	r.t.Helper()
	require.NoError(r.t, r.CheckAll(r.t.Context()), r.said())
	r.down(true)
	r.t.Logf("%d cycles: %v; nothing lost", cycles, r.Checker)
}
