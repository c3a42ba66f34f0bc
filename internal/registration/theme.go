package registration

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
	"github.com/ostiary/ostiary/internal/theme"
)

// ColoursOf are the colours that an operator has given to a client.
func ColoursOf(s model.ClientSettings) theme.Colours {
	return theme.Colours{Accent: s.ThemeAccent, AccentDark: s.ThemeAccentDark, Background: s.ThemeBackground, BackgroundDark: s.ThemeBackgroundDark}
}

// themeMembers are the names of the settings by those of the colours.
var themeMembers = map[string]string{
	"accent": "theme_accent", "accent-dark": "theme_accent_dark", "background": "theme_background", "background-dark": "theme_background_dark",
}

func checkClientTheme(s model.ClientSettings) error {
	var part *theme.PartError
	if err := ColoursOf(s).Check(); errors.As(err, &part) {
		return invalid(themeMembers[part.Part], "%v", part)
	}
	if err := theme.CheckSheet(s.ThemeSheet); err != nil {
		return invalid("theme_style_sheet", "%v", err)
	}
	return nil
}

// Themed reports whether a client may have a theme of its own. One that registered
// itself may not, whatever is written of it: in somebody else's colours it could pass
// for them.
func Themed(c model.Client) bool { return c.Origin == model.OriginOperator && !c.Disabled }

// ErrNoTheme says that there is no client that may have a theme of its own.
var ErrNoTheme = errors.New("there is no such theme")

// ThemedClient returns a client that may have a theme of its own.
//
// Errors: ErrNoTheme.
func (r *Registrar) ThemedClient(ctx context.Context, id model.ClientID) (model.Client, error) {
	if !clientIDSyntax(string(id)) {
		return model.Client{}, ErrNoTheme
	}
	c, err := r.clients.find(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !Themed(c.Client) {
		return model.Client{}, ErrNoTheme
	}
	if err != nil {
		return model.Client{}, err
	}
	return c.Client, nil
}
