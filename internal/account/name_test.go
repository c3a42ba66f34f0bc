package account

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]Reason{
		"": "", "Ada Lovelace": "", "Олена Ковальчук": "", "山田 太郎": "", "ヤマダ・タロウ": "", "山田Taro": "", "김철수": "", "Nguyễn Văn An": "", "O’Brien-Šmídová Jr.": "",
		"Олена (Helen) Ковальчук": "", "Ντόρα Smith": "", "نور الدین": "", "می\u200cخواهم": "", "क्\u200dष": "", "X Æ A-12": "", "😀 Ann": "", "葛\U000e0100城": "",
		"аdmin":           Mixed, // Cyrillic а
		"Оlena":           Mixed, // Cyrillic О
		"Ann Οlsen":       Mixed, // Greek Ο
		"pаypal":          Mixed,
		"Ada\u202eecalps": Unseen, "Ada\u2066x\u2069": Unseen, "A\u200bda": Unseen, "A\ufeffda": Unseen, "A\u00adda": Unseen, "A\u200dda": Unseen, "\u200cAda": Unseen, "山\u200d田": Unseen,
		"\u3164": Unseen, "Ada\u2028x": Unseen, "A\U000e0041da": Unseen, "A\ufe0fda": Unseen, "\ue000": Unseen, "\u2800": Unseen,
		"Ada\nx": NotOneLine, "Ada\x00": NotOneLine, "\u0085": NotOneLine,
		strings.Repeat("a", 201): TooLong,
	} {
		if got := nameReason(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
