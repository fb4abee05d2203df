package cli

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFollow_pausesLongerAfterEachFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := new(follower)
		begun := time.Now()
		for _, want := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second} {
			require.True(t, f.pause(t.Context()))
			require.Equal(t, want, time.Since(begun))
			begun = time.Now()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.False(t, f.pause(ctx), "it was interrupted")
		require.Equal(t, time.Second, time.Since(begun))
	})
}
