// The page: what is typed goes to the modules that know, and what they say comes
// back. Nothing is stored, and nothing is sent.

import * as compute from './compute.js'
import { JSONError, parse, plain, pretty, compact, put, remove } from './json.js'
import * as keys from './keys.js'
import * as problems from './problems.js'
import * as remote from './remote.js'
import { contents, read } from './token.js'
import { $, make, paint, problems as listProblems, rows, tell, tick, tips } from './view.js'

let token = read('')
let opened = null // what was inside an encrypted token: {text, node, map, problems}
let fetched = null // the last set of keys: {url, text}
let edited = {} // halves whose editor holds what is not in the token
let broughtKey = null // the key that a link brought
let turn = 0 // of check: an older one must not overwrite a newer one

const claimsNow = () => token.kind === 'jwe' ? opened : token.payload

// Reading

function readToken() {
  token = read($('token').value)
  opened = null
  edited = {}
  paint($('paint'), $('token').value)
  fill('header', token.header)
  fill('claims', token.payload)
  const alg = token.header?.map?.get('alg')
  for (const select of [$('sign-alg'), $('enc-alg')]) {
    if ([...select.options].some(option => option.value === alg)) select.value = alg
  }
  showAll()
  check()
}

// fill writes one half of a token into its editor.
function fill(half, part) {
  $(`${half}-text`).value = part?.node ? pretty(part.node) : part?.text ?? ''
  grow($(`${half}-text`))
}

function showAll() {
  showProblems(allProblems())
  showHalf('header', token.header, 'What the token says about itself: its kind, its algorithm, its key.')
  showHalf('claims', claimsNow(), token.kind === 'jwe' ? 'They are encrypted: the key opens them.' : 'What the token tells: who issued it, whom it is about, for whom it is, and until when.')
}

// showProblems lists what is wrong, and says how much.
function showProblems(list) {
  const { kind, parts, text } = token
  const alg = token.header?.map?.get('alg')
  const notes = list.filter(p => p.level === 'note').length, faults = list.length - notes
  const what = { empty: '', unknown: 'Not a token', jws: 'Signed token', jwe: 'Encrypted token' }[kind]
  const shape = kind === 'empty' ? '' : [
    what, typeof alg === 'string' ? alg.slice(0, 40) : '', count(parts.length, 'part'), count(text.length, 'character'),
    faults ? count(faults, 'problem') : 'no problems', notes ? count(notes, 'note') : '',
  ].filter(Boolean).join(' · ')
  if ($('shape').textContent !== shape) $('shape').textContent = shape
  return listProblems(list)
}

