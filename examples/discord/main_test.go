package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

func TestRun_sendsTheSilenceAndTheRecovery(t *testing.T) {
	t.Parallel()
	fake := fakediscord.New()
	defer fake.Close()
	base, err := fake.Listen()
	require.NoError(t, err)

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, fake.Webhook(), base, 200*time.Millisecond))
	got := fake.Messages()
	require.Len(t, got, 2)
	require.Equal(t, fmt.Sprintf("the worker hangs; in 200ms it becomes stale\nworker is stale: sent as message %s\nworker is healthy: sent as message %s\n", got[0].ID, got[1].ID), out.String())
	require.Equal(t, "worker is stale", *got[0].Payload.Embeds[0].Title)
	require.Equal(t, "worker recovered", *got[1].Payload.Embeds[0].Title)
	_, ok := got[1].Payload.Field("Down for")
	require.True(t, ok)
	require.Equal(t, got[0].Payload.Embeds[0].Footer.Text, got[1].Payload.Embeds[0].Footer.Text, "both are of one incident")
	require.Empty(t, fake.Violations())
}

func TestRun_reportsAWrongWebhook(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.ErrorIs(t, run(t.Context(), &out, "", "", time.Second), discord.ErrInvalidURL)

	fake := fakediscord.New()
	defer fake.Close()
	base, err := fake.Listen()
	require.NoError(t, err)
	fake.DeleteWebhook()
	err = run(t.Context(), &out, fake.Webhook(), base, 100*time.Millisecond)
	require.ErrorContains(t, err, "not sent")
	require.ErrorContains(t, err, "the webhook or the thread does not exist")
	require.NotContains(t, err.Error(), fake.Secret())
	require.Empty(t, fake.Messages())
	require.Len(t, fake.Requests(), 1)
}
