package main

import (
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

func signInMethods(s *settings, v string) error {
	for _, word := range strings.FieldsFunc(v, func(c rune) bool { return c == ',' || c == ' ' }) {
		s.SignInMethods = append(s.SignInMethods, model.Method(word))
	}
	return nil
}

func rememberDevice(s *settings, v string) (err error) {
	if v != "off" {
		s.RememberDevice, err = duration(v)
	}
	return err
}
