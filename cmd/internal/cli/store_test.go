package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	core "github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
	"github.com/laneswap/laneswap/cmd/internal/cli"
)

// dataFile makes a data file of three rows.
func dataFile(t *testing.T, path string) string {
	t.Helper()
	s, err := boltstore.Open(path)
	require.NoError(t, err)
	at := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	require.NoError(t, s.Commit(t.Context(), core.Batch{
		Epoch: 1,
		Put: []core.Row{
			{Kind: core.KindService, ID: "billing", Service: "billing", At: at, Open: true, Data: []byte(`{"name":"Billing"}`)},
			{Kind: core.KindEvent, ID: "1", Service: "billing", At: at, Data: []byte(`{"to":"stale"}`)},
			{Kind: core.KindEvent, ID: "2", Service: "billing", At: at.Add(time.Minute), Data: []byte(`{"to":"healthy"}`)},
		},
		Seen: []core.Seen{{Service: "billing", At: at}},
	}))
	require.NoError(t, s.Close())
	return path
}

func newData(t *testing.T) string {
	t.Helper()
	return dataFile(t, filepath.Join(t.TempDir(), "laneswap.db"))
}

// harm damages a row of a data file.
func harm(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(data, []byte(`"healthy"`), []byte(`"hEalthy"`)), 0o600))
}

const exported = `{"kind":"service","id":"billing","service":"billing","at":"2024-02-29T12:00:00Z","open":true,"epoch":1,"data":{"name":"Billing"}}
{"kind":"seen","id":"billing","service":"billing","at":"2024-02-29T12:00:00Z","open":true}
{"kind":"event","id":"1","service":"billing","at":"2024-02-29T12:00:00Z","epoch":1,"data":{"to":"stale"}}
`

const last = `{"kind":"event","id":"2","service":"billing","at":"2024-02-29T12:01:00Z","epoch":1,"data":{"to":"healthy"}}
`

func TestStore_checkReportsWhatIsThere(t *testing.T) {
	t.Parallel()
	path := newData(t)
	r := laneswap("", "store", "check", path)
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `^File:     `+path+`
Size:     \d+ bytes, \d+ of \d+ pages free
Layout:   1
Rows:     event: 2, 0 of them open
Rows:     service: 1, 1 of them open
Seen:     1 services
Problems: none
$`, r.stdout)

	r = laneswap("", "store", "check", "-o", "json", path)
	require.Zero(t, r.code, r.stderr)
	var report struct {
		Path       string
		Sound      bool
		Layout     int
		Rows, Open map[string]int
		Seen       int
		Problems   []string
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report))
	require.Equal(t, path, report.Path)
	require.True(t, report.Sound)
	require.Equal(t, 1, report.Layout)
	require.Equal(t, map[string]int{"event": 2, "service": 1}, report.Rows)
	require.Equal(t, 1, report.Open["service"])
	require.Equal(t, 1, report.Seen)
	require.Contains(t, r.stdout, `"problems": []`)
}

func TestStore_checkOfADamagedFileExitsWith1(t *testing.T) {
	t.Parallel()
	path := newData(t)
	harm(t, path)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	r := laneswap("", "store", "check", path)
	require.Equal(t, cli.CodeFailure, r.code)
	require.Contains(t, r.stdout, "\nProblem:  a row of kind event is damaged\n")
	require.Equal(t, "laneswap: "+path+" is damaged: a row of kind event is damaged\n", r.stderr)
	r = laneswap("", "store", "check", "-o", "json", path)
	require.Equal(t, cli.CodeFailure, r.code)
	require.Contains(t, r.stdout, `"sound": false`)

	r = laneswap("", "store", "compact", path)
	require.Equal(t, cli.CodeFailure, r.code)
	require.Equal(t, "laneswap: cannot compact the data file "+path+": the file is damaged: a row of kind event is damaged (at its next start laneswapd sets it aside, and takes the rows that can be read over into a new file)\n", r.stderr)
	r = laneswap("", "store", "export", path)
	require.Equal(t, cli.CodeFailure, r.code)
	require.Equal(t, exported, r.stdout, "the rows that can be read")
	require.Contains(t, r.stderr, "the file is damaged")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after, "nothing was changed")
}

func TestStore_compactGivesSpaceBack(t *testing.T) {
	t.Parallel()
	path := newData(t)
	s, err := boltstore.Open(path)
	require.NoError(t, err)
	var rows []core.Row
	var keys []core.Key
	for i := range 500 {
		rows = append(rows, core.Row{Kind: "bulk", ID: fmt.Sprint(i), Data: fmt.Appendf(nil, `"%01000d"`, i)})
		keys = append(keys, core.Key{Kind: "bulk", ID: fmt.Sprint(i)})
	}
	require.NoError(t, s.Commit(t.Context(), core.Batch{Epoch: 1, Put: rows}))
	require.NoError(t, s.Commit(t.Context(), core.Batch{Epoch: 1, Delete: keys}))
	require.NoError(t, s.Close())

	r := laneswap("", "store", "compact", path)
	require.Zero(t, r.code, r.stderr)
	var before, after int64
	_, err = fmt.Sscanf(strings.TrimPrefix(r.stdout, path), ": %d bytes, %d before", &after, &before)
	require.NoError(t, err, r.stdout)
	require.Less(t, after, before/2)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, after, info.Size())
	require.Equal(t, exported+last, laneswap("", "store", "export", path).stdout)

	r = laneswap("", "store", "compact", "-o", "json", path)
	require.Zero(t, r.code, r.stderr)
	require.JSONEq(t, fmt.Sprintf(`{"path":%q,"before":%d,"after":%d}`, path, after, after), r.stdout)
}

