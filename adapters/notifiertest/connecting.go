package notifiertest

import (
	"net/http"
	"strings"
)

// connecting tests that notifiers over HTTP reuse their connection.
var connecting = []test{
	{"Connection_isUsedAgain", func(r *run) {
		s := r.newServer()
		n := r.makeHTTP(s)
		sends := r.limit(20)
		for i := range sends {
			if i%2 == 0 {
				r.deliver("Notify", n, numbered(i))
				s.answer(func(_ *Stand, w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/html")
					w.WriteHeader(http.StatusInternalServerError)
					_, _ = w.Write([]byte("<html>" + strings.Repeat("It is not you, it is us. ", 200) + "</html>"))
				})
				continue
			}
			if err := r.notify(n, numbered(i)); err == nil {
				r.Fatal("500 counts as delivered")
			}
			s.answer(r.target.OK.reply)
		}
		if got := s.connections(); got > 1 {
			r.Fatalf("%d messages one after the other took %d connections: read answers to their end, within a limit, and close them", sends, got)
		}
	}},
}
