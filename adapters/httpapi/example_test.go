package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

// A program that has a mux of its own mounts the API under a prefix.
func ExampleNew() {
	m := laneswap.NewManager()
	h := httpapi.New(m)
	mux := http.NewServeMux()
	mux.Handle("/monitor/", http.StripPrefix("/monitor", h))
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.RegisterOnShutdown(h.Close) // ends the event streams
	srv.Start()
	defer srv.Close()

	resp, err := http.Post(srv.URL+"/monitor/api/services/backup@web-1/heartbeat?create=1&interval=60", "", http.NoBody)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var st laneswap.ServiceStatus
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		panic(err)
	}
	fmt.Println(resp.StatusCode, st.ID, st.Status, st.Interval)
	// Output: 200 backup@web-1 healthy 1m0s
}
