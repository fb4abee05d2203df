package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/laneswap/laneswap/internal/strictjson"
)

// safePath matches the paths that an error may show: every key of ours is such.
// Somebody may have put a secret where a key belongs.
var safePath = regexp.MustCompile(`^[a-z_]{1,32}(\[\d+\])?(\.[a-z_]{1,32}(\[\d+\])?)*$`)

// parseTree reads one JSON value as strictjson does. Its error is a problem that
// names the line and quotes at most one character.
func parseTree(data []byte) (any, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // as some editors begin a file
	v, err := strictjson.Parse(data, "")
	var e *strictjson.Error
	if !errors.As(err, &e) {
		return v, err
	}
	where := "it"
	if safePath.MatchString(e.Path) {
		where = e.Path
	}
	line := 1 + bytes.Count(data[:max(e.Offset-1, 0)], []byte("\n"))
	return nil, problem(fmt.Sprintf("line %d: %s %s", line, where, e.Problem))
}
