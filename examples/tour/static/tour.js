// What moves: clocks, Bob's calls, and buttons that need no new page. Every page
// works without it, but for the calls.

const $ = id => document.getElementById(id)

// Clocks: how long a token is good yet.
function left(moment) {
  const seconds = Math.round(moment - Date.now() / 1000)
  if (seconds <= 0) return ''
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
}

function tick() {
  for (const clock of document.querySelectorAll('[data-until]')) clock.textContent = left(clock.dataset.until) || 'no longer: renew it'
}

for (const value of document.querySelectorAll('[data-moment]')) {
  value.textContent = new Date(value.dataset.moment * 1000).toLocaleTimeString()
}
if (document.querySelector('[data-until]')) {
  tick()
  setInterval(tick, 1000)
}

// Who comes back from another application sees at once what has changed.
if (document.body.dataset.scene === 'single-sign-on') {
  document.addEventListener('visibilitychange', () => { if (!document.hidden) location.reload() })
}

// Bob's calls, as the server streams them.
const pane = $('bob-pane')
const shown = 72 // calls in the strip

function call({ n, status }) {
  const mark = document.createElement('i')
  mark.className = status === 200 ? '' : status === 401 || status === 403 ? 'no' : 'wait'
  $('strip').append(mark)
  while ($('strip').childElementCount > shown) $('strip').firstChild.remove()
  $('calls').textContent = n
}

function standing(s) {
  pane.dataset.signed = s.signed_in
  pane.dataset.locked = s.locked
  pane.dataset.refused = Boolean(s.status)
  // The call that was refused first may have been another window's.
  if (s.status && $('strip').lastChild?.className !== 'no') call({ n: $('calls').textContent, status: s.status })
  if (s.signed_in && !s.status) for (const old of [...$('strip').querySelectorAll('.no')]) old.remove()
  $('refused-status').textContent = s.status ?? ''
  $('refused-says').textContent = s.says ?? ''
  if (!$('desk')) return
  $('account').textContent = s.locked ? 'locked' : 'active'
  $('measured').classList.toggle('nothing', s.after === undefined)
  $('after').textContent = s.after ?? ''
  $('from').textContent = s.from ?? ''
  if (s.after !== undefined) done('lock')
}

// done ticks a scene off in the list, as the server has in its cookie.
function done(scene) {
  document.querySelector(`[data-step="${scene}"]`)?.classList.add('done')
  $('next').className = 'primary'
}

if (pane) {
  const calls = new EventSource('/bob/calls')
  calls.addEventListener('call', event => call(JSON.parse(event.data)))
  calls.addEventListener('standing', event => standing(JSON.parse(event.data)))
  addEventListener('pagehide', () => calls.close())

  for (const form of document.querySelectorAll('form[data-quiet]')) form.addEventListener('submit', async event => {
    event.preventDefault()
    const button = form.querySelector('button')
    if (button.ariaBusy === 'true') return
    button.ariaBusy = 'true'
    try {
      // What came of it is told by the stream.
      const answer = await fetch(form.action, { method: 'POST' })
      if (!answer.ok) throw new Error(answer.status)
    } catch {
      form.submit() // the page that says why
    }
    button.ariaBusy = 'false'
  })
}

$('window')?.addEventListener('click', event => {
  const opened = open(event.currentTarget.href, 'bob', 'popup,width=460,height=460')
  if (opened) event.preventDefault()
})
