// Draws: only with textContent and elements, never with markup from a text.

import { plain, pretty } from './json.js'
import { away, isTime, moment } from './time.js'
import { algorithm, claims, content, headers, kind, times } from './words.js'

export const $ = id => document.getElementById(id)

/** make returns an element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children)
  return element
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  svg.setAttribute('class', 'icon')
  svg.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use')
  use.setAttribute('href', `#icon-${name}`)
  svg.append(use)
  return svg
}

/** tell shows a result: state is good, bad, warn, key or "" for none. */
export function tell(box, state, title = '', detail = '') {
  if (box.dataset.said === state + title + detail) return // a live region speaks at every change
  box.dataset.said = state + title + detail
  box.dataset.state = state
  box.replaceChildren()
  if (!title) return
  const words = make('span', {}, make('strong', { textContent: title }))
  if (detail) words.append(make('span', { textContent: detail }))
  box.append(icon(state), words)
}

/** paint colours the parts of a token, below the text that is typed. */
export function paint(box, text) {
  const parts = text.split('.')
  const five = parts.length === 5
  box.replaceChildren(...parts.flatMap((part, i) => {
    const tone = five ? ['one', 'four', 'four', 'two', 'three'][i] : ['one', 'two', 'three'][i] ?? 'four'
    const span = make('span', { className: tone, textContent: part })
    return i === 0 ? [span] : [make('span', { className: 'dot', textContent: '.' }), span]
  }), '\n') // so that an empty last line has its height
}

/** rows lists the members of an object with their values and what they mean. */
export function rows(box, node, about) {
  const list = make('dl', { className: 'members' })
  for (const member of node.members) list.append(row(member, about))
  box.replaceChildren(node.members.length ? list : make('p', { className: 'hint', textContent: 'It is empty.' }))
}

function row({ name, node }, about) {
  const known = about === 'header' ? headers : claims
  const button = make('button', { type: 'button', className: Object.hasOwn(known, name) ? 'name' : 'name own', textContent: name })
  button.dataset.about = about
  const value = make('dd', {}, make('code', { className: node.kind, textContent: pretty(node) }))
  const words = inWords(name, node, about)
  if (words) {
    const note = make('span', { className: 'words', textContent: words })
    if (about === 'claims' && times.has(name)) note.dataset.time = plain(node)
    value.append(note)
  }
  return make('div', {}, make('dt', {}, button), value)
}

function inWords(name, node, about) {
  const value = plain(node)
  if (about === 'claims') return times.has(name) && isTime(value) ? time(value) : ''
  if (typeof value !== 'string') return ''
  return { __proto__: null, alg: algorithm, enc: content, typ: kind }[name]?.(value) ?? ''
}

const time = seconds => `${moment(seconds)}, ${away(seconds)}`

/** tick brings the times in words up to date. */
export function tick() {
  for (const note of document.querySelectorAll('[data-time]')) {
    const words = time(Number(note.dataset.time))
    if (note.textContent !== words) note.textContent = words
  }
}

/** problems lists what is wrong, and returns whether that is something new. */
export function problems(list) {
  const box = $('problems').dataset
  const kinds = JSON.stringify(list.map(p => [p.level, p.clause])), text = JSON.stringify(list)
  const isNew = box.kinds !== kinds
  if (box.text === text) return false
  Object.assign(box, { kinds, text })
  $('problems-card').hidden = list.length === 0
  $('problems-count').textContent = list.length
  $('problems-title').textContent = list.every(p => p.level === 'note') ? 'Notes' : 'Problems'
  $('problems').replaceChildren(...list.map(({ level, text, clause }) => {
    const words = make('span', {}, make('span', { className: 'unseen', textContent: { bad: 'Error: ', warn: 'Warning: ', note: 'Note: ' }[level] }), text)
    if (clause) words.append(make('span', { className: 'where', textContent: clause }))
    return make('li', { className: level }, icon(level), words)
  }))
  return isNew
}

/** tips explain a name while the pointer or the focus is on it, or after a tap. */
export function tips() {
  const tip = $('tip')
  let on = null, leaving = 0
  const hide = () => {
    on?.removeAttribute('aria-describedby')
    on = null
    tip.hidden = true
  }
  const show = button => {
    clearTimeout(leaving)
    if (on === button) return
    hide()
    on = button
    const name = button.textContent, about = button.dataset.about
    const known = about === 'header' ? headers : claims
    const [what, where] = Object.hasOwn(known, name) ? known[name] : ['Not a registered name: what it means is between the issuer and the reader.', about === 'header' ? 'RFC 7515 §4.3' : 'RFC 7519 §4.3']
    $('tip-what').textContent = what
    $('tip-where').textContent = where
    button.setAttribute('aria-describedby', 'tip')
    tip.hidden = false
    place(tip, button)
  }
  const nameAt = event => event.target.closest?.('button.name')
  const leave = () => {
    clearTimeout(leaving)
    leaving = setTimeout(() => on?.matches(':focus-visible') || hide(), 150)
  }
  document.addEventListener('focusin', event => { if (nameAt(event)) show(nameAt(event)) })
  document.addEventListener('focusout', hide)
  document.addEventListener('click', event => {
    if (nameAt(event)) show(nameAt(event))
    else if (!tip.contains(event.target)) hide()
  })
  document.addEventListener('pointerover', event => {
    if (event.pointerType !== 'mouse') return // a finger comes and goes in one tap
    if (nameAt(event)) show(nameAt(event))
    else if (tip.contains(event.target)) clearTimeout(leaving)
    else if (on) leave()
  })
  document.addEventListener('keydown', event => { if (event.key === 'Escape') hide() })
  addEventListener('resize', () => on && place(tip, on))
}

// place puts the tip below a name, inside the window, or above it.
function place(tip, button) {
  const at = button.getBoundingClientRect(), size = tip.getBoundingClientRect(), edge = 12
  const width = document.documentElement.clientWidth
  const left = Math.max(edge, Math.min(at.left, width - size.width - edge))
  const below = at.bottom + 6 + size.height < innerHeight || at.top < size.height + 6
  tip.style.left = `${left + scrollX}px`
  tip.style.top = `${(below ? at.bottom + 6 : at.top - size.height - 6) + scrollY}px`
}
