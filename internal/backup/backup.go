// Package backup owns the file that a database is backed up to: how it is written,
// and how it is read back and found to be whole.
//
// The file is a compressed tar of JSON: what it is, then every row of every table, in
// parts of some megabytes, then a manifest with the hash of each part and the sum of
// each table, and last the manifest's MAC under a key that is derived from the master
// key. The rows are the same for both databases, so one can be restored into the
// other. What is secret in the database is sealed already; the master key is in the
// file only where somebody has asked for it, under a passphrase.
//
// It never replaces a database and decides nothing about what is valid after a
// restore.
package backup

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/ostiary/ostiary/internal/keys"
	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

var (
	// ErrDamaged means that a file is no backup, or not a whole one.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrForeign means that a backup was made under another master key, or was changed.
	ErrForeign = errors.New("the backup was made under another master key, or somebody has changed it")
	// ErrNewer means that a backup was made by a newer version of Ostiary.
	ErrNewer = errors.New("the backup was made by a newer version of ostiary")
)

// format is the version of the file's form.
const format = 1

// The names in the tar; between the key and the manifest there are the rows.
const (
	nameHeader   = "ostiary-backup.json"
	nameKey      = "master-key.json"
	nameManifest = "manifest.json"
	nameMAC      = "manifest.mac"
)

const (
	// partSize is how large a part with rows becomes, and maxPart what is read of one,
	// in bytes: a row can be larger than a part is to be.
	partSize  = 4 << 20
	maxPart   = 64 << 20
	maxTables = 1000
)

// maxParts is more than there is room for in a manifest, which is no larger than a
// part and has 100 bytes or more for each.
var maxParts = maxPart / 100 // tests make it smaller

// labelMAC derives the key of the manifest's MAC.
const labelMAC = "backup manifest"

// Header says what a backup is of.
type Header struct {
	Format    int           `json:"format"`
	Version   string        `json:"version"` // of the program
	Schema    int64         `json:"schema"`
	Database  string        `json:"database"` // "sqlite" or "postgres"
	Issuer    string        `json:"issuer"`
	CreatedAt int64         `json:"created_at"` // unix seconds
	Tables    []store.Table `json:"tables"`
}

// Manifest says what is in a backup.
type Manifest struct {
	Parts  []Part  `json:"parts"`
	Tables []Count `json:"tables"`
}

// Part is a file in the tar.
type Part struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Count is what the parts say of a table together.
type Count struct {
	Name   string       `json:"name"`
	Rows   int64        `json:"rows"`
	Digest store.Digest `json:"digest"`
	Last   int64        `json:"last,omitempty"` // see store.Source.Last
}

// Contents is what a backup is found to hold.
type Contents struct {
	Header
	Manifest Manifest
	Key      *keys.Wrapped // nil: it is not in there
	mac      []byte
	raw      []byte // the manifest as it is written
}

// Rows is how many rows there are.
func (c Contents) Rows() (n int64) {
	for _, t := range c.Manifest.Tables {
		n += t.Rows
	}
	return n
}

// Time is when the backup was made.
func (c Contents) Time() time.Time { return time.Unix(c.CreatedAt, 0) }

// Genuine returns ErrForeign unless the file was written with this master key, and is
// as it was written. derive is keys.Master.Derive.
func (c Contents) Genuine(derive func(label string) []byte) error {
	if !hmac.Equal(c.mac, mac(derive, c.raw)) {
		return ErrForeign
	}
	return nil
}

func mac(derive func(label string) []byte, manifest []byte) []byte {
	h := hmac.New(sha256.New, derive(labelMAC))
	h.Write(manifest)
	return h.Sum(nil)
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// GenuineBy is Genuine by the master key that is in the backup, under a passphrase.
func (c Contents) GenuineBy(passphrase model.Secret) error {
	key, err := c.Key.Unwrap(passphrase)
	if err != nil {
		return err
	}
	master, err := keys.LoadMaster(keys.MasterConfig{Value: key})
	if err != nil {
		return err
	}
	return c.Genuine(master.Derive)
}
