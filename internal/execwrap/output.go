package execwrap

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// Capture says which outputs pass through a pipe of ours, so that the last of
// them can be told. The zero value is CaptureAuto.
type Capture int

// The ways to capture.
const (
	// CaptureAuto captures what is not a terminal: on a terminal programs behave
	// otherwise than on a pipe.
	CaptureAuto Capture = iota
	// CaptureAlways captures on a terminal too.
	CaptureAlways
	// CaptureNever leaves both outputs to the program alone.
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

// output is what the program gets as its two outputs, and the copying behind it.
type output struct {
	stdout, stderr *os.File // what the program is given
	tail           *tail
	done           chan struct{} // closed when nothing is copied any more

	writers []*os.File // our copies of the ends that the program is given
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
	o.copying.Go(func() { // ends when nobody holds the pipe, or nobody reads dst
		defer r.Close()
		if err := o.copy(dst, r); err != nil {
			o.mu.Lock()
			o.errs = append(o.errs, err)
			o.mu.Unlock()
		}
	})
	return w, nil
}

// copy waits for dst exactly as the program would have. When the reader behind
// dst has gone, closing our end tells the program in the usual way. Any other
// failure, such as a full disk, must not stop the program: the rest is read and
// what can be written is written.
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

// started gives up our copies of the ends that the program has: the pipes end
// when it and its children have ended.
func (o *output) started() {
	for _, w := range o.writers {
		w.Close()
	}
}

// err returns what went wrong with the copying; call it after done.
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
