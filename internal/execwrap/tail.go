package execwrap

import "sync"

// tailSize is the number of bytes that are kept.
const tailSize = 4 << 10

// tail keeps the last bytes that are added. The zero value is empty. Its methods may be
// called concurrently.
type tail struct {
	mu   sync.Mutex // guards ring and n
	ring [tailSize]byte
	n    int // bytes added in total
}

func (t *tail) add(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if skip := len(p) - tailSize; skip > 0 {
		t.n += skip
		p = p[skip:]
	}
	for len(p) > 0 {
		m := copy(t.ring[t.n%tailSize:], p)
		t.n += m
		p = p[m:]
	}
}

// bytes returns a copy of the kept bytes, oldest first.
func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n <= tailSize {
		return append([]byte(nil), t.ring[:t.n]...)
	}
	at := t.n % tailSize
	return append(append(make([]byte, 0, tailSize), t.ring[at:]...), t.ring[:at]...)
}