func TestStore_exportWritesLinesOfJSON(t *testing.T) {
	t.Parallel()
	path := newData(t)
	require.Equal(t, result{stdout: exported + last}, laneswap("", "store", "export", path))

	to := filepath.Join(t.TempDir(), "rows.jsonl")
	require.Equal(t, result{}, laneswap("", "store", "export", path, "--to", to))
	data, err := os.ReadFile(to)
	require.NoError(t, err)
	require.Equal(t, exported+last, string(data))
	info, err := os.Stat(to)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077, "others do not read it")

	r := laneswap("", "store", "export", path, "--to", path)
	require.Equal(t, result{code: cli.CodeFailure, stderr: "laneswap: cannot write to " + path + ": file exists\n"}, r)
	nothing := filepath.Join(t.TempDir(), "nothing.jsonl")
	r = laneswap("", "store", "export", filepath.Join(t.TempDir(), "none.db"), "--to", nothing)
	require.Equal(t, cli.CodeFailure, r.code)
	require.NoFileExists(t, nothing)
}

func TestStore_findsTheFile(t *testing.T) {
	t.Parallel()
	path := newData(t)
	at := func(environ []string, args ...string) result {
		var stdout, stderr buffer
		code := cli.Laneswap(cli.Process{Args: append([]string{"store"}, args...), Environ: environ, Stdout: &stdout, Stderr: &stderr})
		return result{code, stdout.String(), stderr.String()}
	}
	variable := []string{"LANESWAP_DATA=" + path}
	elsewhere := []string{"LANESWAP_DATA=/none/laneswap.db"}
	for _, r := range []result{
		at(nil, "export", path), at(nil, "export", "--data", path), at(nil, "--data", path, "export"),
		at(variable, "export"), at(elsewhere, "export", "--data", path), at(elsewhere, "export", path),
	} {
		require.Equal(t, result{stdout: exported + last}, r)
	}
	r := at(nil, "check", path, "--data", path)
	require.Equal(t, result{code: cli.CodeUsage, stderr: "laneswap: the file is named twice, as an argument and by --data; name it once\n"}, r)
	r = at(nil, "check", "--data", "")
	require.Equal(t, result{code: cli.CodeUsage, stderr: "laneswap: the file name is empty; name a file\n"}, r)
	require.Equal(t, cli.CodeUsage, at(nil, "check", path, path).code)

	here, err := os.Getwd() // a folder of these tests
	require.NoError(t, err)
	r = at(nil, "check")
	require.Equal(t, cli.CodeFailure, r.code)
	require.Equal(t, "laneswap: cannot check the data file "+filepath.Join(here, "laneswap.db")+": no such file or directory (name the file as an argument, by --data or by LANESWAP_DATA)\n", r.stderr)
	require.NoFileExists(t, filepath.Join(here, "laneswap.db"))
}

func TestStore_refusesWhileAServerHasTheFile(t *testing.T) {
	t.Parallel()
	path := newData(t)
	d := startDaemon(cli.Laneswapd, nil, "--host", "127.0.0.1", "--port", "0", "--storage", "file", "--data", path)
	d.url(t)
	second := startDaemon(cli.Laneswapd, nil, "--host", "127.0.0.1", "--port", "0", "--storage", "file", "--data", path)
	results := map[string]chan result{}
	for _, verb := range []string{"check", "compact", "export"} { // each waits a second for the file
		done := make(chan result, 1)
		results[verb] = done
		go func() { done <- laneswap("", "store", verb, path) }()
	}
	for verb, done := range results {
		require.Equal(t, result{
			code:   cli.CodeFailure,
			stderr: "laneswap: cannot " + verb + " the data file " + path + ": the file is open in another process; stop that process first\n",
		}, <-done)
	}
	require.Equal(t, cli.CodeFailure, <-second.done)
	require.Equal(t, "laneswapd: cannot open the data file "+path+": the file is open in another process; stop that process first (--data or LANESWAP_DATA chooses the file; --storage memory needs none)\n", second.log.String())
	d.stop <- syscall.SIGTERM
	require.Equal(t, cli.CodeOK, <-d.done)
	require.Zero(t, laneswap("", "store", "check", path).code)
}

func TestStore_helps(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"store"}, {"store", "--help"}, {"store", "check", "--help"}, {"store", "compact", "--help"}, {"store", "export", "--help"}} {
		r := laneswap("", args...)
		require.Zero(t, r.code)
		require.Contains(t, r.stdout, "LANESWAP_DATA")
	}
	r := laneswap("", "server", "--help")
	require.Regexp(t, `(?m)^  LANESWAP_MONGODB_URI +MongoDB that `, r.stdout)
	require.Contains(t, r.stdout, "LANESWAP_MONGODB_ERRORS")
	require.NotContains(t, r.stdout, "--mongodb-uri")
}
