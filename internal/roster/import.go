package roster

import (
	"context"
	"errors"
	"io"

	"github.com/ostiary/ostiary/internal/account"
	"github.com/ostiary/ostiary/internal/model"
)

// Import is a list that comes in.
type Import struct {
	Accounts *account.Accounts
	Actor    model.Actor
	Options  account.ImportOptions
	Open     func() (Rows, error) // from its beginning: it is read twice
	Rows     int                  // of how many rows the report tells
	Failed   bool                 // of those alone that failed
	Progress func(Report)         // is called after each part; nil: nobody asks
}

// Report is what became of a list.
type Report struct {
	DryRun  bool `json:"dry_run"`
	Created int  `json:"created"`
	Updated int  `json:"updated"`
	Skipped int  `json:"skipped"`
	Failed  int  `json:"failed"`

	Rows []account.Imported `json:"rows"`
}

// Run looks at the whole list first; what is wrong anywhere keeps all out, unless it
// is to keep going. Then it brings the people in. The report is that of the last
// time through, also beside an error: of what was done until then.
func (i Import) Run(ctx context.Context) (Report, error) {
	only := i.Options.DryRun
	i.Options.DryRun = true
	r, err := i.once(ctx)
	if err != nil || only || r.Failed > 0 && !i.Options.KeepGoing {
		return r, err
	}
	i.Options.DryRun = false
	return i.once(ctx)
}

// once goes through the list.
func (i Import) once(ctx context.Context) (Report, error) {
	r := Report{DryRun: i.Options.DryRun, Rows: []account.Imported{}}
	in, err := i.Accounts.NewImport(i.Options)
	if err != nil {
		return r, err
	}
	next, err := i.Open()
	if err != nil {
		return r, err
	}
	for more := true; more; {
		batch, err := part(next)
		if more = err == nil; err != nil && !errors.Is(err, io.EOF) {
			return r, err
		}
		told, err := in.Batch(ctx, i.Actor, batch)
		if err != nil {
			return r, err
		}
		undone := !i.Options.DryRun && !i.Options.KeepGoing && failed(told)
		for _, one := range told {
			if undone && one.Outcome != account.ImportFailed {
				continue // somebody else was faster, and nobody of this part is there
			}
			r.count(one)
			if len(r.Rows) < i.Rows && (!i.Failed || one.Outcome == account.ImportFailed) {
				r.Rows = append(r.Rows, one)
			}
		}
		if i.Progress != nil {
			i.Progress(r)
		}
		if undone {
			break
		}
	}
	return r, nil
}

// part reads the people of one batch; io.EOF: they are the last.
func part(next Rows) (batch []account.ImportRow, err error) {
	for len(batch) < account.MaxImportBatch {
		row, err := next()
		if err != nil {
			return batch, err
		}
		batch = append(batch, row)
	}
	return batch, nil
}

func failed(told []account.Imported) bool {
	for _, one := range told {
		if one.Outcome == account.ImportFailed {
			return true
		}
	}
	return false
}

func (r *Report) count(one account.Imported) {
	switch one.Outcome {
	case account.ImportCreated:
		r.Created++
	case account.ImportUpdated:
		r.Updated++
	case account.ImportSkipped:
		r.Skipped++
	default:
		r.Failed++
	}
}
