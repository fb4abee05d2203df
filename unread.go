package laneswap

import "fmt"

// unread is what one reading of the storage finds that cannot be read. It hides
// nothing else.
type unread struct {
	rows  int
	first error
}

// skip reports whether a row is to be left out: err is why.
func (u *unread) skip(err error) bool {
	if err == nil {
		return false
	}
	if u.rows++; u.rows == 1 {
		u.first = err
	}
	return true
}

// log says once what was left out: there may be many, and at each reading.
func (u *unread) log(m *Manager, id ServiceID) {
	if u.rows > 0 {
		m.log.Warn("stored rows of a service cannot be read; they are left out", "service", id, "err", fmt.Errorf("%d of them: %w", u.rows, u.first))
	}
}
