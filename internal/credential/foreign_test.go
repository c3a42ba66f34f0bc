package credential

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/internal/model"
)

// passlib writes "$pbkdf2…" with a salt and a hash in its own base64.
func passlib(t *testing.T, prefix, salt, sum string) string {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(sum, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawStdEncoding.EncodeToString([]byte(salt)) + "$" + base64.RawStdEncoding.EncodeToString(raw)
	return prefix + "$" + strings.ReplaceAll(text, "+", ".")
}

// Vectors that others have published, each in the form in which it is imported.
func TestForeignHashes(t *testing.T) {
	h := cheapPasswords(t, 2, time.Minute)
	long := "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored"
	for _, row := range []struct{ name, password, hash string }{
		{"crypt_blowfish wrapper.c", "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
		{"crypt_blowfish wrapper.c, of 2b", "U*U*", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"},
		{"crypt_blowfish wrapper.c, longer than 72 bytes", long, "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"},
		{"crypt_blowfish wrapper.c, other bytes after 72", long[:72] + "something else", "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"},
		{"x/crypto bcrypt_test.go", "allmine", "$2y$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"},
		{"Django BCryptPasswordHasher", "U*U", "bcrypt$$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},

		{"RFC 7914 §12, N=1024, r=8, p=16", "password", passlib(t, "$scrypt$ln=10,r=8,p=16", "NaCl",
			"fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640")},
		{"RFC 7914 §12, N=16384, r=8, p=1", "pleaseletmein", passlib(t, "$scrypt$ln=14,r=8,p=1", "SodiumChloride",
			"7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887")},
		{"Django test_hashers.py, scrypt", "lètmein", "scrypt$16384$seasalt$8$1$Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafTJ7tibgfYz71m0ldQESkXFRkdVCBhhY8mx7rQwite/Pw=="},
		{"Django test_hashers.py, scrypt with p=5", "lètmein", "scrypt$16384$seasalt$8$5$ECMIUp+LMxMSK8xB/IVyba+KYGTI7FTnet025q/1f/vBAVnnP3hdYqJuRi+mJn6ji6ze3Fbb7JEFPKGpuEf5vw=="},
		{"Werkzeug, RFC 7914 §12", "pleaseletmein", "scrypt:16384:8:1$SodiumChloride$7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"},

		{"RFC 6070 §2, 4096 iterations", "password", passlib(t, "$pbkdf2$4096", "salt", "4b007901b765489abead49d926f721d065a429c1")},
		{"RFC 6070 §2, 25 bytes", "passwordPASSWORDpassword", passlib(t, "$pbkdf2-sha1$4096", "saltSALTsaltSALTsaltSALTsaltSALTsalt", "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038")},
		{"RFC 7914 §11, one iteration", "passwd", passlib(t, "$pbkdf2-sha256$i=1,l=64", "salt",
			"55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783")},
		{"RFC 7914 §11, 80000 iterations", "Password", passlib(t, "$pbkdf2-sha256$i=80000", "NaCl",
			"4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d")},
		{"passlib test_handlers.py, pbkdf2_sha256", "password", "$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ"},
		{"passlib test_handlers_django.py, SHA-1", "not a password", "pbkdf2_sha1$10000$wz5B6WkasRoF$atJmJ1o+XfJxKq1+Nu1f1i57Z5I="},
		{"passlib test_handlers_django.py, SHA-256", "not a password", "pbkdf2_sha256$10000$kjVJaVz6qsnJ$5yPHw3rwJGECpUf70daLGhOrQ5+AMxIJdz1c3bqK1Rs="},
		{"Werkzeug, RFC 7914 §11", "Password", "pbkdf2:sha256:80000$NaCl$4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"},
		{"ASP.NET Core PasswordHasherTest.cs, SHA-1", "my password", "AQAAAAAAAAD6AAAAEAhftMyfTJylOlZT+eEotFXd1elee8ih5WsjXaR3PA9M"},
		{"ASP.NET Core PasswordHasherTest.cs, SHA-256", "my password", "AQAAAAEAA9CQAAAAIESkQuj2Du8Y+kbc5lcN/W/3NiAZFEm11P27nrSN5/tId+bR1SwV8CO1Jd72r4C08OLvplNlCDc3oQZ8efcW+jQ="},
		{"ASP.NET Core PasswordHasherTest.cs, SHA-512", "my password", "AQAAAAIAACcQAAAAEAABAgMEBQYHCAkKCwwNDg9B0Oxwty+PGIDSp95gcCfzeDvA4sGapUIUov8usXfD6A=="},

		// Of the reference program, argon2/src/test.c.
		{"Argon2 test.c, Argon2id", "password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"},
		{"Argon2 test.c, Argon2id with 256 KiB", "password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
		{"Argon2 test.c, Argon2i", "password", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA"},
		{"Django Argon2PasswordHasher", "password", "argon2$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA"},
	} {
		if err := CheckForeign(row.hash); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if stale, err := h.Verify(t.Context(), model.Secret(row.password), row.hash); err != nil || !stale {
			t.Errorf("%s: stale is %v, %v", row.name, stale, err)
		}
		for _, other := range []string{row.password[1:], "x" + row.password, row.password + "x"} {
			if strings.Contains(row.name, "72") && strings.HasPrefix(other, long[:72]) {
				continue
			}
			if _, err := h.Verify(t.Context(), model.Secret(other), row.hash); !errors.Is(err, ErrWrong) {
				t.Errorf("%s: another password fits: %v", row.name, err)
			}
		}
	}
}

func TestForeignHashesRefused(t *testing.T) {
	const bcrypt = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
	const sum = "c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA"
	for name, row := range map[string]struct {
		hash string
		err  error
	}{
		"empty":                             {"", ErrScheme},
		"a password in clear":               {"correct horse battery", ErrScheme},
		"MD5 crypt":                         {"$1$5pZSV9va$azfrPr6af3Fc7dLblQXVa0", ErrScheme},
		"SHA-512 crypt":                     {"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1", ErrScheme},
		"bare SHA-256":                      {strings.Repeat("5e", 32), ErrScheme},
		"LDAP":                              {"{SSHA}MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0", ErrScheme},
		"1 MB":                              {strings.Repeat("$2b$", 1<<18), ErrScheme},
		"with a line break":                 {"$2b$10$" + bcrypt + "\n", ErrScheme},
		"bcrypt of the broken kind 2x":      {"$2x$10$" + bcrypt, ErrScheme},
		"bcrypt, cost 15":                   {"$2b$15$" + bcrypt, ErrCostly},
		"bcrypt, cost 31":                   {"$2b$31$" + bcrypt, ErrCostly},
		"bcrypt, cost 3":                    {"$2b$03$" + bcrypt, ErrDamaged},
		"bcrypt, cut off":                   {"$2b$10$" + bcrypt[:40], ErrDamaged},
		"Argon2d":                           {"$argon2d$v=19$m=65536,t=2,p=1$" + sum, ErrScheme},
		"Argon2 of 2014":                    {"$argon2i$m=65536,t=2,p=1$" + sum, ErrDamaged},
		"Argon2id, 512 MiB":                 {"$argon2id$v=19$m=524288,t=1,p=1$" + sum, ErrCostly},
		"Argon2i, 512 MiB":                  {"$argon2i$v=19$m=524288,t=1,p=1$" + sum, ErrCostly},
		"Argon2id, 4 TiB":                   {"$argon2id$v=19$m=4294967295,t=1,p=1$" + sum, ErrCostly},
		"Argon2id, memory over 64 bits":     {"$argon2id$v=19$m=999999999999999999,t=1,p=1$" + sum, ErrCostly},
		"Argon2id, 256 MiB eight times":     {"$argon2id$v=19$m=262144,t=8,p=1$" + sum, ErrCostly},
		"Argon2id, four thousand million":   {"$argon2id$v=19$m=8,t=4000000000,p=1$" + sum, ErrCostly},
		"Argon2id, 200 threads":             {"$argon2id$v=19$m=65536,t=1,p=200$" + sum, ErrCostly},
		"scrypt, N no power of two":         {"scrypt$16383$seasalt$8$1$Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafQ=", ErrDamaged},
		"scrypt, 2 GiB":                     {"$scrypt$ln=21,r=8,p=1$" + sum, ErrCostly},
		"scrypt, N = 2^63":                  {"$scrypt$ln=63,r=8,p=1$" + sum, ErrCostly},
		"scrypt, r = 2^31":                  {"$scrypt$ln=1,r=2147483648,p=1$" + sum, ErrCostly},
		"scrypt, p = 1000":                  {"$scrypt$ln=10,r=8,p=1000$" + sum, ErrCostly},
		"scrypt, 256 MiB sixteen times":     {"$scrypt$ln=18,r=8,p=16$" + sum, ErrCostly},
		"scrypt, r is missing":              {"$scrypt$ln=10,p=1$" + sum, ErrDamaged},
		"scrypt, a short hash":              {"$scrypt$ln=10,r=8,p=1$c29tZXNhbHQ$AAAA", ErrDamaged},
		"PBKDF2, six million":               {"pbkdf2_sha256$6000000$salt$" + "5yPHw3rwJGECpUf70daLGhOrQ5+AMxIJdz1c3bqK1Rs=", ErrCostly},
		"PBKDF2, three million, two blocks": {"$pbkdf2-sha256$3000000$c2FsdA$" + strings.Repeat("A", 86), ErrCostly},
		"PBKDF2, no iteration":              {"pbkdf2_sha256$0$salt$" + "5yPHw3rwJGECpUf70daLGhOrQ5+AMxIJdz1c3bqK1Rs=", ErrDamaged},
		"PBKDF2, fewer than none":           {"pbkdf2_sha256$-1$salt$" + "5yPHw3rwJGECpUf70daLGhOrQ5+AMxIJdz1c3bqK1Rs=", ErrDamaged},
		"PBKDF2 with MD5":                   {"pbkdf2_md5$1000$salt$" + "5yPHw3rwJGECpUf70daLGhOrQ5+AMxIJdz1c3bqK1Rs=", ErrScheme},
		"PBKDF2, an empty hash":             {"pbkdf2_sha256$1000$salt$", ErrDamaged},
		"ASP.NET, salt past the end":        {base64.StdEncoding.EncodeToString([]byte("\x01\x00\x00\x00\x01\x00\x00\x27\x10\xff\xff\xff\xff0123456789abcdef0123456789abcdef")), ErrDamaged},
	} {
		if err := CheckForeign(row.hash); !errors.Is(err, row.err) {
			t.Errorf("%s: %v, want %v", name, err, row.err)
		}
	}
}

// The places bound hashes of every kind, and a wrong kind costs a new one's work.
func TestForeignHashesTakePlaces(t *testing.T) {
	h := cheapPasswords(t, 1, 10*time.Millisecond)
	var done []string
	h.Work = func(cost string) { done = append(done, cost) }
	for _, hash := range []string{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "pbkdf2_sha256$1000$salt$5yPHw3rwJGECpUf70daLGhOrQ5+AMxIJdz1c3bqK1Rs=", "nonsense"} {
		h.places <- struct{}{}
		if _, err := h.Verify(t.Context(), "a password", hash); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v", hash, err)
		}
		<-h.places
		if _, err := h.Verify(t.Context(), "a password", hash); !errors.Is(err, ErrWrong) {
			t.Errorf("%s: %v", hash, err)
		}
	}
	if got := strings.Join(done, "; "); got != "bcrypt 05; pbkdf2 sha256 1000; "+cheap.String() {
		t.Errorf("computed %s", got)
	}
	if _, err := h.Verify(t.Context(), "U*U\x00", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"); !errors.Is(err, ErrWrong) {
		t.Errorf("bcrypt, a zero: %v", err)
	}
}

func FuzzForeign(f *testing.F) {
	f.Add("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
	f.Add("scrypt$16384$seasalt$8$1$Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafTJ7tibgfYz71m0ldQESkXFRkdVCBhhY8mx7rQwite/Pw==")
	f.Add("$pbkdf2-sha256$i=1,l=64$c2FsdA$VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLykmsyczxebZFmRZkszncd+8xfHG4RbHjC9UJESBB06GXg")
	f.Add("AQAAAAIAACcQAAAAEAABAgMEBQYHCAkKCwwNDg9B0Oxwty+PGIDSp95gcCfzeDvA4sGapUIUov8usXfD6A==")
	f.Add("$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA")
	f.Fuzz(func(t *testing.T, text string) {
		err := CheckForeign(text)
		if err != nil && !errors.Is(err, ErrScheme) && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrCostly) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && len(text) > maxHash {
			t.Errorf("%d bytes are accepted", len(text))
		}
	})
}
