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
	hashBytes    = 4 // of the hash after an id that lost letters
)

// DefaultID returns an id made of a name and the name of this host, such as
// "billing@web-1". Characters that an id cannot hold become "-", and the id is cut to 128
// bytes; if letters were lost, a short hash keeps different names apart. The same name on
// the same host always gives the same id, so two programs on a host need different names
// or ids.
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

// slug replaces the characters of s that an id cannot hold, and reports whether letters
// were lost. The result begins and ends with a letter or digit.
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
