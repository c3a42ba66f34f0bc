package server_test

import (
	"database/sql"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/servertest"
	"github.com/ostiary/ostiary/internal/store/storetest"
)

// BenchmarkFeedSnapshot streams a log of a million live entries to one reader.
func BenchmarkFeedSnapshot(b *testing.B) {
	for name, options := range map[string][]servertest.Option{
		"sqlite":   nil,
		"postgres": {func(c *server.Config) { c.Database = storetest.PostgresURL(b) }},
	} {
		b.Run(name, func(b *testing.B) {
			h := servertest.Start(b, options...)
			token := follower(b, h, "orders", orders)
			driver, address := "pgx", h.Config.Database
			if address == "" {
				driver, address = "sqlite", h.Config.Data+"/ostiary.db"
			}
			db, err := sql.Open(driver, address)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			const fill = `INSERT INTO revocations (kind, value, cut_off, cause, at, drop_at, audiences)
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
				SELECT 'session', 'kX0fGq7lRb2Yw' || (100000000 + i), 0, 'signed_out', 1800000000, 9999999999, '["` + orders + `"]' FROM n`
			if _, err := db.Exec(fill); err != nil {
				b.Fatal(err)
			}
			known(b, h)
			for b.Loop() {
				req := feedRequest(b, h.Issuer, token, "")
				req.Header.Set("Accept", "text/event-stream")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				size, last := 0, ""
				for buffer := make([]byte, 256<<10); !strings.Contains(last, "event: ready"); {
					n, err := res.Body.Read(buffer)
					if err != nil && err != io.EOF {
						b.Fatal(err)
					}
					size += n
					last = last[max(0, len(last)-20):] + string(buffer[max(0, n-300):n])
				}
				res.Body.Close()
				b.SetBytes(int64(size))
			}
		})
	}
}
