package durabilitytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

// requestTimeout bounds one request. The server answers after 5 seconds without its
// storage.
const requestTimeout = 15 * time.Second

// server is one run of the server. It is used by our client and by plain HTTP.
type server struct {
	url       string
	began     time.Time // before it was started
	transport *http.Transport
	client    *client.Client
}

func newServer(url string, began time.Time) (*server, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	c, err := client.New(url, client.WithTimeout(requestTimeout), client.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		return nil, err
	}
	return &server{url: url, began: began, transport: transport, client: c}, nil
}

// status is an answer that is not 2xx.
type status struct {
	code int
	body string
}

func (s *status) Error() string { return fmt.Sprintf("answered %d: %.300s", s.code, s.body) }

// plain sends a request as a script would, and decodes the JSON of the answer.
func (s *server) plain(ctx context.Context, method, path string, header http.Header, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := s.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return &status{res.StatusCode, string(data)}
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, out)
}

// storageTries is how often a read is tried while the storage is too slow: that loses
// nothing.
const storageTries = 4

// read sends a GET request.
func (s *server) read(ctx context.Context, path string, out any) (err error) {
	for range storageTries {
		err = s.plain(ctx, http.MethodGet, path, nil, nil, out)
		var answer *status
		if !errors.As(err, &answer) || answer.code != http.StatusServiceUnavailable || !bytes.Contains([]byte(answer.body), []byte(`"storage"`)) {
			break
		}
	}
	return err
}

// outcome is the result of an operation as the client knows it.
type outcome int

const (
	happened outcome = iota
	refused          // the server changed nothing
	unknown          // there was no answer, or one from a server that is stopping
)

// outcomeOf classifies the error of a request.
func outcomeOf(err error) outcome {
	// That no connection could be made proves nothing: net/http may have sent the
	// request before, on one that broke.
	switch {
	case err == nil:
		return happened
	case errors.Is(err, laneswap.ErrLoading):
		return refused
	}
	var answer *status
	if errors.As(err, &answer) && answer.code == http.StatusServiceUnavailable && bytes.Contains([]byte(answer.body), []byte(`"loading"`)) {
		return refused
	}
	return unknown
}

// rejected reports whether the server refused a valid request.
func rejected(err error) bool {
	var answer *status
	var response *client.ResponseError
	switch {
	case errors.As(err, &answer):
		return answer.code != http.StatusServiceUnavailable
	case errors.As(err, &response):
		return response.StatusCode != http.StatusServiceUnavailable
	}
	return false
}

// service returns a service, nil when there is none.
func (s *server) service(ctx context.Context, id laneswap.ServiceID) (*laneswap.ServiceStatus, error) {
	st := &laneswap.ServiceStatus{}
	err := s.read(ctx, "/api/services/"+url.PathEscape(string(id)), st)
	var answer *status
	if errors.As(err, &answer) && answer.code == http.StatusNotFound {
		return nil, nil
	}
	return st, err
}

// stream opens the stream of events behind a number of a journal, if there is one.
func (s *server) stream(ctx context.Context, last uint64, journal string) (*http.Response, error) {
	query := "?after=0"
	if last > 0 {
		query = "?journal=" + url.QueryEscape(journal)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/events/stream"+query, nil)
	if err != nil {
		return nil, err
	}
	if last > 0 {
		req.Header.Set("Last-Event-ID", fmt.Sprint(last))
	}
	return s.transport.RoundTrip(req)
}
