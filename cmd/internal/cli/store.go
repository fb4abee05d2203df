package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/server"
)

const storeLong = `Check, compact or export the data file of a server. Stop laneswapd first: these
commands fail while it has the file open. The file is FILE, else --data, else
LANESWAP_DATA, else laneswap.db in the working folder. For a state in MongoDB, use
the tools of MongoDB.`

// store holds the commands about the data file.
type store struct {
	*output
	data string // of the flag
}

func storeCommand(o *output) *cobra.Command {
	s := &store{output: o}
	cmd := group("store", "Check, compact or export the data file of a server", s.checkCommand(), s.compactCommand(), s.exportCommand())
	cmd.Long = storeLong
	cmd.Example = "  laneswap store check\n  laneswap store compact /var/lib/laneswap/laneswap.db\n  laneswap store export --to rows.jsonl"
	data := dataField()
	cmd.PersistentFlags().StringVar(&s.data, data.Flag, "", fmt.Sprintf("%s (%s, else %s)", data.Help, data.Env, data.Default))
	return cmd
}

// dataField returns the setting that names the file.
func dataField() config.Field {
	fields := config.Fields()
	return fields[slices.IndexFunc(fields, func(f config.Field) bool { return f.Env == "LANESWAP_DATA" })]
}

// path returns the file that a command is about.
func (s *store) path(cmd *cobra.Command, args []string) (string, error) {
	field := dataField()
	given := cmd.Flags().Changed(field.Flag)
	switch {
	case given && len(args) > 0:
		return "", usage(fmt.Errorf("the file is named twice, as an argument and by --%s; name it once", field.Flag))
	case given && strings.TrimSpace(s.data) == "", len(args) > 0 && args[0] == "":
		return "", usage(errors.New("the file name is empty; name a file"))
	case given:
		return strings.TrimSpace(s.data), nil
	case len(args) > 0:
		return args[0], nil
	}
	if path := strings.TrimSpace(s.p.env(field.Env)); path != "" {
		return path, nil
	}
	return field.Default, nil
}

// onFile returns the RunE of a command that runs a function on the data file.
func (s *store) onFile(run func(path string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := s.check(); err != nil {
			return err
		}
		path, err := s.path(cmd, args)
		if err != nil {
			return err
		}
		return run(path)
	}
}

func (s *store) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "Check whether the file is sound, and show what is in it",
		Long: "Read the whole file, report whether it is sound, and show what is in it. The file\nis not changed. The exit code is 1 when the file is damaged: at its next start\nlaneswapd sets it aside, and takes the rows that can be read over into a new file.",
		Args: cobra.MaximumNArgs(1), RunE: s.onFile(s.checkFile),
	}
}

// checked is a report as JSON.
type checked struct {
	Path      string                `json:"path"`
	Sound     bool                  `json:"sound"`
	Size      int64                 `json:"size"`
	Layout    int                   `json:"layout"`
	Pages     int                   `json:"pages"`
	FreePages int                   `json:"free_pages"`
	Rows      map[laneswap.Kind]int `json:"rows"`
	Open      map[laneswap.Kind]int `json:"open"`
	Seen      int                   `json:"seen"`
	Problems  []string              `json:"problems"`
}

func (s *store) checkFile(path string) error {
	report, err := server.CheckData(path)
	if err != nil {
		return err
	}
	sound := len(report.Problems) == 0
	if s.json() {
		err = s.writeJSON(checked{
			report.Path, sound, report.Size, report.Layout, report.Pages, report.FreePages,
			report.Rows, report.Open, report.Seen, append([]string{}, report.Problems...),
		})
	} else {
		err = s.writeReport(report)
	}
	if err == nil && !sound {
		err = fmt.Errorf("%s is damaged: %s", report.Path, report.Problems[0])
	}
	return err
}

func (s *store) writeReport(report server.DataReport) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s"+format+"\n", append([]any{name}, args...)...)
	}
	line("File:", "%s", report.Path)
	line("Size:", "%d bytes, %d of %d pages free", report.Size, report.FreePages, report.Pages)
	line("Layout:", "%d", report.Layout)
	for _, kind := range slices.Sorted(maps.Keys(report.Rows)) {
		line("Rows:", "%s: %d, %d of them open", kind, report.Rows[kind], report.Open[kind])
	}
	line("Seen:", "%d services", report.Seen)
	for _, problem := range report.Problems {
		line("Problem:", "%s", problem)
	}
	if len(report.Problems) == 0 {
		line("Problems:", "none")
	}
	_, err := io.WriteString(s.p.Stdout, printable(b.String()))
	return err
}

// printable makes lines safe for a terminal: a damaged file may hold anything.
func printable(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = laneswap.Sanitize(line)
	}
	return strings.Join(lines, "\n")
}

func (s *store) compactCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compact [FILE]", Short: "Give back the space that the file does not use",
		Long: "Write a copy of the file without the pages that it does not use, and replace the\nfile by it in one step. The folder needs room for both. A damaged file is left as\nit is.",
		Args: cobra.MaximumNArgs(1), RunE: s.onFile(s.compactFile),
	}
}

func (s *store) compactFile(path string) error {
	before, after, err := server.CompactData(path)
	if err != nil {
		return err
	}
	if s.json() {
		return s.writeJSON(struct {
			Path   string `json:"path"`
			Before int64  `json:"before"`
			After  int64  `json:"after"`
		}{path, before, after})
	}
	_, err = fmt.Fprintf(s.p.Stdout, "%s: %d bytes, %d before\n", path, after, before)
	return err
}

func (s *store) exportCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "export [FILE]", Short: "Write the rows of the file as lines of JSON",
		Long: "Write every row of the file as a line of JSON, with kind, id, service, at, open,\nepoch and data: first the open rows, then when services were last seen, then the\nother rows by kind and time. The file is not changed. Of a damaged file, export\nwrites the rows that can be read; the exit code is then 1.",
		Args: cobra.MaximumNArgs(1),
	}
	cmd.RunE = s.onFile(func(path string) error { return s.exportFile(path, to) })
	cmd.Flags().StringVar(&to, "to", "", "write to this new file instead of standard output")
	return cmd
}

func (s *store) exportFile(path, to string) error {
	if to == "" {
		return server.ExportData(path, s.p.Stdout)
	}
	// It holds messages and metadata of services, so only its owner may read it.
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write to %w", unwrapped(err))
	}
	err = server.ExportData(path, f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if info, stat := os.Stat(to); err != nil && stat == nil && info.Size() == 0 {
		_ = os.Remove(to) // nothing could be read
	}
	return err
}

// unwrapped returns an error of a file without the name of the system call.
func unwrapped(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return fmt.Errorf("%s: %w", of.Path, of.Err)
	}
	return err
}
