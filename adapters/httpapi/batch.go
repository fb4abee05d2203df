package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/strictjson"
	"github.com/laneswap/laneswap/internal/text"
)

// maxFailures is how many failures of a batch are listed; the others are counted.
const maxFailures = 1000

// failure says why one item of a batch was not applied.
type failure struct {
	Index     int    `json:"index"`
	ServiceID string `json:"service_id"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Field     string `json:"field,omitempty"`
}

// batch applies the items of one request.
type batch struct {
	h        *Handler
	ctx      context.Context
	reg      *laneswap.Registration // what unknown services are registered with, or nil
	out      *jsonStream
	accepted int
	failed   int // listed or not
}

// beatMany answers POST /api/heartbeats: a JSON array, or a JSON object a line.
// The good ones are applied and the bad ones listed under their index, for lines
// their number, both from 0. An array that is not JSON applies nothing; a line
// that is not JSON is a bad one, and so is what is longer than MaxBodyBytes.
//
// When the storage has not taken all that was accepted, the answer has the member
// "durable", which is false.
//
// At most maxFailures are listed. Where there are more, the answer has the member
// "failed_total": how many there are, listed or not.
//
// No more than one item at a time is held as values, so that a request takes
// little more memory than its body, whatever is in it.
func (h *Handler) beatMany(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	reg, err := registrationOf(r)
	if err != nil {
		return err
	}
	// Else every single item would say so. While the storage is loading they differ:
	// what is known already is heard.
	if err := h.m.Ready(r.Context()); err != nil && !errors.Is(err, laneswap.ErrLoading) {
		return err
	}
	body, release, err := h.readBatch(w, r)
	if err != nil {
		return err
	}
	defer release()
	lines := isNDJSON(r)
	if first := bytes.TrimLeft(body, " \t\r\n"); !lines {
		switch {
		case len(first) == 0:
			return badRequest("the body is empty; an array of heartbeats or one of them a line was expected")
		case first[0] == '{':
			lines = true
		case first[0] != '[':
			return badRequest("the body must be an array of heartbeats or one of them a line")
		}
	}
	// What was sent completely is applied, also when the client does not wait
	// for the answer.
	b := &batch{h: h, ctx: context.WithoutCancel(r.Context()), reg: reg, out: newJSONStream(w)}
	b.out.raw(`{"failed":[`)
	if lines {
		err = eachLine(body, b.apply)
	} else {
		err = eachItem(body, b.apply)
	}
	if err != nil {
		return err
	}
	durable, err := h.durable(b.ctx)
	if err != nil {
		return err
	}
	b.out.raw(`],"accepted":`)
	if err := b.out.value(b.accepted); err != nil {
		return err
	}
	if b.failed > maxFailures {
		b.out.raw(`,"failed_total":` + strconv.Itoa(b.failed))
	}
	if !durable {
		b.out.raw(`,"durable":false`)
	}
	b.out.raw("}")
	return b.out.end()
}

// readBatch reads the body of a batch. What is above MaxBodyBytes is held only
// while there is a slot for it, which release gives back, and must arrive as
// steadily as steadyBody has it.
func (h *Handler) readBatch(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	release = func() {}
	if r.ContentLength > MaxBatchBytes {
		_, err := readBody(w, r, MaxBatchBytes)
		return nil, nil, err
	}
	var buf bytes.Buffer
	switch _, err := io.CopyN(&buf, r.Body, MaxBodyBytes); {
	case err == nil:
		select {
		case h.bigBatches <- struct{}{}:
			release = func() { <-h.bigBatches }
			r.Body = newSteadyBody(w, r)
		default:
			w.Header().Set("Connection", "close")
			return nil, nil, &requestError{http.StatusServiceUnavailable, "busy", "too many large batches at once, try again"}
		}
	case !errors.Is(err, io.EOF):
		return nil, nil, badRequest("the body could not be read")
	}
	body, err = fillBody(&buf, w, r, MaxBatchBytes)
	if err != nil {
		release()
		return nil, nil, err
	}
	return body, release, nil
}

// eachItem calls fn with the elements of an array, or with what is wrong with
// one. It returns an error when data is not JSON, before it calls fn.
func eachItem(data []byte, fn func(i int, v any, err error) error) error {
	if err := strictjson.Check(data); err != nil {
		return malformed(err)
	}
	i := 0
	for item := range strictjson.Elements(data) {
		v, err := parseItem(item, "["+strconv.Itoa(i)+"]")
		if err := fn(i, v, err); err != nil {
			return err
		}
		i++
	}
	return nil
}

// eachLine calls fn with the value of every line that is not blank, or with what
// is wrong with it.
func eachLine(data []byte, fn func(i int, v any, err error) error) error {
	i := -1
	for line := range bytes.Lines(data) {
		i++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		v, err := parseItem(line, "")
		if err := fn(i, v, err); err != nil {
			return err
		}
	}
	return nil
}

func parseItem(data []byte, under string) (any, error) {
	if n := len(data); n > MaxBodyBytes {
		return nil, tooLarge("the heartbeat is %d bytes long, the limit is %d", n, MaxBodyBytes)
	}
	return parseJSON(data, under)
}

// apply applies one item, or lists (and where it is our fault logs) why not, the
// first maxFailures times. The error ends the batch: the client
// takes no more of the answer.
func (b *batch) apply(i int, v any, err error) error {
	var id laneswap.ServiceID
	if err == nil {
		id, err = b.tell(v)
	} else if values, ok := v.(map[string]any); ok {
		s, _ := values["service_id"].(string)
		id = laneswap.ServiceID(s)
	}
	if err == nil {
		b.accepted++
		return nil
	}
	if b.failed++; b.failed > maxFailures {
		return nil
	}
	p := problemOf(err)
	if internal(p, err) {
		b.h.log.Error("heartbeat of a batch failed", "service", text.Clip(string(id), 128), "err", err)
	}
	return b.out.item(failure{
		Index: i, ServiceID: text.Clip(string(id), 128), Status: p.Status, Code: p.Code, Detail: p.Detail, Field: p.Field,
	})
}

func (b *batch) tell(v any) (laneswap.ServiceID, error) {
	f, err := asObject(v, "a heartbeat", laneswap.ErrInvalidHeartbeat)
	if err != nil {
		return "", err
	}
	id, hb := laneswap.ServiceID(f.text("service_id")), f.heartbeat()
	if f.err != nil {
		return id, f.err
	}
	err = b.h.m.Beat(b.ctx, id, hb)
	if b.reg != nil && errors.Is(err, laneswap.ErrServiceNotFound) {
		reg := *b.reg
		reg.ID = id
		err = b.h.m.AnnounceBeat(b.ctx, reg, hb)
	}
	return id, err
}
