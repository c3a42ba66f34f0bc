// Times in words.

const day = new Intl.DateTimeFormat('en-GB', {
  weekday: 'short', year: 'numeric', month: 'long', day: 'numeric',
  hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short', hourCycle: 'h23',
})
const distance = new Intl.RelativeTimeFormat('en', { numeric: 'always' })
const units = [['year', 31557600], ['month', 2629800], ['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]]

// The largest time of a Date, in seconds.
const last = 8.64e12

/** isTime reports whether a value is a NumericDate (RFC 7519 §2) that has a name. */
export const isTime = value => typeof value === 'number' && Math.abs(value) <= last

/** moment says when a NumericDate is: "Mon, 10 June 2024 at 08:13:20 UTC". */
export const moment = seconds => day.format(new Date(seconds * 1000))

/** away says how far a NumericDate is from now: "in 5 minutes", "3 hours ago". */
export function away(seconds, now = Date.now() / 1000) {
  const gap = seconds - now
  const [unit, size] = units.find(([, size]) => Math.abs(gap) >= size) ?? units.at(-1)
  return Math.abs(gap) < 1 ? 'now' : distance.format(Math.trunc(gap / size), unit)
}

/** span says how long something lasts: "5 minutes". */
export function span(seconds) {
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? units.at(-1)
  const count = Math.trunc(seconds / size)
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
