package fakediscord_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/fakediscord"
)

const agent = "DiscordBot (https://example.org/test, 1)"

// quiet is a message that may be sent.
const quiet = `{"content":"hello","allowed_mentions":{"parse":[]}}`

// sender is a client of a fake.
type sender struct {
	t      *testing.T
	client *http.Client
	url    string
}

// newSender posts to a webhook, at the version of the API that clients must name.
func newSender(t *testing.T, client *http.Client, webhook string) *sender {
	return &sender{t, client, strings.Replace(webhook, "/api/", "/api/v10/", 1)}
}

// answered is an answer.
type answered struct {
	status int
	header http.Header
	body   string
	fields map[string]any
}

func (s *sender) do(method, path, contentType, body string) answered {
	s.t.Helper()
	a, err := s.try(context.Background(), method, path, contentType, body)
	require.NoError(s.t, err)
	return a
}

func (s *sender) try(ctx context.Context, method, path, contentType, body string) (answered, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", agent)
	resp, err := s.client.Do(req)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answered{}, err
	}
	a := answered{status: resp.StatusCode, header: resp.Header, body: string(text)}
	_ = json.Unmarshal(text, &a.fields)
	return a, nil
}

func (s *sender) post(body string) answered {
	s.t.Helper()
	return s.do("POST", "?wait=true", "application/json", body)
}

// over runs a test over net.Pipe in a bubble, and over the loopback.
func over(t *testing.T, opts []fakediscord.Option, test func(t *testing.T, fake *fakediscord.Server, s *sender)) {
	t.Run("pipe", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fake := fakediscord.New(opts...)
			defer fake.Close()
			test(t, fake, newSender(t, fake.Client(), fake.Webhook()))
		})
	})
	t.Run("loopback", func(t *testing.T) {
		t.Parallel()
		fake := fakediscord.New(opts...)
		defer fake.Close()
		base, err := fake.Listen()
		require.NoError(t, err)
		client := &http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		test(t, fake, newSender(t, client, strings.Replace(fake.Webhook(), "https://discord.com", base, 1)))
	})
}

func TestServer_takesAMessageAndItsEdits(t *testing.T) {
	t.Parallel()
	over(t, nil, func(t *testing.T, fake *fakediscord.Server, s *sender) {
		var receipts []string
		fake.OnReceipt(func(m fakediscord.Message) { receipts = append(receipts, m.ID+m.Payload.Content) })
		a := s.do("POST", "?wait=true&thread_id=77", "application/json", quiet)
		require.Equal(t, 200, a.status, a.body)
		require.Equal(t, "hello", a.fields["content"])
		id := a.fields["id"].(string)
		require.Regexp(t, `^\d{10,20}$`, id)
		require.Equal(t, "5", a.header.Get("X-RateLimit-Limit"))
		require.Equal(t, "4", a.header.Get("X-RateLimit-Remaining"))
		require.Regexp(t, `^[12]\.\d{3}$`, a.header.Get("X-RateLimit-Reset-After"))

		a = s.do("PATCH", "/messages/"+id, "application/json", `{"content":"bye","allowed_mentions":{"parse":[]}}`)
		require.Equal(t, 200, a.status, a.body)
		require.Equal(t, "4", a.header.Get("X-RateLimit-Remaining"), "edits have a bucket of their own")
		require.Equal(t, 404, s.do("PATCH", "/messages/1", "application/json", quiet).status)
		a = s.do("PATCH", "/messages/"+id, "application/json", `{"content":"loud"}`)
		require.Equal(t, 400, a.status, "edits without allowed_mentions mention whom they like")

		got := fake.Messages()
		require.Len(t, got, 1)
		require.Equal(t, "bye", got[0].Payload.Content)
		require.Equal(t, "77", got[0].Thread)
		require.Equal(t, 1, got[0].Edits)
		require.Equal(t, []string{id + "hello", id + "bye"}, receipts)
		require.Len(t, fake.Requests(), 4)
		require.Len(t, fake.Violations(fakediscord.RulePayload), 1)
	})
}

func TestServer_refusesStrangers(t *testing.T) {
	t.Parallel()
	over(t, nil, func(t *testing.T, fake *fakediscord.Server, s *sender) {
		own := s.url
		s.url = own + "x"
		a := s.post(quiet)
		require.Equal(t, 401, a.status)
		require.EqualValues(t, 50027, a.fields["code"])
		s.url = strings.Replace(own, "/webhooks/", "/webhooks/9", 1)
		require.EqualValues(t, 10015, s.post(quiet).fields["code"])
		s.url = own
		require.Empty(t, fake.Violations())
		for i, version := range []string{"v3/", "v7/", ""} {
			s.url = strings.Replace(own, "/v10/", "/"+version, 1)
			a = s.post(quiet)
			if version != "" {
				require.Equal(t, 400, a.status)
				require.EqualValues(t, 50041, a.fields["code"], "every error is JSON")
			}
			require.Len(t, fake.Violations(fakediscord.RuleProtocol), i+1)
		}
		s.url = own
		a = s.do("GET", "", "application/json", "")
		require.Equal(t, 405, a.status)
		require.Equal(t, "405: Method Not Allowed", a.fields["message"])
		a = s.do("POST", "/elsewhere", "application/json", quiet)
		require.Equal(t, 404, a.status)
		require.Equal(t, "404: Not Found", a.fields["message"])
		require.NotEmpty(t, fake.Violations(fakediscord.RuleProtocol))

		fake.DeleteWebhook()
		a = s.post(quiet)
		require.Equal(t, 404, a.status)
		require.EqualValues(t, 10015, a.fields["code"])
		require.Equal(t, 1, fake.Invalid(), "404 does not count towards a ban")
	})
}

