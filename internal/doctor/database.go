package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/server"
	"github.com/ostiary/ostiary/internal/store"
)

const (
	leastFree  = 100 << 20 // bytes
	littleFree = 1 << 30
	slow       = 20 * time.Millisecond // for the answer of a database to nothing
)

// files looks at what lies in the data folder, and who can read it.
func (v *visit) files(context.Context) (found []Finding) {
	folder := v.Server.Data
	if _, err := os.Stat(folder); err != nil {
		return []Finding{wrong("correct --data, or start the server once with ostiary serve", "There is no data folder %s.", folder)}
	}
	private := []string{folder}
	if path, embedded := strings.CutPrefix(v.Server.Database, "sqlite:"); embedded {
		private = append(private, path, path+"-wal")
	}
	if v.SettingsFile != "" && holdsSecret(v.SettingsFile) {
		private = append(private, v.SettingsFile)
	}
	for _, path := range private {
		if f, open := opened(path); open {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		found = append(found, good("Nobody but its user reads the data folder %s.", folder))
	}
	return append(append(found, v.master()), v.room(folder)...)
}

// opened tells of a file that others can read.
func opened(path string) (Finding, bool) {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return Finding{}, false
	}
	mode := "600"
	if info.IsDir() {
		mode = "700"
	}
	return wrong("chmod "+mode+" "+path, "Others on this machine can read %s (mode %04o).", path, info.Mode().Perm()), true
}

// holdsSecret reports whether a file with settings has a password in it.
func holdsSecret(path string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		_, rest, database := strings.Cut(line, "postgres")
		if user, _, at := strings.Cut(rest, "@"); database && at && strings.Count(user, ":") > 1 {
			return true
		}
	}
	return false
}

func (v *visit) master() Finding {
	from := v.Server.Master()
	_, err := keys.LoadMaster(from)
	switch {
	case err != nil:
		return wrong("", "%s.", capital(err.Error()))
	case v.Server.MasterKey != "":
		return good("The master key comes from %s.", keys.MasterVariable)
	case from.Given:
		return good("The master key %s can be read by its user and a group at most.", from.Path)
	}
	return good("The master key %s can be read by its user only.", from.Path)
}

// room tells how much of the disk is free.
func (v *visit) room(folder string) []Finding {
	if path, embedded := strings.CutPrefix(v.Server.Database, "sqlite:"); embedded {
		folder = filepath.Dir(path)
	}
	free, ok := freeBytes(folder)
	switch {
	case !ok:
		return []Finding{unknown("How much of the disk is free cannot be asked on this system.")}
	case free < leastFree:
		return []Finding{wrong("make room: when nothing is left, nobody can sign in", "The disk that holds %s has %d MiB left.", folder, free>>20)}
	case free < littleFree:
		return []Finding{warning("make room", "The disk that holds %s has %d MiB left.", folder, free>>20)}
	}
	return []Finding{good("The disk that holds %s has %d GiB left.", folder, free>>30)}
}

