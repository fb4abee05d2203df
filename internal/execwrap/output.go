package execwrap

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// Capture selects the outputs that pass through a pipe of the wrapper, which keeps their
// end. The zero value is CaptureAuto.
type Capture int

// The ways to capture.
const (
	// CaptureAuto captures outputs that are not a terminal: programs behave differently
	// on a pipe than on a terminal.
	CaptureAuto Capture = iota
	// CaptureAlways captures on a terminal too.
	CaptureAlways
	// CaptureNever captures nothing.
	CaptureNever
)

func (c Capture) wants(f *os.File) bool {
	switch c {
	case CaptureAlways:
		return true
	case CaptureNever:
		return false
	}
	return !term.IsTerminal(int(f.Fd()))
}

// output holds the two outputs of the program, and copies what it captures.
type output struct {
	stdout, stderr *os.File // those of the program
	tail           *tail
	done           chan struct{} // closed when all copying has ended

	writers []*os.File // the wrapper's copies of the pipes that the program writes to
	copying sync.WaitGroup

	mu   sync.Mutex // guards errs
	errs []error
}

func newOutput(c Command) (*output, error) {
	out := &output{stdout: c.Stdout, stderr: c.Stderr, tail: new(tail), done: make(chan struct{})}
	var err error
	if c.Capture.wants(c.Stdout) {
		out.stdout, err = out.pipe(c.Stdout)
	}
	switch {
	case err != nil || !c.Capture.wants(c.Stderr):
	case out.stdout != c.Stdout && sameFile(c.Stdout, c.Stderr):
		// One pipe for both keeps the order in which they were written.
		out.stderr = out.stdout
	default:
		out.stderr, err = out.pipe(c.Stderr)
	}
	go func() { // ends when the last pipe has
		out.copying.Wait()
		close(out.done)
	}()
	if err != nil {
		out.started()
		return nil, err
	}
	return out, nil
}

// pipe returns a file whose content goes to the tail and to dst.
func (o *output) pipe(dst *os.File) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o.writers = append(o.writers, w)
	o.copying.Go(func() { // ends when the pipe is closed everywhere, or dst has no reader
		defer r.Close()
		if err := o.copy(dst, r); err != nil {
			o.mu.Lock()
			o.errs = append(o.errs, err)
			o.mu.Unlock()
		}
	})
	return w, nil
}

// copy blocks on dst exactly as the program would. When the reader of dst is gone, it
// returns, and closing the pipe gives the program the usual error. Any other failure,
// such as a full disk, must not stop the program: copy reads on and writes what it can.
func (o *output) copy(dst, src *os.File) (failure error) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			o.tail.add(buf[:n])
			if _, werr := dst.Write(buf[:n]); werr != nil {
				if isBrokenPipe(werr) {
					return nil
				}
				if failure == nil {
					failure = werr
				}
			}
		}
		if err != nil {
			if failure == nil && !errors.Is(err, io.EOF) {
				failure = err
			}
			return failure
		}
	}
}

// started closes the wrapper's copies of the pipes, so that they end together with the
// program and its children.
func (o *output) started() {
	for _, w := range o.writers {
		w.Close()
	}
}

// err returns the errors of copying; call it after done.
func (o *output) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return errors.Join(o.errs...)
}

func sameFile(a, b *os.File) bool {
	x, err := a.Stat()
	if err != nil {
		return false
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y)
}
