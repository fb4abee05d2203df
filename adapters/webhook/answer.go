package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/httppost"
)

// judge decides what an answer means. It does not repeat the body: error pages quote
// URLs and headers, which hold secrets.
func judge(a httppost.Answer, now time.Time) error {
	if a.Status >= 200 && a.Status < 300 {
		return nil
	}
	err := fmt.Errorf("the server answered %s", strings.TrimSpace(fmt.Sprint(a.Status, " ", http.StatusText(a.Status))))
	switch a.Status {
	case 400, 413, 414, 422, 431:
		return laneswap.Refused(err)
	case 401, 403, 404, 405, 410, 415:
		return laneswap.Permanent(err)
	}
	if a.Status >= 300 && a.Status < 400 {
		return fmt.Errorf("%w: redirects are not followed; use the address that it leads to", err)
	}
	if d, ok := httppost.RetryAfter(a.Header, now); ok {
		return laneswap.RetryAfter(err, d)
	}
	return err
}

// receipt returns the id in an answer; "" when there is none.
func receipt(answer []byte) string {
	var message struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(answer, &message) != nil || len(message.ID) == 0 {
		return ""
	}
	var text string
	if json.Unmarshal(message.ID, &text) == nil {
		return text
	}
	var number json.Number
	if json.Unmarshal(message.ID, &number) == nil {
		return number.String() // as it was written: an id may be longer than a float
	}
	return ""
}
