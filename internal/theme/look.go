package theme

// Look is the theme of an installation; the zero value is the look that Ostiary has
// by itself.
type Look struct {
	Colours
	Logo     *Picture // beside the name, or in its place where it is a wordmark; nil: our mark
	LogoDark *Picture // in place of Logo in the dark theme; nil: the same
	Icon     *Picture // of browser tabs; nil: Logo, unless it is a wordmark
	Sheet    string   // style sheet, which comes last
}

// Style is the whole style sheet of the look, empty for none.
func (l Look) Style() string { return l.Colours.Style() + l.Sheet }
