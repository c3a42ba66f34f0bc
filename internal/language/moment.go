package language

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // people have zones, and their server may know of none
)

// Zone is that of a "zoneinfo" claim, UTC where it says nothing that is known.
func Zone(name string) *time.Location {
	if name == "" || name == "Local" {
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// Date writes a time, in seconds since 1970, to the minute and as the clocks show it
// in a zone, with the name of the zone.
func (m Texts) Date(unix int64, zone *time.Location) (string, error) {
	return m.when("date.text", time.Unix(unix, 0).In(zone))
}

// Moment writes a time, in seconds since 1970, to the minute and as the clocks show
// it in a zone. Which one that is, it does not say.
func (m Texts) Moment(unix int64, zone *time.Location) (string, error) {
	return m.when("date.moment", time.Unix(unix, 0).In(zone))
}

// Day writes a day as it stands in a calendar.
func (m Texts) Day(t time.Time) (string, error) { return m.when("date.day", t) }

func (m Texts) when(key string, t time.Time) (string, error) {
	months, err := m.Fill("date.months")
	if err != nil {
		return "", err
	}
	names := strings.Fields(months)
	if len(names) != 12 {
		return "", fmt.Errorf("language: date.months in %s names %d months", m.Tag, len(names))
	}
	return m.Fill(key, "year", strconv.Itoa(t.Year()), "month", names[t.Month()-1], "day", strconv.Itoa(t.Day()), "time", t.Format("15:04"), "zone", t.Location().String())
}
