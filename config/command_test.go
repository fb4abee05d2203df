package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/config"
)

func TestCommand_isAProgramOrAnArray(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Command{
		"":                                 nil,
		" ":                                nil,
		"/usr/local/bin/page":              {"/usr/local/bin/page"},
		`C:\page.exe`:                      {`C:\page.exe`},
		`["/usr/local/bin/page", "--now"]`: {"/usr/local/bin/page", "--now"},
		` ["page","",  "a \"b\" $HOME" ] `: {"page", "", `a "b" $HOME`},
		`["/opt/with space/page"]`:         {"/opt/with space/page"},
	} {
		c, err := config.Load([]string{"LANESWAP_COMMAND=" + text}, nil)
		require.NoError(t, err, text)
		require.Equal(t, []string(want), []string(c.Command), text)
	}
}

func TestCommand_refusesWhatCouldMeanSomethingElse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"page --token hunter2":    `has a space: a program with arguments must be a JSON array, such as ["/usr/local/bin/page", "--now"]`,
		"page\thunter2":           `has a space: a program with arguments must be a JSON array, such as ["/usr/local/bin/page", "--now"]`,
		`["page", "hunter2"`:      `must be a JSON array of strings: line 1: it is not JSON: unexpected end of JSON input`,
		`["page", "hunter2"] now`: `must be a JSON array of strings: line 1: it is not JSON: invalid character 'n' after top-level value`,
		`["page", 2]`:             `must be a JSON array of strings`,
		`["page", ["hunter2"]]`:   `must be a JSON array of strings`,
		`[]`:                      `must name a program`,
		`["", "hunter2"]`:         `must name a program`,
		`["page", "a\u0000"]`:     `must not have a zero byte`,
	} {
		_, err := config.Load([]string{"LANESWAP_COMMAND=" + text}, nil)
		require.EqualError(t, err, "LANESWAP_COMMAND "+want, text)
	}
}
