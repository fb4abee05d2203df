package client

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
)

const (
	maxHostBytes = 63
	hashBytes    = 4 // of what is appended to an id that lost something
)

// DefaultID makes the id of a service from its name and the name of this host:
// "billing@web-1". What an id cannot hold becomes "-", and the whole is cut to
// 128 bytes; where letters were lost by that, a short hash keeps two names
// apart. The same name on the same host always gives the same id: two programs
// that run side by side need names, or ids, of their own.
func DefaultID(name string) laneswap.ServiceID {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	return makeID(name, host)
}

func makeID(name, host string) laneswap.ServiceID {
	left, lostLeft := slug(name)
	right, lostRight := slug(host)
	lost := lostLeft || lostRight
	if len(right) > maxHostBytes {
		right, lost = strings.TrimRight(right[:maxHostBytes], "-._:@"), true
	}
	if right == "" {
		right, lost = "host", true
	}
	room := maxIDBytes - len("@") - len(right)
	if len(left) > room || left == "" {
		lost = true
	}
	if lost {
		sum := sha256.Sum256([]byte(name + "@" + host))
		hash := hex.EncodeToString(sum[:hashBytes])
		if left == "" {
			left = "service"
		}
		left = strings.TrimRight(text.Cut(left, room-len(hash)-1), "-._:@") + "-" + hash
	}
	return laneswap.ServiceID(left + "@" + right)
}

// slug turns s into what an id can hold, beginning and ending with a letter or
// digit, and reports whether letters were lost.
func slug(s string) (out string, lost bool) {
	var b strings.Builder
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9',
			r == '_', r == '-', r == ':', r == '@':
			b.WriteRune(r)
		case r == '.':
			if !strings.HasSuffix(b.String(), ".") { // ".." is refused
				b.WriteRune(r)
			}
		default:
			lost = lost || r > 0x7f
			if !strings.HasSuffix(b.String(), "-") {
				b.WriteByte('-')
			}
		}
	}
	return strings.Trim(b.String(), "-._:@"), lost
}
