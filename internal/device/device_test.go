package device

import "testing"

func TestParse(t *testing.T) {
	const like = "Mozilla/5.0 "
	for agent, want := range map[string]Device{
		like + "(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36":                                    {"Chrome", "Windows", Computer},
		like + "(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0":                      {"Edge", "Windows", Computer},
		like + "(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 OPR/116.0.0.0":                      {"Opera", "Windows", Computer},
		like + "(Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko":                                                                               {"Internet Explorer", "Windows", Computer},
		like + "(Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0":                                                                   {"Firefox", "Windows", Computer},
		like + "(X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0":                                                                             {"Firefox", "Linux", Computer},
		like + "(X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36":                                     {"Chrome", "ChromeOS", Computer},
		like + "(X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36":                                      {"Chrome", "Linux", Computer},
		like + "(Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15":                              {"Safari", "macOS", Computer},
		like + "(iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1":            {"Safari", "iPhone", Phone},
		like + "(iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1":     {"Chrome", "iPhone", Phone},
		like + "(iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/133.0 Mobile/15E148 Safari/605.1.15":                   {"Firefox", "iPad", Tablet},
		like + "(Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36":                                    {"Chrome", "Android", Phone},
		like + "(Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36":                                           {"Chrome", "Android", Tablet},
		like + "(Linux; Android 14; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36": {"Samsung Internet", "Android", Phone},
		"curl/8.11.0":                       {"curl", "", Unknown},
		"":                                  {"", "", Unknown},
		"<script>alert(1)</script>\x00\xff": {"", "", Unknown},
	} {
		if got := Parse(agent); got != want {
			t.Errorf("%q is %+v, want %+v", agent, got, want)
		}
		again := FromDetail("session=abc" + want.Detail())
		if again.Browser != want.Browser || again.System != want.System {
			t.Errorf("%+v comes back as %+v", want, again)
		}
	}
	if got := FromDetail("too many accounts in one browser, session=x"); got != (Device{}) {
		t.Errorf("a detail without a device has %+v", got)
	}
}
