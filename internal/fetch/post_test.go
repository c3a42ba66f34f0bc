package fetch_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/fetch"
)

// TestPost: a form goes to the address that was registered, and nowhere else.
func TestPost(t *testing.T) {
	var got url.Values
	var kind string
	elsewhere := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(_ http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		got, kind = r.PostForm, r.Header.Get("Content-Type")
	})
	mux.HandleFunc("/no", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadRequest) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere++ })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) {
		r.ParseForm() // only then the server notices that the client has gone
		<-r.Context().Done()
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	client := fetch.New(fetch.Config{Allow: loopback, Timeout: 300 * time.Millisecond})
	form := url.Values{"logout_token": {"a.b.c"}}
	for path, want := range map[string]int{"/ok": 200, "/no": 400, "/away": 307, "/endless": 200, "/nothing": 404} {
		if status, err := fetch.Post(t.Context(), client, s.URL+path, form); status != want || err != nil {
			t.Errorf("%s: %d %v, want %d", path, status, err, want)
		}
	}
	if got.Encode() != form.Encode() || kind != "application/x-www-form-urlencoded" || elsewhere != 0 {
		t.Errorf("posted %v as %q, followed %d redirects", got, kind, elsewhere)
	}
	if _, err := fetch.Post(t.Context(), client, s.URL+"/silent", form); err == nil || err.Error() != "it cannot be fetched" {
		t.Errorf("a server that says nothing: %v", err)
	}
	// Attack row O30: the same address, where it is not allowed.
	if _, err := fetch.Post(t.Context(), fetch.New(fetch.Config{}), s.URL+"/ok", form); !errors.Is(err, fetch.ErrInternal) {
		t.Errorf("an internal address: %v", fmt.Sprint(err))
	}
}
