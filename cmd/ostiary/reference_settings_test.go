package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

func referenceOfSettings(t *testing.T) string {
	told := readManual(t)
	w := newPage("Settings", "What can be said about a server, a guard and an application. "+
		"[Operate a server](../operate.md#settings) tells how settings are given; `ostiary serve --help` prints them.")
	w.para("Times are written `90s`, `30m`, `12h` or `30d`, a second or more.")
	w.para("## The server")
	w.para("Of `ostiary serve`. The name of a setting in the YAML file is that of its flag, without the dashes.")
	w.catalogue(t, ofServer, told)
	w.para("## A guard")
	w.para("Of [`ostiary guard`](../guard.md).")
	w.catalogue(t, ofGuard, told)
	w.para("## Secrets")
	w.para("They have no flag, because everybody on a machine sees the command lines of all processes.")
	var rows [][]string
	for _, secret := range secretVariables {
		rows = append(rows, []string{code(secret.name), secret.usage})
	}
	w.table([]string{"Variable", "What it is"}, rows)
	w.para("## An application")
	w.para("Of `ostiary client create` and `ostiary client update`, under the same names in the files of [`ostiary apply`](../operate.md#applications-in-a-file) as in JSON.")
	rows = nil
	for _, one := range clientSettings {
		flag := "--" + one.flag
		if name := placeholder(one.usage); name != "" {
			flag += " " + name
		}
		rows = append(rows, []string{code(flag), code(one.member), one.fallback, one.usage})
	}
	w.table([]string{"Flag", "In JSON and YAML", "Default", "What it is"}, rows)
	return w.text()
}

// catalogue writes a table for each group of settings.
func (w *writer) catalogue(t *testing.T, c catalogue, told manual) {
	var groups []group
	for _, s := range c.all {
		if !slices.Contains(groups, s.group) {
			groups = append(groups, s.group)
		}
	}
	for i, g := range groups {
		w.para("### " + g.title)
		w.para("More in " + told.link(t, g.told) + ".")
		var rows [][]string
		if i == 0 {
			rows = append(rows, []string{code("--" + configName), code(c.variable(configName)), "`FILE`", "none", "YAML `FILE` with settings under the names of these flags"})
		}
		for _, s := range c.all {
			if s.group != g {
				continue
			}
			form, fallback := s.value.form, s.shown
			if form == "" {
				form = code(placeholder(s.usage))
			}
			if fallback == "" {
				fallback = code(s.fallback)
			}
			rows = append(rows, []string{code("--" + s.name), code(c.variable(s.name)), form, fallback, s.usage})
		}
		w.table([]string{"Flag", "Variable", "Value", "Default", "What it is"}, rows)
	}
}

var namedValue = regexp.MustCompile("`([^`]+)`")

// placeholder is the word by which a usage names the value.
func placeholder(usage string) string {
	m := namedValue.FindStringSubmatch(usage)
	if m == nil {
		return ""
	}
	return m[1]
}

func referenceOfCommands(*testing.T) string {
	w := newPage("Commands", "Every command of `ostiary`. `--help` after each prints the same. All of them take `--json`, for an answer that a program reads. "+
		"They exit with 0 when it worked, 1 when it did not, and 2 when the command or a setting is wrong.")
	for _, top := range tree(shell{}).Commands {
		w.para("## " + top.Name)
		if len(top.Commands) > 0 {
			w.para(upperFirst(top.Usage) + ".")
		}
		var rows [][]string
		leaves(top, "ostiary", func(c *cli.Command, path string) {
			rows = append(rows, []string{code(strings.TrimSpace(path + " " + c.ArgsUsage)), c.Usage, strings.Join(options(c), "<br>")})
		})
		w.table([]string{"Command", "What it does", "Options"}, rows)
	}
	return w.text()
}

// leaves visits the commands that do something.
func leaves(c *cli.Command, above string, visit func(*cli.Command, string)) {
	path := above + " " + c.Name
	if len(c.Commands) == 0 {
		visit(c, path)
	}
	for _, sub := range c.Commands {
		leaves(sub, path, visit)
	}
}

// options are the flags of a command; those that are settings stand on their page.
func options(c *cli.Command) []string {
	var all []string
	settings, ofClient := false, false
	for _, f := range c.Flags {
		name := f.Names()[0]
		doc := f.(cli.DocGenerationFlag)
		switch {
		case len(doc.GetEnvVars()) > 0:
			settings = true
			continue
		case slices.ContainsFunc(clientSettings, func(s clientSetting) bool { return s.flag == name && s.usage == doc.GetUsage() }):
			ofClient = true
			continue
		}
		flag := "--" + name
		if value := placeholder(doc.GetUsage()); value != "" {
			flag += " " + value
		}
		all = append(all, code(flag)+": "+doc.GetUsage())
	}
	if settings {
		all = append([]string{"[settings](settings.md)"}, all...)
	}
	if ofClient {
		all = append([]string{"[settings of an application](settings.md#an-application)"}, all...)
	}
	return all
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
