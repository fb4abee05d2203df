package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/webhook"
)

// A receiver in Go checks the signature over the body as it came, and only then
// reads it.
func ExampleVerify() {
	const secret = "correct horse battery staple"
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		if err := webhook.Verify(secret, r.Header, body, time.Now(), 0); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var n laneswap.Notification
		if err := json.Unmarshal(body, &n); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Println("received:", n.Title)
		fmt.Fprint(w, `{"id":"ticket-7"}`)
	}))
	defer receiver.Close()

	n, err := webhook.New(receiver.URL, webhook.WithSecret(secret), webhook.WithPrivateNetworks())
	if err != nil {
		fmt.Println(err)
		return
	}
	ev := laneswap.Event{ID: "billing/1/1", Kind: laneswap.EventDown, Service: "billing", Name: "billing", To: laneswap.StatusStale}
	id, err := laneswap.Send(context.Background(), n, laneswap.Notification{
		ID: "n-1", Kind: laneswap.NoticeEvent, Title: "billing is stale", Event: ev, Items: []laneswap.Item{{Event: ev}},
	})
	fmt.Println("kept as:", id, err)
	// Output:
	// received: billing is stale
	// kept as: ticket-7 <nil>
}

func ExampleNew() {
	n, err := webhook.New("https://hooks.example.org/laneswap",
		webhook.WithSecret("correct horse battery staple"),
		webhook.WithHeader("Authorization", "Bearer 0123456789"),
		webhook.WithName("tickets"))
	fmt.Println(n, err)
	_, err = webhook.New("http://169.254.169.254/latest/meta-data/")
	fmt.Println(err)
	// Output:
	// webhook notifier "tickets" <nil>
	// webhook url names an address that is link-local: webhook.WithPrivateNetworks allows it
}
