package command

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/laneswap/laneswap"
)

const (
	maxFirst  = 1 << 10 // bytes of the first line of output that are kept
	maxLast   = 300     // bytes of the last lines of errors that are shown
	tailSize  = 4 << 10 // bytes of errors that are kept to find them in
	minHidden = 8       // bytes of the shortest text that is hidden
)

// firstLine keeps the beginning of the first line that is written and is not empty.
// The zero value is ready. It is written by one goroutine, and read afterwards.
type firstLine struct {
	text  []byte
	ended bool
}

// Write never fails: the program must not notice that nobody reads on.
func (f *firstLine) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && !f.ended {
		line, rest, found := bytes.Cut(p, []byte("\n"))
		f.text = append(f.text, line[:min(len(line), maxFirst-len(f.text))]...)
		f.ended = len(f.text) == maxFirst || found && f.String() != ""
		if found && !f.ended {
			f.text = f.text[:0]
		}
		p = rest
	}
	return n, nil
}

// String is the line, cleaned of what terminals would act upon.
func (f *firstLine) String() string {
	return strings.TrimSpace(laneswap.Sanitize(escapes.ReplaceAllString(string(f.text), "")))
}

// lastLines keeps the end of what is written. The zero value is ready. It is
// written by one goroutine, and read afterwards.
type lastLines struct {
	tail []byte
	cut  bool // something came before it
}

// Write never fails.
func (l *lastLines) Write(p []byte) (int, error) {
	l.cut = l.cut || len(l.tail)+len(p) > tailSize
	l.tail = append(l.tail, p[max(0, len(p)-tailSize):]...)
	if drop := len(l.tail) - tailSize; drop > 0 {
		l.tail = append(l.tail[:0], l.tail[drop:]...)
	}
	return len(p), nil
}

// escapes are terminal sequences: colours and the like say nothing in a message.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)

// String is the last lines that are not empty, as many as fit, in one line. The last
// one may be too long.
func (l *lastLines) String() string {
	tail := l.tail
	if l.cut {
		// It may begin within a word that is to be hidden.
		tail = tail[bytes.IndexAny(tail, " \t\r\n")+1:]
		if len(tail) == len(l.tail) {
			return ""
		}
	}
	all := escapes.ReplaceAllString(strings.ToValidUTF8(string(tail), ""), "")
	var lines []string
	size := 0
	for _, line := range slices.Backward(strings.FieldsFunc(all, func(r rune) bool { return r == '\n' || r == '\r' })) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if size += len(line) + len(" / "); size > maxLast && len(lines) > 0 {
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return strings.Join(lines, " / ")
}

// hiding replaces what is not to be in errors: arguments, the values of an
// environment, what follows a "=" in them, the parts of URLs, and each line of all
// that, for output is shown line by line and without the spaces around it.
func hiding(args, env []string) *strings.Replacer {
	var secrets []string
	for _, text := range slices.Concat(args, env) {
		_, value, assigned := strings.Cut(text, "=")
		if assigned {
			secrets = append(secrets, value)
		}
		for _, t := range []string{text, value} {
			u, err := url.Parse(t)
			if err != nil || u.Host == "" {
				continue
			}
			secrets = append(secrets, u.Host, u.Hostname(), u.Path, u.EscapedPath(), u.RequestURI(), u.RawQuery)
			if password, ok := u.User.Password(); ok {
				secrets = append(secrets, password)
			}
			secrets = append(secrets, u.User.Username(), u.User.String())
			secrets = append(secrets, strings.Split(u.Path, "/")...)
			for _, values := range u.Query() {
				secrets = append(secrets, values...)
			}
		}
	}
	secrets = append(secrets, args...)
	for _, secret := range slices.Clone(secrets) {
		for line := range strings.FieldsFuncSeq(secret, func(r rune) bool { return r == '\n' || r == '\r' }) {
			secrets = append(secrets, strings.TrimSpace(line))
		}
	}
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return len(s) < minHidden })
	// Of two that begin alike the longer one goes first.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	var pairs []string
	for _, s := range slices.Compact(secrets) {
		pairs = append(pairs, s, "***")
	}
	return strings.NewReplacer(pairs...)
}

// reason is why something could not be done, without the names in it.
func reason(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "it is not in PATH"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, fs.ErrNotExist):
		return "it is not there"
	case errors.Is(err, fs.ErrPermission):
		return "it is not executable"
	}
	return "the system refuses"
}
