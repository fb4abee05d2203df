package fakediscord

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	route     = regexp.MustCompile(`^/api(?:/v(\d+))?/webhooks/([^/]+)/([^/]+)(?:/messages/([^/]+))?$`)
	userAgent = regexp.MustCompile(`^DiscordBot \(https?://\S+, \S+\)`)
	snowflake = regexp.MustCompile(`^\d{1,20}$`)
)

// call is one request in progress.
type call struct {
	s        *Server
	req      Request
	hook     *webhook // nil if unknown
	message  string   // the id of the message to edit
	problems []Problem
	answer   Answer
	taken    *Message // once it is accepted
}

// ServeHTTP answers like Discord, or as Script and Respond say.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s}
	c.req = Request{At: time.Now(), Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Thread: r.URL.Query().Get("thread_id")}
	c.req.Wait = slices.Contains([]string{"true", "True", "1"}, r.URL.Query().Get("wait"))
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return // the client has gone
	}
	var text []byte
	text, c.req.Payload, c.req.Files, c.problems = examine(r.Header.Get("Content-Type"), body, r.Method == http.MethodPatch)
	c.req.Body = text

	s.mu.Lock()
	hook := s.onRequest
	c.arrive()
	s.mu.Unlock()
	if hook != nil {
		hook(c.req)
	}
	if c.answer.Delay > 0 {
		select {
		case <-time.After(c.answer.Delay):
		case <-s.done:
		case <-r.Context().Done():
		}
	}
	s.mu.Lock()
	status, header, out := c.decide(r)
	taken, receipt := c.taken, s.onReceipt
	s.mu.Unlock()
	if taken != nil && receipt != nil {
		receipt(*taken)
	}
	c.write(w, r, status, header, out)
}

// arrive records the request and the rules that it breaks; mu is held.
func (c *call) arrive() {
	s := c.s
	c.req.Number = len(s.requests) + 1
	blame := func(rule Rule, format string, args ...any) { s.blame(rule, c.req.Number, format, args...) }
	if !userAgent.MatchString(c.req.Header.Get("User-Agent")) {
		blame(RuleProtocol, "the User-Agent %q does not have the form that Discord requires", c.req.Header.Get("User-Agent"))
	}
	m := route.FindStringSubmatch(c.req.Path)
	edits := m != nil && m[4] != ""
	switch {
	case m == nil:
		blame(RuleProtocol, "there is nothing at %s", c.req.Path)
	case !supported(m[1]):
		blame(RuleProtocol, "%s names no version of the API from 8 to 10: retry_after may be in milliseconds", c.req.Path)
	case edits && c.req.Method != http.MethodPatch, !edits && c.req.Method != http.MethodPost:
		blame(RuleProtocol, "%s is not for this address", c.req.Method)
	case !edits && !c.req.Wait:
		blame(RuleProtocol, "wait=true is missing: without it Discord does not report a message that it could not save")
	}
	if c.req.Thread != "" && !snowflake.MatchString(c.req.Thread) {
		blame(RuleProtocol, "thread_id is %q", c.req.Thread)
	}
	if m != nil {
		c.req.Webhook, c.message = m[2], m[4]
		if c.hook = s.webhooks[m[2]]; c.hook != nil && c.req.At.Before(c.hook.waiting) {
			c.req.Early = true
			blame(RuleDelay, "came %v before the end of a delay that was announced", c.hook.waiting.Sub(c.req.At))
		}
	}
	if c.req.At.Before(s.global) {
		c.req.Early = true
		blame(RuleDelay, "came %v before the end of a delay that was announced for all", s.global.Sub(c.req.At))
	}
	for _, p := range c.problems {
		blame(RulePayload, "%s", p)
	}
	switch {
	case len(s.script) > 0:
		c.answer, s.script = s.script[0], s.script[1:]
	case s.respond != nil:
		c.answer = s.respond(c.req)
	}
	s.requests = append(s.requests, c.req)
}