// lookAtDatabase examines the database, and opens the rest of the house on it if that
// changes nothing.
func (v *visit) lookAtDatabase(ctx context.Context) []Finding {
	e, err := store.Examine(ctx, v.Server.Database, v.now)
	v.database = e
	if err != nil {
		v.closed = "the database cannot be used"
		return []Finding{wrong("", "%s.", capital(strings.TrimPrefix(err.Error(), "store: ")))}
	}
	v.base = e.Issuer
	var found []Finding
	switch {
	case e.Schema == 0:
		v.closed = "no server was set up on the database"
		found = append(found, warning("start the server once with ostiary serve", "The database at %s is empty.", store.Where(v.Server.Database)))
	case e.Schema > e.Known && e.Beside:
		v.closed = "the database is of a newer version"
		found = append(found, warning("bring this node up to date", "A newer version has brought the database up to date (schema %d): this one (%d) works beside it, for now.", e.Schema, e.Known))
	case e.Schema > e.Known:
		v.closed = "the database is of a newer version"
		found = append(found, wrong("run the newer version of ostiary", "The schema of the database is %d, and this program knows %d.", e.Schema, e.Known))
	case e.Schema < e.Known:
		v.closed = "the database is of an older version, and this changes nothing"
		found = append(found, warning("make a backup, and start the server: it brings it up to date", "The schema of the database is %d, that of this program %d.", e.Schema, e.Known))
	case e.Moved != "":
		v.closed = "the database has moved"
		found = append(found, wrong("set --database to the new one", "All that was in this database has been moved to %s.", e.Moved))
	case e.Restoring:
		v.closed = "the database was restored, and that was not finished"
		found = append(found, wrong("ostiary restore finish", "The database was restored, and what must follow was not done."))
	case e.Issuer == "":
		v.closed = "no server was set up on the database"
		found = append(found, warning("start the server once with ostiary serve", "No server was set up on the database at %s.", store.Where(v.Server.Database)))
	case v.Server.Issuer != "" && v.Server.Issuer != e.Issuer:
		v.closed = "the settings and the database do not agree on the issuer"
		found = append(found, wrong("set issuer to the former, or start once with --change-issuer to move on purpose",
			"The database belongs to the issuer %s, and the settings say %s.", e.Issuer, v.Server.Issuer))
	default:
		v.seen = true
		found = append(found, good("%s, schema %d, %s.", e.Version, e.Schema, size(e.Bytes)))
		found = append(found, v.open(ctx)...)
	}
	return append(found, v.work(e)...)
}

// open opens the house as the commands do.
func (v *visit) open(ctx context.Context) []Finding {
	c := v.Server
	c.MustExist, c.Logger = true, slog.New(slog.DiscardHandler)
	parts, err := server.Open(ctx, c)
	if err != nil {
		v.closed = "the server could not start"
		return []Finding{wrong("", "A server could not start with these settings: %s.", err)}
	}
	v.parts = parts
	return nil
}

// work tells how the database does its work.
func (v *visit) work(e store.Examination) (found []Finding) {
	took := e.Latency.Round(time.Microsecond)
	switch {
	case e.Latency > slow:
		found = append(found, warning("bring the database nearer to the server: every request asks it several times", "The database takes %s to answer nothing.", took))
	default:
		found = append(found, good("The database answers in %s.", took))
	}
	switch {
	case e.Kind == "sqlite" && e.Journal != "wal":
		found = append(found, wrong("put it on a local disk", "SQLite does not work with a write-ahead log here, but with %q: readers and writers wait for each other.", e.Journal))
	case e.Recovering:
		found = append(found, wrong("name the primary server in --database", "PostgreSQL is a copy that cannot be written to."))
	case e.Kind == "postgres" && e.MaxConnections-e.Connections < 10:
		found = append(found, warning("raise max_connections of PostgreSQL: a node opens up to 33", "PostgreSQL has %d of %d connections in use.", e.Connections, e.MaxConnections))
	case e.Kind == "postgres":
		found = append(found, good("PostgreSQL has %d of %d connections in use.", e.Connections, e.MaxConnections))
	}
	if v.seen && e.Admins < 2 {
		found = append(found, warning("ostiary user create --admin LOGIN", "There are %d administrators who can sign in. Two can be ill one after the other.", e.Admins))
	}
	return found
}

// damage looks through all of an SQLite file.
func (v *visit) damage(ctx context.Context) []Finding {
	if v.database.Kind != "sqlite" {
		return nil
	}
	found, err := store.Damage(ctx, v.Server.Database)
	switch {
	case err != nil && late(ctx, err):
		return []Finding{unknown("The file of the database is large: within %s it was not looked through for damage.", damageTime)}
	case errors.Is(err, store.ErrCorrupt):
		return []Finding{wrong("restore a backup: ostiary restore FILE", "%s.", capital(strings.TrimPrefix(err.Error(), "store: ")))}
	case err != nil:
		return []Finding{unknown("The file of the database was not looked through for damage: %s.", err)}
	case found != "":
		return []Finding{wrong("restore a backup: ostiary restore FILE", "The file of the database is damaged: %s.", found)}
	}
	return []Finding{good("The file of the database is whole.")}
}

func capital(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".")
}

func size(n int64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
