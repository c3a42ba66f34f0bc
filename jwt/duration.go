package jwt

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a span of time as jsonwebtoken's options do, in the syntax of
// the package ms: "2 days", "10h", "7d", "1.5 hrs", "-3 min", in upper or lower case.
// One number and one unit; years have 365.25 days, and there are no months. A
// number without a unit is milliseconds there, and so it is here: "86400" is less
// than a minute and a half.
//
// Go's own syntax ("1h30m") is read by [time.ParseDuration]. The error wraps
// ErrOptions.
func ParseDuration(text string) (time.Duration, error) {
	end := 0
	for end < len(text) && (text[end] == '-' && end == 0 || text[end] == '.' || '0' <= text[end] && text[end] <= '9') {
		end++
	}
	number, unit := text[:end], strings.ToLower(strings.TrimLeft(text[end:], " "))
	size, known := durationUnits[unit]
	// Digits before the point are optional, digits after it are not.
	value, err := strconv.ParseFloat(number, 64)
	if len(text) > 100 || err != nil || !known || strings.HasSuffix(number, ".") {
		return 0, fmt.Errorf("%w: a span of time is a number and a unit, like \"2 days\" or \"10h\"", ErrOptions)
	}
	span := value * float64(size)
	if math.Abs(span) > math.MaxInt64/2 {
		return 0, fmt.Errorf("%w: a span of more than a hundred years", ErrOptions)
	}
	return time.Duration(math.Round(span)), nil
}

var durationUnits = func() map[string]time.Duration {
	const day = 24 * time.Hour
	units := make(map[string]time.Duration)
	for _, row := range []struct {
		size  time.Duration
		names string
	}{
		{time.Millisecond, " milliseconds millisecond msecs msec ms"},
		{time.Second, "seconds second secs sec s"},
		{time.Minute, "minutes minute mins min m"},
		{time.Hour, "hours hour hrs hr h"},
		{day, "days day d"},
		{7 * day, "weeks week w"},
		{day*365 + day/4, "years year yrs yr y"},
	} {
		for name := range strings.SplitSeq(row.names, " ") {
			units[name] = row.size
		}
	}
	return units
}()
