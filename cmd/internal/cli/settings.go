package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap/config"
)

// setting is the text of a flag. config parses it.
type setting struct{ text, kind string }

func (s *setting) String() string { return s.text }

func (s *setting) Set(text string) error {
	s.text = text
	return nil
}

func (s *setting) Type() string { return s.kind }

// addSettings adds the flags of the server settings to cmd, and lists the settings
// without a flag in its help.
func addSettings(cmd *cobra.Command) {
	var unflagged strings.Builder
	for _, f := range config.Fields() {
		if f.Flag == "" {
			fmt.Fprintf(&unflagged, "\n  %-27s %s", f.Env, f.Help)
			if f.Default != "" {
				fmt.Fprintf(&unflagged, " (default %s)", f.Default)
			}
			continue
		}
		value := &setting{text: f.Default, kind: "string"}
		if f.Switch {
			value.kind = "bool"
		}
		cmd.Flags().Var(value, f.Flag, fmt.Sprintf("%s (%s)", f.Help, f.Env))
		if f.Switch {
			cmd.Flags().Lookup(f.Flag).NoOptDefVal = "true"
		}
		if f.Choices != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Flag, cobra.FixedCompletions(f.Choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	cmd.Long += "\n\nSettings without a flag, from the environment only:" + unflagged.String()
}

// settings returns the settings from flags, environment and defaults.
func (p Process) settings(cmd *cobra.Command) (config.Config, error) {
	given := map[string]string{}
	for _, f := range config.Fields() {
		if flag := cmd.Flags().Lookup(f.Flag); flag != nil && flag.Changed {
			given[f.Flag] = flag.Value.String()
		}
	}
	return config.Load(p.Environ, given)
}
