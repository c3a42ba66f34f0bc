package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/oauth"
	"github.com/ostiary/ostiary/internal/roster"
)

// Where lists come in, and the bounds of one: what is more comes in parts.
const (
	pathImport    = "/api/import/users"
	maxImport     = 8 << 20 // bytes
	maxImportRows = 10_000
	importTime    = 10 * time.Minute
	uploadTime    = 2 * time.Minute
)

// listFormats are the formats of lists by their media types. JSON lines have no
// registered one.
var listFormats = []struct{ media, format string }{
	{"application/jsonl", roster.Lines}, {"application/x-ndjson", roster.Lines}, {"text/csv", roster.CSV}, {"application/json", roster.Array},
}

// importUsers brings people from elsewhere. One list comes in at a time: each is held
// in memory, because it is looked at twice.
func (s *API) importUsers(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	q, _, ok := listing(w, r, "existing", "dry_run", "keep_going", "allow_admin")
	if !ok {
		return nil
	}
	for _, name := range []string{"dry_run", "keep_going", "allow_admin"} {
		if q[name] != "" && q[name] != "true" {
			return fmt.Errorf("%w: %s is true, or absent", errQuery, name)
		}
	}
	format := ""
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	for _, f := range listFormats {
		if f.media == kind {
			format = f.format
		}
	}
	if format == "" { // RFC 9110 §15.5.16
		w.Header().Set("Accept", "application/jsonl, application/x-ndjson, text/csv, application/json")
		writeError(w, http.StatusUnsupportedMediaType, oauth.InvalidRequest, "The Content-Type must be application/jsonl, application/json or text/csv")
		return nil
	}
	if !s.importing.TryLock() {
		w.Header().Set("Retry-After", strconv.Itoa(busyFor))
		writeError(w, http.StatusServiceUnavailable, oauth.TooManyRequests, "Another list is being imported: try again")
		return nil
	}
	defer s.importing.Unlock()
	body, err := upload(w, r)
	if err != nil {
		return err
	}
	options := account.ImportOptions{
		Existing: q["existing"], Admins: q["allow_admin"] == "true", KeepGoing: q["keep_going"] == "true", DryRun: q["dry_run"] == "true",
	}
	report, err := roster.Import{
		Accounts: s.Accounts, Actor: by, Options: options, Rows: maxImportRows,
		Open: func() (roster.Rows, error) { return atMost(roster.Read(bytes.NewReader(body), format)) },
	}.Run(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, report)
}

// upload reads a body that may take longer than others, and what follows as well.
func upload(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	c, now := http.NewResponseController(w), time.Now()
	if err := supported(c.SetReadDeadline(now.Add(uploadTime))); err != nil {
		return nil, err
	}
	if err := supported(c.SetWriteDeadline(now.Add(importTime))); err != nil {
		return nil, err
	}
	return io.ReadAll(r.Body)
}

// atMost ends a list that has more people than are taken at once.
func atMost(next roster.Rows, err error) (roster.Rows, error) {
	n := 0
	return func() (account.ImportRow, error) {
		row, err := next()
		if n++; err == nil && n > maxImportRows {
			err = fmt.Errorf("%w: it has more than %d people, send it in parts", roster.ErrList, maxImportRows)
		}
		return row, err
	}, err
}

// exportUsers writes people as importUsers takes them, without the hashes of their
// passwords: whoever is to have those has the command.
func (s *API) exportUsers(w http.ResponseWriter, r *http.Request, by model.Actor) error {
	q, _, ok := listing(w, r, "search", "group", "status", "admin")
	if !ok {
		return nil
	}
	f, err := userFilter(q)
	if err != nil {
		return err
	}
	media, format := acceptable(r.Header.Values("Accept"))
	if format == "" { // RFC 9110 §15.5.7
		writeError(w, http.StatusNotAcceptable, oauth.InvalidRequest, "There are application/jsonl and text/csv")
		return nil
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-store")
	sent := &sentBody{w: w}
	c := http.NewResponseController(w)
	err = roster.Export{Accounts: s.Accounts, Actor: by, Filter: f, Format: format}.Write(r.Context(), sent, func() error {
		return supported(c.SetWriteDeadline(time.Now().Add(writeTime))) // for the next part
	})
	if err != nil && sent.begun {
		panic(http.ErrAbortHandler) // a list that is cut off must not look whole
	}
	return err
}

// sentBody knows whether anything of an answer has gone out.
type sentBody struct {
	w     io.Writer
	begun bool
}

func (s *sentBody) Write(p []byte) (int, error) {
	s.begun = true
	return s.w.Write(p)
}

// acceptable is the media type that a caller would like best of those in which lists
// go out, and its format; nothing: there is none. RFC 9110 §12.5.1.
func acceptable(accept []string) (media, format string) {
	if len(accept) == 0 {
		accept = []string{"*/*"}
	}
	best := 0.0
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		weight := 1.0
		if q, ok := params["q"]; ok {
			if weight, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		for _, f := range listFormats[:3] {
			family, _, _ := strings.Cut(f.media, "/")
			if weight > best && (kind == f.media || kind == family+"/*" || kind == "*/*") {
				best, media, format = weight, f.media, f.format
			}
		}
	}
	if format == roster.CSV {
		media += "; charset=utf-8; header=present" // RFC 4180 §3
	}
	return media, format
}

// errQuery says that a query says something that it cannot.
var errQuery = errors.New("the query cannot be understood")
