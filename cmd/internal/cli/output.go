package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap/internal/table"
)

// output writes results as tables or JSON.
type output struct {
	p      Process
	format string
}

func (o *output) flags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&o.format, "output", "o", "table", "output format: table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func (o *output) check() error {
	if o.format != "table" && o.format != "json" {
		return usage(fmt.Errorf("--output is %q, it must be table or json", o.format))
	}
	return nil
}

func (o *output) json() bool { return o.format == "json" }

// table returns the options of tables.
func (o *output) table() table.Options {
	return table.Options{Now: time.Now(), Width: o.p.width()}
}

// writeJSON writes one document, indented.
func (o *output) writeJSON(v any) error {
	enc := json.NewEncoder(o.p.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// writeLine writes one document on one line.
func (o *output) writeLine(v any) error {
	enc := json.NewEncoder(o.p.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
