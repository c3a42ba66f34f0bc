package server

import "testing"

func TestOwnMapping(t *testing.T) {
	for head, want := range map[string][2]uintptr{
		"00400000-01302000 r-xp 00000000 fe:00 9978082                            /usr/bin/ostiary": {0x400000, 0x1302000},
		"01302000-023ab000 r--p 00f02000 fe:00 9978082                            /usr/bin/ostiary": {0x1302000, 0x23ab000},
		"023ab000-02699000 rw-p 01fab000 fe:00 9978082                            /usr/bin/ostiary": {},
		"7f12b88bd000-7f12b8a13000 r-xp 00026000 fe:00 326269                     /usr/lib/libc.so": {},
		"1d8df2c00000-1d8df3400000 rw-p 00000000 00:00 0 ":                                          {},
		"VmFlags: rd ex mr mw me": {},
		"":                        {},
	} {
		if from, to := ownMapping(head, "/usr/bin/ostiary"); [2]uintptr{from, to} != want {
			t.Errorf("%q: %x-%x", head, from, to)
		}
	}
}

// TestForgetStart: what is forgotten is there again when it is wanted.
func TestForgetStart(t *testing.T) {
	for range 3 {
		forgetStart()
		TestOwnMapping(t)
	}
}
