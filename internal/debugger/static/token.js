// Takes a token apart: the compact forms of RFC 7515 §7.1 and RFC 7516 §7.1.

import * as base64url from './base64url.js'
import { JSONError, parse, plain } from './json.js'

const usualSize = 64 << 10, maxSize = 1 << 20 // characters

// Characters that fit where tokens travel: a header line of 8 KiB, as in nginx (jwt/size.go);
// a cookie with its name.
const headerSize = (8 << 10) - 'Authorization: Bearer \r\n'.length, cookieSize = 4096

const names = {
  jws: ['header', 'payload', 'signature'],
  jwe: ['header', 'encrypted key', 'initialization vector', 'ciphertext', 'authentication tag'],
}

/**
 * read returns {kind, text, parts, header, payload, problems}. kind is empty,
 * jws, jwe or unknown. header and payload are {text, node, map}, or undefined
 * where they cannot be read; text alone where it is no JSON.
 */
export function read(input) {
  const token = { kind: 'empty', text: input.trim(), parts: [], problems: [] }
  if (token.text === '') return token
  const add = (text, clause) => token.problems.push({ level: 'bad', text, clause })
  if (/^(?:Authorization:\s*)?Bearer\s+/i.test(token.text)) {
    token.text = token.text.replace(/^(?:Authorization:\s*)?Bearer\s+/i, '')
    token.problems.push({ level: 'note', text: 'The word before the token belongs to the HTTP header, not to the token: it was left out here.', clause: 'RFC 6750 §2.1' })
  }
  if (token.text.length > maxSize) {
    add('This is longer than a million characters, too long to be a token.')
    return { ...token, kind: 'unknown' }
  }
  if (token.text.length > usualSize) {
    token.problems.push({ level: 'warn', text: 'It is longer than 64 KiB: most software refuses it.' })
  } else if (token.text.length > headerSize) {
    token.problems.push({ level: 'warn', text: `It is ${token.text.length} bytes long. Many servers and proxies take ${headerSize} in the Authorization header, and refuse the request.`, clause: 'RFC 9110 §5.4' })
  } else if (token.text.length > cookieSize) {
    token.problems.push({ level: 'note', text: `It is ${token.text.length} bytes long, and does not fit into a cookie: browsers keep ${cookieSize}, name and all.`, clause: 'RFC 6265 §6.1' })
  }
  token.parts = token.text.split('.')
  token.kind = { 3: 'jws', 5: 'jwe' }[token.parts.length] ?? 'unknown'
  if (token.kind === 'unknown') unknown(token, add)
  else whole(token, add)
  return token
}

function unknown(token, add) {
  const count = token.parts.length
  if (token.text.startsWith('{')) {
    add('This is JSON. The page reads the compact form, with dots.', 'RFC 7515 §7.1')
  } else {
    add(`It has ${count} part${count === 1 ? '' : 's'}. A signed token has three, an encrypted one five, with dots between them.`, 'RFC 7515 §7.1, RFC 7516 §7.1')
  }
  if (count > 1 && count < 10) token.header = object(token.parts[0], 'header', () => {})
}

function whole(token, add) {
  token.header = object(token.parts[0], 'header', add)
  if (token.kind === 'jws') {
    const unencoded = token.header?.map?.get('b64') === false // RFC 7797 §3
    token.payload = unencoded ? { text: token.parts[1] } : object(token.parts[1], 'payload', add)
  }
  token.parts.forEach((part, i) => {
    const name = names[token.kind][i]
    if (name === 'header' || name === 'payload') return
    const { reason } = base64url.decode(part)
    if (reason) add(`The ${name} is not base64url: ${reason}.`, 'RFC 7515 §2')
  })
}

function object(part, name, add) {
  const { bytes, reason } = base64url.decode(part)
  if (reason) add(`The ${name} is not base64url: ${reason}.`, 'RFC 7515 §2')
  return bytes && contents(bytes, name, add)
}

/** contents reads bytes as an object in JSON, and complains where they are none. */
export function contents(bytes, name, add) {
  const text = base64url.text(bytes)
  if (text === undefined) {
    add(`The ${name} is not UTF-8.`, 'RFC 7519 §7.2')
    return { text: `${bytes.length} bytes that are no text` }
  }
  try {
    const { node, duplicates } = parse(text)
    if (node.kind !== 'object') {
      add(`The ${name} is JSON, but no object.`, name === 'header' ? 'RFC 7515 §4' : 'RFC 7519 §7.2')
      return { text }
    }
    for (const path of duplicates) {
      add(`The ${name} has "${path}" more than once: two programs can read two different values.`, name === 'header' ? 'RFC 7515 §4' : 'RFC 7519 §4')
    }
    return { text, node, map: plain(node) }
  } catch (error) {
    if (!(error instanceof JSONError)) throw error
    add(`The ${name} is not JSON: ${error.message}.`, name === 'header' ? 'RFC 7515 §4' : 'RFC 7519 §7.2')
    return { text }
  }
}
