package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/laneswap/laneswap/internal/text"
)

// cors decides what pages of other origins may do. Browsers enforce reading by the
// headers of the answer. Writing is refused here, because browsers send simple
// requests without a preflight.
type cors struct {
	anyReads bool
	named    []string
	writes   *http.CrossOriginProtection
	unusable []string
}

func newCORS(origins []string) cors {
	c := cors{writes: http.NewCrossOriginProtection()}
	for _, origin := range origins {
		if origin == "*" {
			c.anyReads = true
			continue
		}
		plain := strings.ToLower(strings.TrimSuffix(origin, "/")) // as browsers write it
		if err := c.writes.AddTrustedOrigin(plain); err != nil {
			c.unusable = append(c.unusable, origin)
			continue
		}
		c.named = append(c.named, plain)
	}
	return c
}

// announce sets the headers by which a browser lets a page see the answer.
func (c *cors) announce(header http.Header, r *http.Request) {
	origin := r.Header.Get("Origin")
	if len(c.named) > 0 {
		header.Add("Vary", "Origin")
	}
	switch {
	case origin != "" && slices.Contains(c.named, origin):
		header.Set("Access-Control-Allow-Origin", origin)
	case c.anyReads && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		header.Set("Access-Control-Allow-Origin", "*")
	default:
		return
	}
	header.Set("Access-Control-Expose-Headers", BootHeader+", "+JournalHeader+", Preference-Applied, Retry-After")
}

// check refuses writes from origins that are not named.
func (c *cors) check(r *http.Request) error {
	if c.writes.Check(r) != nil {
		return forbiddenOrigin(r)
	}
	return nil
}

func forbiddenOrigin(r *http.Request) error {
	return &requestError{http.StatusForbidden, "forbidden-origin",
		"pages of the origin " + text.Clip(r.Header.Get("Origin"), 80) + " may not write; add the origin to the CORS origins to allow it"}
}

// preflight answers OPTIONS: the preflight request of a browser, or a plain request
// for the allowed methods.
func (c *cors) preflight(w http.ResponseWriter, r *http.Request, rt *route) error {
	header := w.Header()
	header.Set("Allow", rt.allow())
	origin, wanted := r.Header.Get("Origin"), r.Header.Get("Access-Control-Request-Method")
	if origin == "" || wanted == "" {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	header.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	reading := wanted == http.MethodGet || wanted == http.MethodHead
	switch {
	case slices.Contains(c.named, origin):
		header.Set("Access-Control-Allow-Methods", rt.allow())
	case c.anyReads && reading:
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Allow-Methods", "GET, HEAD")
	default:
		return forbiddenOrigin(r)
	}
	header.Set("Access-Control-Allow-Headers", "Accept, Content-Type, Last-Event-ID, Prefer")
	header.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
