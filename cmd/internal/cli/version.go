package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
)

// build describes how this program was built.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: laneswap.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

func (b build) String() string {
	if b.Revision != "" {
		return fmt.Sprintf("%s %s (%s, %s)", b.Version, b.Revision, b.Go, b.Platform)
	}
	return fmt.Sprintf("%s (%s, %s)", b.Version, b.Go, b.Platform)
}

func versionCommand(o *output) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if o.json() {
				return o.writeJSON(thisBuild())
			}
			_, err := fmt.Fprintln(o.p.Stdout, "laneswap", thisBuild())
			return err
		},
	}
}
