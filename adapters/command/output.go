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
	maxFirst  = 1 << 10 // bytes of the first line of standard output
	maxLast   = 300     // bytes of standard error in an error
	tailSize  = 4 << 10 // bytes of standard error that are kept for that
	minHidden = 8       // bytes of the shortest secret that is hidden
)

// firstLine keeps the beginning of the first non-empty line that is written. The zero
// value is ready. It is not safe for concurrent use.
type firstLine struct {
	text  []byte
	ended bool
}

// Write never fails, so that the program can go on writing.
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

// String returns the line without terminal sequences and control characters.
func (f *firstLine) String() string {
	return strings.TrimSpace(laneswap.Sanitize(escapes.ReplaceAllString(string(f.text), "")))
}

// lastLines keeps the end of what is written. The zero value is ready. It is not safe
// for concurrent use.
type lastLines struct {
	tail []byte
	cut  bool // the beginning was dropped
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

// escapes matches terminal sequences, such as colours.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)

// String returns the last non-empty lines in one line, as many as fit. The last one may
// be too long.
func (l *lastLines) String() string {
	tail := l.tail
	if l.cut {
		// It may begin inside of a secret.
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

// hiding returns a replacer of secrets: arguments, the values of an environment, what
// follows a "=" in them, the parts of URLs, and each line of all that, because output is
// shown line by line and trimmed.
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
	// A longer secret comes before one that it begins with.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	var pairs []string
	for _, s := range slices.Compact(secrets) {
		pairs = append(pairs, s, "***")
	}
	return strings.NewReplacer(pairs...)
}

// reason describes an error of the system without the path in it.
func reason(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "it is not in PATH"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, fs.ErrNotExist):
		return "it does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "it is not executable"
	}
	return "the system refused it"
}
