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

// maxFailures bounds the list of failures of a batch; further ones are counted.
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
	reg      *laneswap.Registration // registers unknown services; nil refuses them
	out      *jsonStream
	accepted int
	failed   int // listed or not
}

// beatMany answers POST /api/heartbeats: a JSON array, or one JSON object per line.
// It applies the good items and lists the bad ones by index or line number, both
// from 0. A line that is not JSON is a bad item, and so is an item longer than
// MaxBodyBytes. An array that is not JSON applies nothing.
//
// "durable": false says that the storage does not have all accepted items yet. At
// most maxFailures failures are listed; when there are more, "failed_total" counts
// them all.
//
// Only one item at a time is decoded, so that a request takes little more memory
// than its body.
func (h *Handler) beatMany(w http.ResponseWriter, r *http.Request, _ laneswap.ServiceID) error {
	reg, err := registrationOf(r)
	if err != nil {
		return err
	}
	// Otherwise every single item would fail. While the storage is loading, those of
	// known services do not.
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
			return badRequest("the body is empty; send an array of heartbeats, or one heartbeat per line")
		case first[0] == '{':
			lines = true
		case first[0] != '[':
			return badRequest("the body must be an array of heartbeats, or one heartbeat per line")
		}
	}
	// A complete request is applied even when the client does not wait for the
	// answer.
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

// readBatch reads the body of a batch. A body above MaxBodyBytes is held only
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

// eachItem calls fn with each element of an array, or with the error of that
// element. When data is not JSON it returns an error without calling fn.
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

// eachLine calls fn with the value of each line that is not blank, or with the
// error of that line.
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

// apply applies one item, or lists its failure. Internal errors are also logged.
// An error ends the batch: the client does not read the answer any more.
func (b *batch) apply(i int, v any, err error) error {
	var id laneswap.ServiceID
	if err == nil {
		id, err = b.beat(v)
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

func (b *batch) beat(v any) (laneswap.ServiceID, error) {
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
