package server_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
)

// The debugger is below the base path of the issuer, or not there at all.
func TestDebugger(t *testing.T) {
	for _, row := range []struct {
		name, path string
		off        bool
		want       int
	}{
		{"below the issuer", "/auth/debugger", false, http.StatusOK},
		{"not beside it", "/debugger", false, http.StatusNotFound},
		{"switched off", "/auth/debugger", true, http.StatusNotFound},
		{"switched off with what belongs to it", "/auth/debugger/fetch?origin=https://a.example", true, http.StatusNotFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := servertest.Start(t, func(c *server.Config) { c.Issuer, c.NoDebugger = c.Issuer+"/auth", row.off })
			w := httptest.NewRecorder()
			h.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, row.path, nil))
			if w.Code != row.want {
				t.Errorf("%s: %d, want %d", row.path, w.Code, row.want)
			}
		})
	}
}
