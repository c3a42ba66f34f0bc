package main

import (
	"fmt"
	"strconv"

	"github.com/ostiary/ostiary/internal/limit"
)

var groupLimit = group{"Limits", "limits.md"}

// limitSettings are how much may be asked of the server.
var limitSettings = []setting{
	{"limit-address", groupLimit, "`NUMBER` of requests in a minute from one network address (of IPv6, one /64) by callers who have not proven who they are, or off; this machine is not limited", "6000", "", rate(func(r *limit.Rates) *int { return &r.Address })},
	{"limit-begun", groupLimit, "`NUMBER` of sign-ins and devices in a minute that one address may begin and leave waiting, or off", "600", "", rate(func(r *limit.Rates) *int { return &r.Begun })},
	{"limit-client", groupLimit, "`NUMBER` of requests in a minute of one application that has proven who it is, or off", "60000", "", rate(func(r *limit.Rates) *int { return &r.Client })},
	{"limit-account", groupLimit, "`NUMBER` of requests in a minute of one person on their own pages, and as many through each application, or off", "600", "", rate(func(r *limit.Rates) *int { return &r.Account })},
	{"limit-waiting", groupLimit, "`NUMBER` of sign-ins that may wait for their person at once, of all addresses together", "100000", "", number(100, 100_000_000, func(s *settings, n int) { s.Waiting = n })},
}

// rate reads how much there may be of something in a minute.
func rate(field func(*limit.Rates) *int) value {
	return value{"1 to 10000000, or off", func(s *settings, v string) error {
		if v == "off" {
			*field(&s.Limits) = limit.Off
			return nil
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 10_000_000 {
			return fmt.Errorf("%q is neither a whole number between 1 and 10000000 nor off", v)
		}
		*field(&s.Limits) = n
		return nil
	}}
}
