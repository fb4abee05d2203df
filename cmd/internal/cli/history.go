package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/internal/table"
)

const historyLong = `Show the uptime, spans and incidents of a service in the last 24 hours or in another
period. Absences, in which LaneSwap itself could not receive heartbeats, count
neither as up nor as down.

A period is seconds, a duration such as 90m, or days such as 7d. --from and --to
take a day (2026-01-31) or a time (2026-01-31T08:00:00Z), in UTC.`

// listedHistory is the default number of entries per list.
const listedHistory = 20

func (r *remote) historyCommand() *cobra.Command {
	var period time.Duration
	q := laneswap.HistoryQuery{Limit: listedHistory}
	cmd := &cobra.Command{
		Use: "history ID", Short: "Show uptime, spans and incidents of a service", Long: historyLong,
		Example: "  laneswap services history billing@web-1 --period 7d\n  laneswap services history billing@web-1 --from 2026-01-01 --to 2026-02-01",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: r.completeIDs(false),
	}
	cmd.RunE = r.asking(func(ctx context.Context, c *client.Client, args []string) error {
		q := q
		if period > 0 {
			if !q.From.IsZero() {
				return usage(errors.New("--period and --from exclude each other: a period ends with --to, or now"))
			}
			end := time.Now() // To stays zero: the length of the latest span depends on the clock of the server
			if !q.To.IsZero() && q.To.Before(end) {
				end = q.To
			}
			q.From = end.Add(-period)
		}
		past, err := c.History(ctx, laneswap.ServiceID(args[0]), q)
		if err != nil {
			return err
		}
		if r.json() {
			return r.writeJSON(past)
		}
		return table.History(r.p.Stdout, past, r.table())
	})
	cmd.Flags().Var(&days{&period}, "period", "length of the period before --to (default 24h)")
	cmd.Flags().Var(&moment{&q.From}, "from", "start of the period")
	cmd.Flags().Var(&moment{&q.To}, "to", "end of the period (default now)")
	cmd.Flags().IntVar(&q.Limit, "limit", q.Limit, "maximum number of spans, incidents and absences each, the newest")
	return cmd
}

// days is a flag for a duration, or a number of days with a d.
type days struct{ to *time.Duration }

func (d *days) String() string {
	if d.to == nil || *d.to == 0 {
		return ""
	}
	return d.to.String()
}

func (d *days) Set(text string) error {
	if number, ok := strings.CutSuffix(strings.TrimSpace(text), "d"); ok {
		n, err := strconv.ParseFloat(number, 64)
		if maxDays := laneswap.MaxRetention.Hours() / 24; err != nil || !(n > 0 && n <= maxDays) {
			return fmt.Errorf("%q is not a number of days above 0 and up to %v", number, maxDays)
		}
		*d.to = time.Duration(n * float64(24*time.Hour))
		return nil
	}
	parsed, err := config.ParseDuration(text)
	switch {
	case err != nil:
		return err
	case parsed <= 0:
		return errors.New("it must be above zero")
	}
	*d.to = parsed
	return nil
}

func (d *days) Type() string { return "period" }

// moment is a flag for a time or a day.
type moment struct{ to *time.Time }

func (m *moment) String() string {
	if m.to == nil || m.to.IsZero() {
		return ""
	}
	return m.to.Format(time.RFC3339Nano)
}

func (m *moment) Set(text string) error {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			*m.to = at.UTC()
			return nil
		}
	}
	return errors.New("it must be a day such as 2026-01-31 or a time such as 2026-01-31T08:00:00Z")
}

func (m *moment) Type() string { return "time" }
