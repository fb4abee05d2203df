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

const storeLong = `Look after the data file of a server that does not run: while laneswapd has the
file, every one of these refuses. The file is FILE, else --data, else LANESWAP_DATA,
else laneswap.db in the working folder. State in MongoDB is looked after by its
own tools.`

// store is the commands about the data file.
type store struct {
	*output
	data string // of the flag
}

func storeCommand(o *output) *cobra.Command {
	s := &store{output: o}
	cmd := group("store", "Look after the data file of a server", s.checkCommand(), s.compactCommand(), s.exportCommand())
	cmd.Long = storeLong
	cmd.Example = "  laneswap store check\n  laneswap store compact /var/lib/laneswap/laneswap.db\n  laneswap store export --to rows.jsonl"
	data := dataField()
	cmd.PersistentFlags().StringVar(&s.data, data.Flag, "", fmt.Sprintf("%s (%s, else %s)", data.Help, data.Env, data.Default))
	return cmd
}

// dataField is the setting that says which file it is.
func dataField() config.Field {
	fields := config.Fields()
	return fields[slices.IndexFunc(fields, func(f config.Field) bool { return f.Env == "LANESWAP_DATA" })]
}

// path is the file that a command is about.
func (s *store) path(cmd *cobra.Command, args []string) (string, error) {
	field := dataField()
	given := cmd.Flags().Changed(field.Flag)
	switch {
	case given && len(args) > 0:
		return "", usage(fmt.Errorf("the file is given twice, as an argument and by --%s", field.Flag))
	case given && strings.TrimSpace(s.data) == "", len(args) > 0 && args[0] == "":
		return "", usage(errors.New("the name of the file is empty"))
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

// about makes a command out of a function about the data file.
func (s *store) about(run func(path string) error) func(*cobra.Command, []string) error {
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
		Use: "check [FILE]", Short: "Say whether the file is sound, and what is in it",
		Long: "Read the whole file and say whether it is sound, and what is in it; change\nnothing. Exits with 1 when it is damaged: laneswapd then sets it aside and takes\nover what can be read, at its next start.",
		Args: cobra.MaximumNArgs(1), RunE: s.about(s.checkFile),
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
	line("Size:", "%d bytes, %d of %d pages are free", report.Size, report.FreePages, report.Pages)
	line("Layout:", "%d", report.Layout)
	for _, kind := range slices.Sorted(maps.Keys(report.Rows)) {
		line("Rows:", "%s: %d, of which %d are open", kind, report.Rows[kind], report.Open[kind])
	}
	line("Seen:", "%d services", report.Seen)
	for _, problem := range report.Problems {
		line("Problem:", "%s", problem)
	}
	if len(report.Problems) == 0 {
		line("Problem:", "none")
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
		Long: "Write the file anew without the pages that it does not use, and put it in place\nof the old one at once. It needs as much space again beside the file. A damaged\nfile is left as it is.",
		Args: cobra.MaximumNArgs(1), RunE: s.about(s.compactFile),
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
	_, err = fmt.Fprintf(s.p.Stdout, "%s has %d bytes, before it had %d\n", path, after, before)
	return err
}

func (s *store) exportCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "export [FILE]", Short: "Write what is in the file as lines of JSON",
		Long: "Write every row of the file as a line of JSON, with kind, id, service, at, open,\nepoch and data; first what is open, then when services were last seen, then the\nrest by kind and time. It changes nothing. Of a damaged file it writes what can be\nread, and exits with 1.",
		Args: cobra.MaximumNArgs(1),
	}
	cmd.RunE = s.about(func(path string) error { return s.exportFile(path, to) })
	cmd.Flags().StringVar(&to, "to", "", "a new file to write to, instead of standard output")
	return cmd
}

func (s *store) exportFile(path, to string) error {
	if to == "" {
		return server.ExportData(path, s.p.Stdout)
	}
	// It holds what services said of themselves: for its owner only.
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

// unwrapped is an error of a file without the name of the system call.
func unwrapped(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return fmt.Errorf("%s: %w", of.Path, of.Err)
	}
	return err
}
