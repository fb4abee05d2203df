package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
)

// duration is a flag for seconds or a duration with a unit.
type duration struct {
	to    *time.Duration
	never bool // allows the word "never"
}

func (d *duration) String() string {
	if d.to == nil || *d.to == 0 {
		return ""
	}
	if *d.to == laneswap.Never {
		return "never"
	}
	return d.to.String()
}

func (d *duration) Set(text string) error {
	if d.never && text == "never" {
		*d.to = laneswap.Never
		return nil
	}
	parsed, err := config.ParseDuration(text)
	if err != nil {
		return err
	}
	if parsed == 0 {
		return errors.New("it must be above zero")
	}
	*d.to = parsed
	return nil
}

func (d *duration) Type() string { return "duration" }

// threshold is a flag for a number of heartbeats, or a duration.
type threshold struct{ to *laneswap.Threshold }

func (t *threshold) String() string {
	if t.to == nil {
		return ""
	}
	return t.to.String()
}

func (t *threshold) Set(text string) error {
	parsed, err := laneswap.ParseThreshold(text)
	switch {
	case err != nil:
		return errors.New("it " + err.Error())
	case parsed == laneswap.Threshold{}:
		return errors.New("it must be a number of heartbeats such as 3 or a time such as 90s")
	}
	*t.to = parsed
	return nil
}

func (t *threshold) Type() string { return "beats|duration" }

// metadata is a flag for KEY=VALUE, repeated. A JSON number, true, false or null keeps
// its type; null removes the key.
type metadata map[string]any

func (m *metadata) String() string { return "" }

func (m *metadata) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return fmt.Errorf("it must be KEY=VALUE")
	}
	if *m == nil {
		*m = metadata{}
	}
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		v = value
	}
	switch v.(type) {
	case nil, bool, float64:
		(*m)[key] = v
	default:
		(*m)[key] = value
	}
	return nil
}

func (m *metadata) Type() string { return "key=value" }
