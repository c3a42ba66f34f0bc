package federation

import (
	"context"

	"github.com/ostiary/ostiary/internal/model"
)

// Choice returns a provider that can be used, or a Refusal.
func (f *Federation) Choice(ctx context.Context, id model.UpstreamID) (Choice, error) {
	e, err := f.find(ctx, id)
	if err != nil {
		return Choice{}, err
	}
	return e.choice(), nil
}
