package laneswap_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/laneswap/laneswap"
)

func TestManager_smoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager()
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		st, err := m.Register(t.Context(), laneswap.Registration{ID: "a", Interval: time.Second})
		t.Log(st, err)
		h, err := m.Handle("a")
		h.Beat()
		time.Sleep(61 * time.Second)
		st, err = m.Service(t.Context(), "a")
		t.Log(st, err)
		h.Beat()
		st, err = m.Service(t.Context(), "a")
		t.Log(st, err)
		for ev, err := range m.Events(t.Context(), laneswap.EventQuery{}) {
			t.Logf("%+v %v", ev, err)
		}
		b := time.Now()
		time.Sleep(24*time.Hour)
		t.Log(time.Since(b))
		m.Stop(t.Context())
	})
}