func TestServer_demandsToBeWaitedFor(t *testing.T) {
	t.Parallel()
	fake := fakediscord.New()
	defer fake.Close()
	s := newSender(t, fake.Client(), fake.Webhook())
	require.Equal(t, 204, s.do("POST", "", "application/json", quiet).status)
	require.Len(t, fake.Violations(fakediscord.RuleProtocol), 1)
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"?wait=true", strings.NewReader(quiet))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Len(t, fake.Violations(fakediscord.RuleProtocol), 2, "the User-Agent of net/http is not one")
	require.Contains(t, fake.Violations()[1].String(), "User-Agent")
}

func TestServer_countsRequestsInWindows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakediscord.New()
		defer fake.Close()
		s := newSender(t, fake.Client(), fake.Webhook())
		start := time.Now()
		for left := 4; left >= 0; left-- {
			a := s.post(quiet)
			require.Equal(t, 200, a.status)
			require.Equal(t, fmt.Sprint(left), a.header.Get("X-RateLimit-Remaining"))
		}
		time.Sleep(500 * time.Millisecond)
		a := s.post(quiet)
		require.Equal(t, 429, a.status)
		require.EqualValues(t, 1.5, a.fields["retry_after"])
		require.Equal(t, false, a.fields["global"])
		require.Equal(t, "2", a.header.Get("Retry-After"))
		require.Equal(t, "user", a.header.Get("X-RateLimit-Scope"))
		require.Len(t, fake.Violations(fakediscord.RuleDelay), 1, "the answer before had said so")
		require.True(t, fake.Requests()[5].Early)
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, 200, s.post(quiet).status)

		// The limit of the channel is not in the headers.
		for len(fake.Messages()) < 30 {
			time.Sleep(500 * time.Millisecond)
			require.Equal(t, 200, s.post(quiet).status)
		}
		time.Sleep(2 * time.Second)
		a = s.post(quiet)
		require.Equal(t, 429, a.status)
		require.Equal(t, "shared", a.header.Get("X-RateLimit-Scope"))
		require.Equal(t, time.Minute, time.Since(start)+time.Duration(a.fields["retry_after"].(float64)*float64(time.Second)))
		other := newSender(t, s.client, fake.AddWebhook("elsewhere"))
		require.Equal(t, 200, other.post(quiet).status, "another channel, another webhook")
		require.Equal(t, 429, newSender(t, s.client, fake.AddWebhook("alerts")).post(quiet).status)
		require.Len(t, fake.Violations(), 1)
		require.Equal(t, 1, fake.Invalid(), "those of a channel do not count")
		time.Sleep(time.Minute)
		require.Equal(t, 200, s.post(quiet).status)
	})
}

func TestServer_takesFiles(t *testing.T) {
	t.Parallel()
	form := func(json, file string) (contentType, body string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		require.NoError(t, w.WriteField("payload_json", json))
		part, err := w.CreateFormFile("files[0]", "services.txt")
		require.NoError(t, err)
		_, err = part.Write([]byte(file))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return w.FormDataContentType(), b.String()
	}
	fake := fakediscord.New()
	defer fake.Close()
	s := newSender(t, fake.Client(), fake.Webhook())
	contentType, body := form(`{"allowed_mentions":{"parse":[]},"attachments":[{"id":0,"filename":"services.txt"}]}`, "a\nb\n")
	a := s.do("POST", "?wait=true", contentType, body)
	require.Equal(t, 200, a.status, a.body)
	require.Equal(t, []fakediscord.File{{Number: 0, Name: "services.txt", Data: []byte("a\nb\n")}}, fake.Messages()[0].Files)
	require.Empty(t, fake.Violations())

	for _, wrong := range []string{
		`{"allowed_mentions":{"parse":[]},"attachments":[{"id":1,"filename":"services.txt"}]}`,
		`{"allowed_mentions":{"parse":["everyone"]}}`,
	} {
		contentType, body = form(wrong, "a")
		require.Equal(t, 400, s.do("POST", "?wait=true", contentType, body).status)
	}
	contentType, body = form(`{"allowed_mentions":{"parse":[]}}`, strings.Repeat("x", fakediscord.MaxFileSize+1))
	a = s.do("POST", "?wait=true", contentType, body)
	require.Equal(t, 413, a.status)
	require.EqualValues(t, 40005, a.fields["code"])
	require.NotEmpty(t, fakediscord.Validate("multipart/form-data; boundary=x", []byte("--x\r\nbroken"), false))
	require.NotEmpty(t, fakediscord.Validate("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--x--\r\n"), false))
	require.NotEmpty(t, fakediscord.Validate("text/plain", []byte(quiet), false))
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
