package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strings"

	"github.com/ostiary/ostiary/internal/model"
)

func plainAddress(s *settings, v string) error {
	s.HTTPListen = v
	if v == "" {
		return nil
	}
	return checkAddress(v)
}

func acmeMail(s *settings, v string) error {
	if v == "" {
		return nil
	}
	if at, err := mail.ParseAddress(v); err != nil || at.Name != "" {
		return fmt.Errorf("%q is not an address: write one such as operator@example.com", v)
	}
	s.TLS.Mail = v
	return nil
}

// acmeBindingKey reads the key of an account elsewhere, RFC 8555 §7.3.4.
func acmeBindingKey(s *settings, path string) error {
	if path == "" {
		return nil
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(string(data)), "="))
	if err != nil || len(key) == 0 { // and not err, which tells of the key
		return fmt.Errorf("%s holds no key in base64url", path)
	}
	s.TLS.BindingKey = model.Secret(key)
	return nil
}

// readDatabasePassword puts the password of a file into the address of the database.
func (s *settings) readDatabasePassword() error {
	if s.databasePasswordFile == "" {
		return nil
	}
	data, err := readBounded(s.databasePasswordFile)
	if err != nil {
		return err
	}
	password := strings.TrimRight(string(data), "\r\n")
	u, err := url.Parse(s.Database)
	switch {
	case password == "":
		return fmt.Errorf("%s is empty: it must hold the password of the database's user", s.databasePasswordFile)
	case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.User.Username() == "":
		return errors.New("the database has no user to whom the password could belong: set database to postgres://USER@HOST/NAME")
	}
	if _, ok := u.User.Password(); ok {
		return errors.New("the database has a password in its URL: keep one of them")
	}
	u.User = url.UserPassword(u.User.Username(), password)
	s.Database = u.String()
	return nil
}