// decide chooses the answer, accepts the message, and records both; mu is held. Status 0
// means no answer.
func (c *call) decide(r *http.Request) (status int, header http.Header, body string) {
	s, now := c.s, time.Now()
	header = http.Header{}
	a := c.answer
	if a.Accept || a.Status == 0 && a.lost == arrives {
		// Even if the answer is lost or replaced on the way: Discord has counted the
		// request.
		headers := http.Header{}
		own, until := c.discord(r, now, headers)
		if a.Status == 0 && (a.lost == arrives || a.lost == hangsAfter) {
			own.lost = a.lost
			a, header = own, headers
			c.wait(until, false)
		}
	}
	if a.lost == hangsBefore || a.lost == resets {
		return 0, header, ""
	}
	if a.Status == 0 {
		a.Status, a.ContentType = http.StatusOK, "application/json" // a success that accepts nothing
	}
	for key, values := range a.Header {
		header[http.CanonicalHeaderKey(key)] = values
	}
	if a.ContentType != "" {
		header.Set("Content-Type", a.ContentType)
	}
	if a.Wait > 0 {
		c.wait(now.Add(a.Wait), a.All)
	}
	s.requests[c.req.Number-1].Status = a.Status
	s.requests[c.req.Number-1].shared = header.Get("X-RateLimit-Scope") == "shared"
	return a.Status, header, a.Body
}

// supported reports whether a version of the API has retry_after in seconds.
func supported(version string) bool {
	v, err := strconv.Atoi(version)
	return err == nil && v >= 8 && v <= 10
}

// wait records that the client must wait; mu is held.
func (c *call) wait(until time.Time, all bool) {
	switch {
	case all && until.After(c.s.global):
		c.s.global = until
	case c.hook != nil && until.After(c.hook.waiting):
		c.hook.waiting = until
	}
}

// refusal returns the error that Discord sends before it counts the request, or nil; mu
// is held.
func (c *call) refusal(r *http.Request) *Answer {
	refuse := func(a Answer) *Answer { return &a }
	m := route.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return refuse(Status(http.StatusNotFound, 0, "404: Not Found"))
	}
	if m[1] != "" && !supported(m[1]) {
		return refuse(Status(http.StatusBadRequest, 50041, "Invalid API version"))
	}
	edits := m[4] != ""
	switch {
	case edits && r.Method != http.MethodPatch, !edits && r.Method != http.MethodPost:
		return refuse(Status(http.StatusMethodNotAllowed, 0, "405: Method Not Allowed"))
	case c.hook == nil || c.hook.gone:
		return refuse(UnknownWebhook())
	case m[3] != c.hook.token:
		return refuse(InvalidToken())
	case edits && c.find(m[4]) == nil:
		return refuse(Status(http.StatusNotFound, 10008, "Unknown Message"))
	}
	return nil
}

// discord answers like Discord, and returns until when the headers ask to wait; mu is
// held.
func (c *call) discord(r *http.Request, now time.Time, header http.Header) (a Answer, until time.Time) {
	if refused := c.refusal(r); refused != nil {
		return *refused, time.Time{}
	}
	id := r.Method + " " + c.hook.id
	own := c.hook.buckets[r.Method]
	if own == nil {
		own = &bucket{limit: c.s.window}
		c.hook.buckets[r.Method] = own
	}
	wait, ok := own.take(now)
	scope := "user"
	if ok {
		if wait, ok = c.s.channels[c.hook.channel].take(now); !ok {
			own.undo()
			scope = "shared"
		}
	}
	until = own.announce(header, id, now)
	if !ok {
		header.Set("Retry-After", wholeSeconds(wait))
		header.Set("X-RateLimit-Scope", scope)
		a = RateLimited(wait)
		a.Header = nil
		return a, until
	}
	if len(c.problems) > 0 {
		a = Answer{Status: http.StatusBadRequest, ContentType: "application/json", Body: form(c.problems)}
		if slices.ContainsFunc(c.problems, func(p Problem) bool { return p.Code == "40005" }) {
			a = Status(http.StatusRequestEntityTooLarge, 40005, "Request entity too large")
		}
		return a, until
	}
	c.accept(now)
	if r.Method == http.MethodPost && !c.req.Wait {
		return Answer{Status: http.StatusNoContent}, until
	}
	return Answer{Status: http.StatusOK, ContentType: "application/json", Body: c.taken.json()}, until
}

