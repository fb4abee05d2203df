// Command interceptor shows custom processing of heartbeats: a CPU above 90 % makes a
// service critical, whatever status it reports, and an invalid percentage is refused.
//
//	go run ./examples/interceptor 20 95 40
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"

	"github.com/laneswap/laneswap"
)

func main() {
	var readings []float64
	for _, arg := range os.Args[1:] {
		cpu, err := strconv.ParseFloat(arg, 64)
		if err != nil {
			log.Fatal(err)
		}
		readings = append(readings, cpu)
	}
	if len(readings) == 0 {
		readings = []float64{20, 95, 40}
	}
	if err := run(context.Background(), os.Stdout, readings); err != nil {
		log.Fatal(err)
	}
}

// raiseOnHotCPU is the interceptor. It sees every heartbeat of every service,
// checked and cleaned: numbers in metadata are float64.
func raiseOnHotCPU(_ context.Context, _ laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.Heartbeat, error) {
	cpu, ok := hb.Metadata["cpu"].(float64)
	switch {
	case !ok:
	case cpu < 0 || cpu > 100:
		return hb, fmt.Errorf("cpu is %g, it must be from 0 to 100", cpu)
	case cpu > 90:
		hb.Status = laneswap.StatusCritical
		hb.Message = "critical, the limit is 90"
	}
	return hb, nil
}

// run sends one heartbeat for each reading and prints how the service stands.
func run(ctx context.Context, out io.Writer, readings []float64) error {
	m := laneswap.NewManager(laneswap.WithInterceptor(raiseOnHotCPU))
	if err := m.Start(ctx); err != nil {
		return err
	}
	defer m.Stop(context.WithoutCancel(ctx))
	if _, err := m.Register(ctx, laneswap.Registration{ID: "encoder"}); err != nil {
		return err
	}
	for _, cpu := range readings {
		st, err := m.Report(ctx, "encoder", laneswap.Heartbeat{Metadata: map[string]any{"cpu": cpu}})
		if err != nil {
			fmt.Fprintln(out, err)
			continue
		}
		fmt.Fprintf(out, "cpu %g: %s\n", cpu, cmp.Or(st.Message, string(st.Status)))
	}
	return nil
}
