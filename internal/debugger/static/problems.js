// What is wrong with a token, beyond its shape: each function returns problems,
// {level: bad | warn | note, text, clause}.

import * as base64url from './base64url.js'
import { isTime, moment, away, span } from './time.js'
import { times } from './words.js'

const current = 'RFC 8725'
const names = new Set(['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'])

// Bytes of a signature, where the algorithm fixes them (RFC 7518 §3, RFC 8037 §3.1).
const sizes = { __proto__: null, HS256: 32, HS384: 48, HS512: 64, ES256: 64, ES384: 96, ES512: 132, EdDSA: 64, Ed25519: 64 }

function collector() {
  const problems = []
  const add = level => (text, clause) => problems.push({ level, text, clause })
  return { problems, bad: add('bad'), warn: add('warn'), note: add('note') }
}

/** ofHeader looks at the header of a token. */
export function ofHeader(token) {
  const { problems, bad, warn, note } = collector()
  const header = token.header?.map
  if (!header) return problems
  algorithm(token, header, { bad, warn, note })
  critical(header, bad)
  for (const name of ['jku', 'x5u']) {
    if (header.has(name)) warn(`"${name}" tells the verifier where to fetch a key. If it follows, it fetches the attacker's key, or calls addresses in its own network for him.`, `${current} §3.10`)
  }
  for (const name of ['jwk', 'x5c']) {
    if (header.has(name) && header.get('typ') !== 'dpop+jwt') warn(`"${name}" brings a key along. A verifier that uses it accepts everybody's signature.`, `${current} §3.10`)
  }
  const kid = header.get('kid')
  if (kid !== undefined && typeof kid !== 'string') bad('"kid" is not a string.', 'RFC 7515 §4.1.4')
  else if (kid && /\.\.[\\/]|['"`;<>|\u0000-\u001f]|\s--|^\//.test(kid)) warn('"kid" looks like a path, a query or a command. It must be compared with known names, and nothing else.', `${current} §3.10`)
  for (const name of ['typ', 'cty']) {
    if (header.has(name) && typeof header.get(name) !== 'string') bad(`"${name}" is not a string.`, 'RFC 7519 §5')
  }
  if (header.has('b64') && !(header.get('crit') ?? []).includes?.('b64')) bad('"b64" must be named in "crit".', 'RFC 7797 §6')
  if (token.kind === 'jwe') encrypted(header, { bad, warn })
  return problems
}

function algorithm(token, header, { bad, warn, note }) {
  const alg = header.get('alg')
  if (alg === undefined) return bad('"alg" is missing.', 'RFC 7515 §4.1.1')
  if (typeof alg !== 'string') return bad('"alg" is not a string.', 'RFC 7515 §4.1.1')
  if (alg.toLowerCase() === 'none') {
    bad('It is not signed: "alg" is "none". Anybody could have written it.', `${current} §3.2`)
    if (token.parts[2]) bad('It says that it is not signed, and yet has a signature.', 'RFC 7518 §3.6')
    return
  }
  if (token.kind !== 'jws') return
  if (!names.has(alg)) return warn(`"${alg.slice(0, 40)}" is no algorithm for signatures that this page knows.`, 'RFC 7518 §3.1')
  if (alg === 'EdDSA') note('"EdDSA" does not say which curve: "Ed25519" has replaced it.', 'RFC 9864 §2.2')
  if (token.parts[2] === '') return bad('The signature is missing.', 'RFC 7515 §5.2')
  const { bytes } = base64url.decode(token.parts[2])
  if (bytes && sizes[alg] && bytes.length !== sizes[alg]) {
    const der = alg.startsWith('ES') && bytes[0] === 0x30 ? ' It looks like DER, which JOSE does not use.' : ''
    bad(`The signature has ${bytes.length} bytes, but one of ${alg} has ${sizes[alg]}.${der}`, 'RFC 7518 §3')
  }
}

function critical(header, bad) {
  if (!header.has('crit')) return
  const crit = header.get('crit')
  if (!Array.isArray(crit) || crit.length === 0 || !crit.every(name => typeof name === 'string')) {
    return bad('"crit" must be a list of names with at least one.', 'RFC 7515 §4.1.11')
  }
  for (const name of new Set(crit)) {
    if (!header.has(name)) bad(`"crit" names "${name}", which is not in the header.`, 'RFC 7515 §4.1.11')
    else if (name !== 'b64') bad(`"crit" demands to understand "${name}". Software that does not must refuse the token, as this page does.`, 'RFC 7515 §4.1.11')
  }
}

function encrypted(header, { bad, warn }) {
  if (typeof header.get('enc') !== 'string') bad('"enc" is missing.', 'RFC 7516 §4.1.2')
  if (header.get('alg') === 'RSA1_5') bad('"RSA1_5" lets an attacker decrypt by asking often enough.', `${current} §3.2`)
  if (header.has('zip')) warn('It is compressed before it is encrypted: its length can betray what it says.', `${current} §3.6`)
  const count = header.get('p2c')
  if (typeof count === 'number' && count < 1000) warn(`"p2c" is ${count}: a password is guessed too fast.`, 'RFC 7518 §4.8.1.2')
  if (typeof count === 'number' && count > 1000000) warn(`"p2c" is ${count}: a server that computes so long can be stopped by a few tokens.`, `${current} §3.2`)
}

/** ofClaims looks at claims, {map}. type is that of the header. */
export function ofClaims(claims, type, now = Date.now() / 1000) {
  const { problems, bad, warn, note } = collector()
  const map = claims?.map
  if (!map) return problems
  for (const name of times) {
    const value = map.get(name)
    if (value === undefined) continue
    if (typeof value !== 'number') bad(`"${name}" is not a number of seconds.`, 'RFC 7519 §2')
    else if (Math.abs(value) >= 1e11) bad(`"${name}" is probably in milliseconds; it should be in seconds.`, 'RFC 7519 §2')
  }
  lifetime(map, now, { bad, warn })
  for (const name of ['iss', 'sub', 'jti']) {
    if (map.has(name) && typeof map.get(name) !== 'string') bad(`"${name}" is not a string.`, 'RFC 7519 §4.1')
  }
  const aud = map.get('aud')
  const listed = Array.isArray(aud) && aud.every(one => typeof one === 'string')
  if (aud !== undefined && typeof aud !== 'string' && !listed) bad('"aud" is neither a string nor a list of strings.', 'RFC 7519 §4.1.3')
  if (aud === undefined) note('There is no "aud": a service cannot know whether the token is for it.', `${current} §3.9`)
  for (const member of claims.node.members) {
    if (member.node.kind === 'number' && /^-?\d+$/.test(member.node.text) && !Number.isSafeInteger(Number(member.node.text))) {
      warn(`"${member.name}" is a number that JavaScript and others cannot hold exactly.`, 'RFC 8259 §6')
    }
    if (/^(?:pass(?:word|wd|phrase)|secret|client_secret|private_key|ssn|credit_card|card_number)$/i.test(member.name)) {
      warn(`"${member.name}" looks like a secret. Whoever holds a signed token can read it.`, `${current} §3.7`)
    }
  }
  profile(map, type, bad)
  return problems
}

function lifetime(map, now, { bad, warn }) {
  const [exp, nbf, iat] = ['exp', 'nbf', 'iat'].map(name => isTime(map.get(name)) && Math.abs(map.get(name)) < 1e11 ? map.get(name) : undefined)
  if (!map.has('exp')) warn('There is no "exp": the token never ends.', 'RFC 7519 §4.1.4')
  if (exp !== undefined && exp <= now) bad(`It expired ${away(exp, now)}, on ${moment(exp)}.`, 'RFC 7519 §4.1.4')
  if (nbf !== undefined && nbf > now) bad(`It is not valid yet, but ${away(nbf, now)}.`, 'RFC 7519 §4.1.5')
  if (iat !== undefined && iat > now + 60) warn(`It says that it will be issued ${away(iat, now)}: a clock is wrong.`, 'RFC 7519 §4.1.6')
  if (exp !== undefined && nbf !== undefined && exp <= nbf) bad('It ends before it begins.', 'RFC 7519 §4.1.5')
  const start = iat ?? nbf
  if (exp !== undefined && start !== undefined && exp - start > 366 * 86400) warn(`It lives for ${span(exp - start)}: so long can a stolen one be used.`, 'RFC 7519 §4.1.4')
}

// What a kind of token must have.
function profile(map, type, bad) {
  const kind = typeof type === 'string' ? type.toLowerCase().replace(/^application\//, '') : ''
  const need = (what, clause, required) => {
    const missing = required.filter(name => !map.has(name))
    if (missing.length) bad(`${what} must have ${missing.map(name => `"${name}"`).join(', ')}.`, clause)
  }
  if (kind === 'at+jwt') need('An access token', 'RFC 9068 §2.2', ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'])
  if (kind === 'logout+jwt') {
    need('A logout token', 'OpenID Connect Back-Channel Logout §2.4', ['iss', 'aud', 'iat', 'exp', 'jti', 'events'])
    if (map.has('nonce')) bad('A logout token must not have "nonce".', 'OpenID Connect Back-Channel Logout §2.4')
  }
  if (kind === 'dpop+jwt') need('A DPoP proof', 'RFC 9449 §4.2', ['jti', 'htm', 'htu', 'iat'])
  if (['', 'jwt'].includes(kind) && ['at_hash', 'c_hash', 'azp'].some(name => map.has(name))) {
    need('An ID token', 'OpenID Connect Core §2', ['iss', 'sub', 'aud', 'exp', 'iat'])
  }
}
