package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/ostiary/ostiary/internal/device"
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

func signUp(s *settings, v string) error {
	if v != "open" && v != "invited" && v != "off" {
		return fmt.Errorf("%q is neither open nor invited nor off", v)
	}
	s.SignUp, s.NoInvites = v == "open", v == "off"
	return nil
}

func mailPasswordFile(s *settings, path string) error {
	if path == "" {
		return nil
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	if s.Mail.Password = model.Secret(strings.TrimRight(string(data), "\r\n")); s.Mail.Password == "" {
		return fmt.Errorf("%s is empty: it must hold the password of the mail server's user", path)
	}
	return nil
}

// networkPlaces reads a file that says where ranges of addresses are.
func networkPlaces(s *settings, file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if s.Places, err = device.ReadPlaces(f); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
