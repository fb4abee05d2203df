// Command discord sends alerts to a Discord channel: one when a worker of this program
// falls silent, and one when it recovers.
//
//	export LANESWAP_DISCORD_WEBHOOK=https://discord.com/api/webhooks/ID/TOKEN
//	go run ./examples/discord
//
// Create a webhook in Discord under Server Settings, Integrations. Its URL is a secret: it
// comes from the environment, which a list of processes does not show.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv("LANESWAP_DISCORD_WEBHOOK"), os.Getenv("LANESWAP_DISCORD_API_BASE"), 5*time.Second); err != nil {
		log.Fatal(err)
	}
}

// run lets a worker fall silent for longer than patience, and recover.
func run(ctx context.Context, out io.Writer, webhook, apiBase string, patience time.Duration) error {
	alerts, err := discord.New(webhook, discord.WithAPIBase(apiBase))
	if err != nil {
		return err
	}
	m := laneswap.NewManager(
		laneswap.WithNotifier(alerts),
		laneswap.WithGroupWait(0), // one worker: there is nothing to group
	)
	if err := m.Start(ctx); err != nil {
		return err
	}
	defer m.Stop(context.WithoutCancel(ctx)) // which delivers pending notices
	if _, err := m.Register(ctx, laneswap.Registration{ID: "worker", StaleAfter: patience, Tags: []string{"example"}}); err != nil {
		return err
	}
	worker, err := m.Handle("worker")
	if err != nil {
		return err
	}
	w, err := m.Watch(ctx, laneswap.WatchQuery{})
	if err != nil {
		return err
	}
	defer w.Close()

	worker.Beat()
	fmt.Fprintf(out, "the worker hangs; in %v it becomes stale\n", patience)
	for ev, err := range w.Events() {
		if err != nil {
			return err
		}
		switch ev.Kind {
		case laneswap.EventDown:
			if err := report(ctx, out, m, ev); err != nil {
				return err
			}
			worker.Beat()
		case laneswap.EventRecovered:
			return report(ctx, out, m, ev)
		}
	}
	return nil
}

// report waits until the notice of an event is delivered, and prints the result. Programs
// need not wait: the Manager delivers in the background.
func report(ctx context.Context, out io.Writer, m *laneswap.Manager, ev laneswap.Event) error {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		why, err := m.Explain(ctx, ev.ID)
		if err != nil {
			return err
		}
		for _, notice := range why.Notices {
			switch notice.State {
			case laneswap.NoticeSent:
				fmt.Fprintf(out, "%s is %s: sent as message %s\n", ev.Name, ev.To, notice.MessageID)
				return nil
			case laneswap.NoticeSkipped, laneswap.NoticeDead:
				return fmt.Errorf("%s is %s: not sent: %s", ev.Name, ev.To, notice.Steps[len(notice.Steps)-1].Text)
			}
		}
		notifiers, err := m.Notifiers(ctx)
		if err != nil {
			return err
		}
		for _, n := range notifiers {
			if n.State == laneswap.NotifierDisabled {
				return fmt.Errorf("%s is %s: not sent: %s", ev.Name, ev.To, n.LastError)
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
