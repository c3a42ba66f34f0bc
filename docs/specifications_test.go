package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testLink = regexp.MustCompile(`\[((?:Test|Fuzz)\w+)\]\(\.\./(\S+?)\)`)
	citation = regexp.MustCompile(`\bRFC (\d{3,5})\b|\b(draft-[a-z]+-[a-z0-9-]+)`)
	// openID are the names of other texts that the source cites.
	openID = regexp.MustCompile(`\b(OpenID Connect (?:Core|Discovery|Dynamic Client Registration|RP-Initiated Logout|Back-Channel Logout|Front-Channel Logout|Session Management)|` +
		`OpenID Shared Signals Framework|CAEP Interoperability Profile|(?:CAEP|RISC) 1\.0|SAML V2\.0|WCAG 2\.2|SP 800-63B-4)`)
)

// TestSpecifications: every test that the page names exists, what is supported has one,
// and what the source cites has a row.
func TestSpecifications(t *testing.T) {
	page := read(t, "docs/specifications.md")
	for _, m := range testLink.FindAllStringSubmatch(page, -1) {
		text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(m[2])))
		if err != nil || !strings.Contains(string(text), "\nfunc "+m[1]+"(") {
			t.Errorf("there is no %s in %s", m[1], m[2])
		}
	}
	var named strings.Builder
	for _, row := range rows(page) {
		named.WriteString(row[0] + " " + row[len(row)-2] + "\n")
		if len(row) != 4 {
			continue
		}
		if status := row[2]; !strings.HasPrefix(status, "not") && status != "Status" && !testLink.MatchString(row[3]) {
			t.Errorf("%s is said to be supported, %q, and no test holds it", row[0], status)
		}
	}
	for name, file := range cited(t) {
		if !regexp.MustCompile(regexp.QuoteMeta(name) + `(?:\W|$)`).MatchString(named.String()) {
			t.Errorf("%s is cited in %s and has no row in docs/specifications.md", name, file)
		}
	}
}

// cited lists the specifications that the source cites, each with a file that does.
func cited(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && strings.HasPrefix(e.Name(), ".") && e.Name() != ".." {
			return errOrSkip(err)
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// A comment may break between the words of a name.
		prose := regexp.MustCompile(`\n\s*//\s*|\s+`).ReplaceAllString(string(text), " ")
		for _, m := range citation.FindAllStringSubmatch(prose, -1) {
			name := m[2]
			if m[1] != "" {
				name = "RFC " + m[1]
			}
			all[strings.TrimSuffix(name, "-")] = path
		}
		for _, m := range openID.FindAllString(prose, -1) {
			all[m] = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 60 {
		t.Fatalf("only %d specifications are cited", len(all))
	}
	return all
}

func errOrSkip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}
