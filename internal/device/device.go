// Package device tells what can be told to people of the devices that they are
// signed in at: browser and system by what the browser says of itself, and the
// place by the network address, where the operator knows.
//
// None of it is proof of anything: a browser may say what it likes. It decides
// nothing, and keeps nothing.
package device

import "strings"

// Kind is what a device looks like.
type Kind string

const (
	Computer Kind = "computer"
	Phone    Kind = "phone"
	Tablet   Kind = "tablet"
	Unknown  Kind = "unknown"
)

// Device is one as people know it. Names are those of products, and the same in
// every language; what is not known is empty. Versions are left out: browsers have
// ceased to tell the true ones.
type Device struct {
	Browser, System string
	Kind            Kind
}

// sign is a word in a User-Agent by which a product is known.
type sign struct{ word, name string }

// browsers by their words. Nearly all call themselves Safari and Chrome as well, so
// the order is from the particular to the general.
var browsers = []sign{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"OPX/", "Opera"}, {"Opera", "Opera"},
	{"SamsungBrowser/", "Samsung Internet"}, {"Vivaldi/", "Vivaldi"}, {"YaBrowser/", "Yandex Browser"}, {"DuckDuckGo/", "DuckDuckGo"}, {"Ddg/", "DuckDuckGo"},
	{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chromium/", "Chromium"}, {"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"},
	{"Trident/", "Internet Explorer"}, {"MSIE ", "Internet Explorer"}, {"Safari/", "Safari"},
	{"curl/", "curl"}, {"Go-http-client/", "Go"}, {"python-requests/", "Python"}, {"okhttp/", "OkHttp"}, {"CFNetwork/", "CFNetwork"},
}

// systems by their words, likewise.
var systems = []sign{
	{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"iPod", "iPod"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"},
	{"Macintosh", "macOS"}, {"Mac OS X", "macOS"}, {"Darwin/", "macOS"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"Linux", "Linux"}, {"X11", "Linux"},
}

// Parse reads a User-Agent, RFC 9110 §10.1.5. Every text has an answer.
func Parse(userAgent string) Device {
	d := Device{Browser: find(userAgent, browsers), System: find(userAgent, systems)}
	switch d.System {
	case "":
		d.Kind = Unknown
	case "iPhone", "iPod":
		d.Kind = Phone
	case "iPad":
		d.Kind = Tablet
	case "Android":
		d.Kind = Tablet
		if strings.Contains(userAgent, "Mobile") {
			d.Kind = Phone
		}
	default:
		d.Kind = Computer
	}
	return d
}

func find(text string, signs []sign) string {
	for _, s := range signs {
		if strings.Contains(text, s.word) {
			return s.name
		}
	}
	return ""
}

// Detail is how the device stands in an entry of the audit log: the system is one
// word, and the browser comes last.
func (d Device) Detail() string {
	detail := ""
	if d.System != "" {
		detail += " system=" + d.System
	}
	if d.Browser != "" {
		detail += " browser=" + d.Browser
	}
	return detail
}

// FromDetail is the device that stands in an entry of the audit log.
func FromDetail(detail string) Device {
	before, browser, _ := strings.Cut(detail, " browser=")
	_, system, _ := strings.Cut(before, " system=")
	system, _, _ = strings.Cut(system, " ")
	return Device{Browser: browser, System: system}
}