const count = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`

// pass lets time pass: a token may expire while it is looked at.
function pass() {
  tick()
  if (showProblems(allProblems())) check()
}

function allProblems() {
  const claims = claimsNow()
  const type = token.header?.map?.get('typ')
  const list = [...token.problems, ...problems.ofHeader(token), ...opened?.problems ?? [], ...problems.ofClaims(claims, type)]
  const order = { bad: 0, warn: 1, note: 2 }
  return list.sort((a, b) => order[a.level] - order[b.level])
}

// showHalf draws the header or the claims from the editor, which may hold newer
// ones than the token.
function showHalf(half, part, otherwise) {
  const view = $(`${half}-view`), note = $(`${half}-note`)
  const { [half]: changed } = edited
  note.textContent = changed ? half === 'header' ? 'Changed. Sign to put it into the token.' : 'Changed. Sign or encrypt to put them into the token.' : ''
  let node = part?.node
  if (changed) node = lenient($(`${half}-text`).value, error => { note.textContent = `This is not JSON: ${error}.` })
  if (node?.kind === 'object') rows(view, node, half)
  else if (part?.inner && !changed) view.replaceChildren(inner(part))
  else if (part?.text) view.replaceChildren(make('pre', { className: 'raw', textContent: part.text }))
  else view.replaceChildren(make('p', { className: 'hint', textContent: otherwise }))
}

function lenient(text, complain) {
  try {
    const { node, duplicates } = parse(text)
    if (duplicates.length) complain(`"${duplicates[0]}" comes more than once`)
    if (node.kind !== 'object') complain('it must be an object, in braces')
    return node
  } catch (error) {
    if (!(error instanceof JSONError)) throw error
    complain(error.message)
  }
}

// inner offers the token inside an encrypted one.
function inner(part) {
  const open = make('button', { type: 'button', className: 'secondary', id: 'open-inner', textContent: 'Open it' })
  open.addEventListener('click', () => {
    setToken(part.text)
    $('token').focus()
  })
  return make('div', { className: 'inner' }, make('p', { textContent: 'Inside is another token. It was decrypted, but not verified yet.' }), make('pre', { className: 'raw', textContent: part.text }), open)
}

function setToken(text) {
  $('token').value = text
  readToken()
}

// Keys

const kindOf = () => document.querySelector('[name="kind"]:checked').value

async function givenKeys() {
  switch (kindOf()) {
    case 'secret': return keys.fromSecret($('secret').value, document.querySelector('[name="encoding"]:checked').value)
    case 'pem': return keys.fromPEM($('pem').value)
    case 'jwk': return keys.fromJWK($('jwk').value)
  }
  return fetched && fetched.url === $('url').value.trim() ? keys.fromJWK(fetched.text) : []
}

function setKind(kind) {
  document.querySelector(`[name="kind"][value="${kind}"]`).checked = true
  showKind()
}

function showKind() {
  for (const box of document.querySelectorAll('[data-kind]')) box.hidden = box.dataset.kind !== kindOf()
  for (const area of document.querySelectorAll('[data-kind] textarea')) grow(area)
}

async function fetchSet(event) {
  event.preventDefault()
  const text = $('url').value.trim()
  $('fetch').disabled = true
  $('key-note').textContent = 'Fetching …'
  try {
    const set = await remote.load(remote.check(text))
    if (keys.fromJWK(set).length === 0) throw new keys.KeyError('The set has no key in it.')
    fetched = { url: text, text: set }
    await check()
  } catch (error) {
    fetched = null
    await check()
    $('key-note').textContent = sentence(error)
  }
  $('fetch').disabled = false
}

// sentence says what an error means. An error that nobody foresaw is shown too,
// and goes to the console with its stack.
function sentence(error) {
  if (error instanceof keys.KeyError) return error.message
  console.error(error)
  return `Something went wrong in this page: ${error.message}`
}

// check verifies or decrypts with the key that is given.
async function check() {
  const mine = ++turn
  let given = [], note = ''
  try {
    given = await givenKeys()
  } catch (error) {
    note = sentence(error)
  }
  const result = await outcome(given)
  if (mine !== turn) return
  if (!note && kindOf() === 'url' && given.length) note = `Fetched ${count(given.length, 'key')}.`
  if (!note && given.length > 1) note = `${given.length} keys.`
  if (!note && kindOf() === 'jwk' && given.length && $('jwk').value === broughtKey) note = 'This key came with the link. Whoever made the link chose it.'
  $('key-note').textContent = note
  await showPublic(given)
  opened = result.opened ?? null
  if (opened && !edited.claims) fill('claims', opened)
  if (opened || token.kind === 'jwe') showAll()
  tell($('verdict'), result.state, result.title, result.detail)
}

// outcome returns what a person is told about the token: {state, title, detail}.
async function outcome(given) {
  if (token.kind === 'empty' || token.kind === 'unknown') return { state: '' }
  const broken = [...token.problems, ...problems.ofHeader(token)].find(p => p.level === 'bad')
  const seal = token.kind === 'jws'
  if (broken) return { state: 'bad', title: seal ? 'Not verified' : 'Not decrypted', detail: broken.text }
  if (given.length === 0) return { state: 'key', title: seal ? 'Not verified yet' : 'Not decrypted yet', detail: 'Give the key.' }
  try {
    return seal ? verdict(await compute.verify(token, given)) : open(await compute.decrypt(token, given))
  } catch (error) {
    return { state: 'bad', title: seal ? 'Not verified' : 'Not decrypted', detail: sentence(error) }
  }
}

// verdict says that a signature fits, and never without what else is wrong.
function verdict({ key, remark }) {
  const detail = `It was signed with ${compute.summary(key)}. ${remark}`.trim()
  const wrong = allProblems().find(p => p.level === 'bad')
  if (wrong) return { state: 'warn', title: 'Signature verified, but the token is not good', detail: wrong.text }
  return { state: remark ? 'warn' : 'good', title: 'Signature verified', detail }
}

function open({ key, bytes }) {
  const found = []
  const text = new TextDecoder().decode(bytes)
  const nested = /^eyJ[\w-]+(?:\.[\w-]*){2}(?:(?:\.[\w-]*){2})?$/.test(text.trim())
  const part = nested ? { text, inner: true } : contents(bytes, 'content', (text, clause) => found.push({ level: 'bad', text, clause }))
  return { state: 'good', title: 'Decrypted', detail: `It was encrypted for ${compute.summary(key)}.`, opened: { ...part, problems: found } }
}

async function showPublic(given) {
  const jwk = given.length === 1 && given[0].kty !== 'oct' && keys.isPrivate(given[0]) ? given[0] : null
  $('public').hidden = !jwk
  if (!jwk) return
  $('public-jwk').value = JSON.stringify(keys.publicOf(jwk), null, 2)
  try {
    $('public-pem').value = await keys.publicPEM(jwk, jwk.alg ?? algorithmNow())
  } catch {
    $('public-pem').value = '' // for another algorithm than the chosen one
  }
}

// Making

const signing = () => $('mode-sign').getAttribute('aria-pressed') === 'true'
const algorithmNow = () => signing() ? $('sign-alg').value : $('enc-alg').value

function setMode(mode) {
  press('mode-sign', mode === 'sign')
  press('mode-encrypt', mode !== 'sign')
  for (const box of document.querySelectorAll('[data-mode]')) box.hidden = box.dataset.mode !== mode
  $('make').textContent = mode === 'sign' ? 'Sign' : 'Encrypt'
  tell($('outcome'), '')
}

const press = (id, on) => $(id).setAttribute('aria-pressed', on)

// editorNode reads one of the editors as an object, or throws a KeyError.
function editorNode(half, fallback) {
  const text = $(`${half}-text`).value.trim() || fallback
  const node = lenient(text, error => { throw new keys.KeyError(`The ${half} ${half === 'header' ? 'is' : 'are'} not JSON: ${error}.`) })
  return node
}

// signedHeader is the header of the editor with the algorithm of the select, and
// without what only an encrypted token has.
function signedHeader() {
  const node = editorNode('header', '{"typ":"JWT"}')
  put(node, 'alg', $('sign-alg').value)
  if (token.kind === 'jwe' || node.members.some(m => m.name === 'enc')) {
    for (const name of ['enc', 'zip', 'epk', 'apu', 'apv', 'iv', 'tag', 'p2s', 'p2c', 'cty', 'kid']) remove(node, name)
  }
  return JSON.parse(compact(node))
}

async function makeToken() {
  $('make').disabled = true
  try {
    const given = await givenKeys()
    if (given.length === 0) throw new keys.KeyError('Give a key above, or generate one.')
    const alg = algorithmNow()
    const made = signing() ? await compute.sign(signedHeader(), compact(editorNode('claims', '{}')), given) : await encryptNow(given)
    setToken(made)
    tell($('outcome'), 'good', signing() ? `Signed with ${alg}` : `Encrypted with ${alg}`, 'The new token is above.')
  } catch (error) {
    tell($('outcome'), 'bad', signing() ? 'Not signed' : 'Not encrypted', sentence(error))
  }
  $('make').disabled = false
}

function encryptNow(given) {
  const header = { alg: $('enc-alg').value, enc: $('enc').value }
  if ($('inside').value === 'claims') return compute.encrypt({ ...header, typ: 'JWT' }, compact(editorNode('claims', '{}')), given)
  if (token.kind !== 'jws') throw new keys.KeyError('There is no signed token to encrypt: sign one first.')
  return compute.encrypt({ ...header, cty: 'JWT' }, token.text, given)
}

async function generate() {
  $('generate').disabled = true
  try {
    const jwk = await keys.generate(algorithmNow(), $('enc').value)
    setKind('jwk')
    $('jwk').value = JSON.stringify(jwk, null, 2)
    grow($('jwk'))
    await check()
    tell($('outcome'), 'key', 'A new key is above', `It is ${keys.describe(jwk)} for ${jwk.alg}. Keep it if you need it again: this page does not.`)
  } catch (error) {
    tell($('outcome'), 'bad', 'No key', sentence(error))
  }
  $('generate').disabled = false
}

async function example() {
  const now = Math.floor(Date.now() / 1000)
  const jwk = await keys.generate('ES256')
  const claims = {
    iss: 'https://login.example.com', sub: 'alice', aud: 'https://api.example.com', client_id: 'shop', scope: 'openid orders:read',
    iat: now, exp: now + 300, auth_time: now - 3600, jti: crypto.randomUUID(), sid: 'f2c7', roles: ['buyer', 'admin'],
  }
  setKind('jwk')
  $('jwk').value = JSON.stringify(jwk, null, 2)
  setMode('sign')
  setToken(await compute.sign({ alg: 'ES256', typ: 'at+jwt' }, JSON.stringify(claims), [jwk]))
  showKind()
}

// Wiring

function edit(half) {
  edited[half] = true
  grow($(`${half}-text`))
  const alg = half === 'header' && lenient($('header-text').value, () => {})
  const value = alg?.kind === 'object' && plain(alg).get('alg')
  if ([...$('sign-alg').options].some(option => option.value === value)) $('sign-alg').value = value
  showAll()
}

function toggle(half, json) {
  press(`${half}-explain`, !json)
  press(`${half}-json`, json)
  $(`${half}-edit`).hidden = !json
  $(`${half}-view`).hidden = json
  grow($(`${half}-text`))
}

// grow makes a field as high as what is in it, up to a limit of the style sheet.
function grow(area) {
  if (!area.offsetParent) return // it is not shown, and has no height
  area.style.height = 'auto'
  area.style.height = `${area.scrollHeight + 2}px`
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text)
    button.textContent = 'Copied'
  } catch {
    button.textContent = 'Not permitted'
  }
  setTimeout(() => { button.textContent = 'Copy' }, 1500)
}

function wire() {
  let waiting = 0
  const soon = act => () => {
    clearTimeout(waiting)
    waiting = setTimeout(act, 200)
  }
  $('token').addEventListener('input', () => {
    tell($('outcome'), '') // it was about the token before
    readToken()
  })
  for (const id of ['secret', 'pem', 'jwk']) {
    $(id).addEventListener('input', soon(check))
    $(id).addEventListener('input', () => grow($(id)))
  }
  $('url').addEventListener('input', soon(check))
  $('url-form').addEventListener('submit', fetchSet)
  for (const radio of document.querySelectorAll('[name="kind"], [name="encoding"]')) {
    radio.addEventListener('change', () => { showKind(); check() })
  }
  for (const half of ['header', 'claims']) {
    $(`${half}-text`).addEventListener('input', () => edit(half))
    $(`${half}-explain`).addEventListener('click', () => toggle(half, false))
    $(`${half}-json`).addEventListener('click', () => toggle(half, true))
  }
  $('mode-sign').addEventListener('click', () => setMode('sign'))
  $('mode-encrypt').addEventListener('click', () => setMode('encrypt'))
  $('make').addEventListener('click', makeToken)
  $('generate').addEventListener('click', generate)
  $('example').addEventListener('click', example)
  $('clear').addEventListener('click', () => { tell($('outcome'), ''); setToken(''); $('token').focus() })
  $('copy').addEventListener('click', () => copy($('copy'), token.text))
  $('public').addEventListener('toggle', () => { grow($('public-jwk')); grow($('public-pem')) })
  $('copy-jwk').addEventListener('click', () => copy($('copy-jwk'), $('public-jwk').value))
  $('copy-pem').addEventListener('click', () => copy($('copy-pem'), $('public-pem').value))
  addEventListener('resize', () => document.querySelectorAll('textarea.code').forEach(grow))
  tips()
  setInterval(pass, 5000)
}

wire()
showKind()
$('bench').hidden = false

// bring takes the token that a link brought behind the #, which no browser sends
// to a server, out of the address: so it does not stay in the history. A public key
// may come along. It says nothing about who made the token, and so the page says
// where it is from; a link has no business with a private one.
function bring() {
  const fragment = new URLSearchParams(location.hash.slice(1))
  if (location.hash) history.replaceState(null, '', location.pathname)
  const [brought, key] = [fragment.get('token'), fragment.get('jwk')]
  if (brought && key) bringKey(key)
  if (brought) setToken(brought)
}

function bringKey(text) {
  let set = []
  try {
    set = keys.fromJWK(text)
  } catch (error) {
    if (!(error instanceof keys.KeyError)) throw error
  }
  if (set.length === 0 || set.some(keys.isPrivate)) return // a shared secret counts as private
  setKind('jwk')
  $('jwk').value = text
  broughtKey = text
}

setToken($('token').value)
bring()
addEventListener('hashchange', bring)