// find returns the message of this webhook with that id, or nil; mu is held.
func (c *call) find(id string) *Message {
	for i := range c.s.messages {
		if m := &c.s.messages[i]; m.ID == id && m.Webhook == c.hook.id {
			return m
		}
	}
	return nil
}

// accept stores a valid message or edit; mu is held.
func (c *call) accept(now time.Time) {
	if len(c.problems) > 0 {
		return
	}
	s := c.s
	if c.message != "" {
		m := c.find(c.message)
		m.edit(c.req)
		taken := *m
		c.taken = &taken
		return
	}
	m := Message{
		ID: s.snowflake(), Webhook: c.hook.id, Channel: c.hook.channel, Thread: c.req.Thread,
		Request: c.req.Number, At: now, Payload: c.req.Payload, Files: c.req.Files,
	}
	s.messages = append(s.messages, m)
	c.taken = &m
}

// edit changes the fields that an edit names, and no others.
func (m *Message) edit(r Request) {
	var named map[string]json.RawMessage
	_ = json.Unmarshal(r.Body, &named) // arrive has read it
	if _, ok := named["content"]; ok {
		m.Payload.Content = r.Payload.Content
	}
	if _, ok := named["embeds"]; ok {
		m.Payload.Embeds = r.Payload.Embeds
	}
	if _, ok := named["attachments"]; ok {
		m.Files = nil
	}
	m.Files = append(slices.Clone(m.Files), r.Files...)
	m.Edits++
}

// write sends the answer, or lets it get lost.
func (c *call) write(w http.ResponseWriter, r *http.Request, status int, header http.Header, body string) {
	switch c.answer.lost {
	case hangsAfter:
		for key, values := range header {
			w.Header()[key] = values
		}
		w.Header().Set("Content-Length", "2000")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"id":`)
		_ = http.NewResponseController(w).Flush()
		fallthrough
	case hangsBefore:
		select {
		case <-r.Context().Done():
		case <-c.s.done:
		}
		panic(http.ErrAbortHandler) // cuts the connection
	case resets:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset, not an end
			}
			_ = conn.Close()
		} else if errors.Is(err, http.ErrNotSupported) {
			panic(http.ErrAbortHandler)
		}
		return
	}
	for key, values := range header {
		w.Header()[key] = values
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the client may have gone
}

// json returns the message as in Discord's answer, without some fields.
func (m *Message) json() string {
	type attachment struct {
		ID       string `json:"id"`
		Filename string `json:"filename"`
		Size     int    `json:"size"`
	}
	files := []attachment{}
	for i, f := range m.Files {
		files = append(files, attachment{m.ID + strconv.Itoa(i), f.Name, len(f.Data)})
	}
	name := "Spidey Bot"
	if m.Payload.Username != nil {
		name = *m.Payload.Username
	}
	embeds := m.Payload.Embeds
	if embeds == nil {
		embeds = []Embed{}
	}
	var edited any
	if m.Edits > 0 {
		edited = m.At.UTC().Format(time.RFC3339Nano)
	}
	return jsonText(map[string]any{
		"id": m.ID, "type": 0, "content": m.Payload.Content, "channel_id": "199737254929760256", "webhook_id": m.Webhook,
		"author":      map[string]any{"bot": true, "id": m.Webhook, "username": name, "avatar": nil, "discriminator": "0000"},
		"attachments": files, "embeds": embeds, "mentions": []string{}, "mention_roles": []string{}, "components": []string{},
		"pinned": false, "mention_everyone": false, "tts": false, "flags": m.Payload.Flags,
		"timestamp": m.At.UTC().Format(time.RFC3339Nano), "edited_timestamp": edited,
	})
}

// form returns the body of a 400: the problems by path.
func form(problems []Problem) string {
	errs := map[string]any{}
	for _, p := range problems {
		at := errs
		for step := range strings.FieldsFuncSeq(p.Path, func(r rune) bool { return r == '.' }) {
			next, ok := at[step].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[step] = next
			}
			at = next
		}
		list, _ := at["_errors"].([]map[string]string)
		at["_errors"] = append(list, map[string]string{"code": p.Code, "message": p.Text})
	}
	return jsonText(map[string]any{"code": 50035, "message": "Invalid Form Body", "errors": errs})
}
