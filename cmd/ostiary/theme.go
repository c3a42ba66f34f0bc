package main

import (
	"fmt"

	"github.com/ostiary/ostiary/internal/theme"
)

// colour reads a colour of the pages, and holds it against those that stand before
// it in the list of settings.
func colour(field func(*theme.Look) *string) value {
	return value{"#rrggbb", func(s *settings, v string) error {
		*field(&s.Look) = v
		return s.Look.Check()
	}}
}

func picture(field func(*theme.Look) **theme.Picture) value {
	return as(func(s *settings, path string) error {
		if path == "" {
			return nil
		}
		data, err := readBounded(path)
		if err != nil {
			return err
		}
		p, err := theme.ParsePicture(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		*field(&s.Look) = &p
		return nil
	})
}

func styleSheet(s *settings, path string) error {
	if path == "" {
		return nil
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	if err := theme.CheckSheet(string(data)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.Look.Sheet = string(data)
	return nil
}
