package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// as is a value that has a function of its own.
func as(parse func(*settings, string) error) value { return value{"", parse} }

// either lists what may be chosen.
func either(allowed []string) string {
	last := len(allowed) - 1
	return strings.Join(allowed[:last], ", ") + " or " + allowed[last]
}

func text(field func(*settings) *string) value {
	return value{"", func(s *settings, v string) error {
		*field(s) = v
		return nil
	}}
}

func choice(field func(*settings) *string, allowed ...string) value {
	return value{either(allowed), func(s *settings, v string) error {
		if !slices.Contains(allowed, v) {
			return fmt.Errorf("%q is not allowed: write one of %s", v, strings.Join(allowed, ", "))
		}
		*field(s) = v
		return nil
	}}
}

func onOrOff(set func(*settings, bool)) value {
	return value{"on or off", func(s *settings, v string) error {
		if v != "on" && v != "off" {
			return fmt.Errorf("%q is neither on nor off", v)
		}
		set(s, v == "on")
		return nil
	}}
}

func number(least, most int, set func(*settings, int)) value {
	return value{fmt.Sprintf("%d to %d", least, most), func(s *settings, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%q is not a whole number between %d and %d", v, least, most)
		}
		set(s, n)
		return nil
	}}
}

func life(field func(*settings) *time.Duration) value {
	return value{"a time", func(s *settings, v string) (err error) {
		*field(s), err = duration(v)
		return err
	}}
}

func lifeOrNever(field func(*settings) *time.Duration) value {
	return value{"a time, or never", func(s *settings, v string) error {
		if v == "never" {
			*field(s) = 0
			return nil
		}
		return life(field).parse(s, v)
	}}
}

// list reads words with commas or spaces between them.
func list(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
}

func words(field func(*settings) *[]string) value {
	return value{"words, separated by commas or spaces", func(s *settings, v string) error {
		*field(s) = list(v)
		return nil
	}}
}
