// Keys: all that a person can give becomes a list of JWKs.

import * as base64url from './base64url.js'
import { calculateJwkThumbprint, exportJWK, exportSPKI, generateKeyPair, importJWK } from './jose.js'
import { JSONError, parse } from './json.js'
import { KeyError, read as readPEM } from './pem.js'

export { KeyError }

/** fromSecret reads a shared secret: bytes of a text, or base64url. */
export function fromSecret(text, encoding) {
  if (text === '') return []
  if (encoding === 'utf-8') return [{ kty: 'oct', k: base64url.encode(new TextEncoder().encode(text)) }]
  const { bytes, reason } = base64url.decode(text.trim())
  if (reason) throw new KeyError(`The secret is not base64url: ${reason}.`)
  return [{ kty: 'oct', k: base64url.encode(bytes) }]
}

export const fromPEM = async text => text.trim() === '' ? [] : [await readPEM(text)]

/** fromJWK reads one JWK or a set of them. */
export function fromJWK(text) {
  if (text.trim() === '') return []
  let parsed
  try {
    parsed = parse(text)
  } catch (error) {
    if (error instanceof JSONError) throw new KeyError(`This is not JSON: ${error.message}.`)
    throw error
  }
  if (parsed.duplicates.length) throw new KeyError(`"${parsed.duplicates[0]}" comes more than once.`)
  const value = JSON.parse(text)
  if (Array.isArray(value?.keys)) return value.keys.filter(isKey)
  if (typeof value?.jwks_uri === 'string') throw new KeyError(`This describes a server. Its keys are at ${value.jwks_uri}`)
  if (!isKey(value)) throw new KeyError('This is JSON, but no key: a JWK has "kty", a set of them has "keys".')
  return [value]
}

const isKey = value => typeof value?.kty === 'string'

const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']
export const isPrivate = jwk => typeof jwk.d === 'string' || jwk.kty === 'oct'

/** publicOf returns what everybody may know of a key. */
export function publicOf(jwk) {
  if (jwk.kty === 'oct') throw new KeyError('A secret has no public part.')
  return Object.fromEntries(Object.entries(jwk).filter(([name]) => ![...secretMembers, 'key_ops', 'ext'].includes(name)))
}

export const publicPEM = async (jwk, alg) => exportSPKI(await importJWK({ ...publicOf(jwk), ext: true }, alg, { extractable: true }))

/** describe names a key for a person. */
export function describe(jwk) {
  if (jwk.kty === 'oct') return 'a secret'
  const half = isPrivate(jwk) ? 'private' : 'public'
  const bits = jwk.kty === 'RSA' ? ` of ${(base64url.decode(jwk.n ?? '').bytes?.length ?? 0) * 8} bits` : ''
  return `${half === 'private' ? 'a private' : 'a public'} ${{ RSA: 'RSA', EC: `${jwk.crv}`, OKP: `${jwk.crv}` }[jwk.kty] ?? jwk.kty} key${bits}`
}

const curves = { __proto__: null, ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }
const wrapped = { __proto__: null, A128KW: 16, A192KW: 24, A256KW: 32, A128GCMKW: 16, A192GCMKW: 24, A256GCMKW: 32 }
const contents = { __proto__: null, 'A128CBC-HS256': 32, 'A192CBC-HS384': 48, 'A256CBC-HS512': 64, A128GCM: 16, A192GCM: 24, A256GCM: 32 }
const hmac = { __proto__: null, HS256: 32, HS384: 48, HS512: 64 }

export const secretSize = jwk => base64url.decode(jwk.k ?? '').bytes?.length ?? 0

/** weak says why a secret is too short for HMAC (RFC 7518 §3.2), if it is. */
export function weak(jwk, alg) {
  const size = secretSize(jwk)
  return hmac[alg] > size ? `The secret has ${size} bytes; ${alg} wants ${hmac[alg]} or more, since a short one can be guessed (RFC 7518 §3.2).` : ''
}

/**
 * misfit says why a key is not for an algorithm, and nothing if it is. The key
 * decides and not the token: a public RSA key is never a secret for HMAC
 * (RFC 8725 §3.1).
 */
export function misfit(jwk, { alg, enc, use, op }) {
  const wanted = kindFor(alg)
  if (!wanted) return `${alg} is not an algorithm that this page can compute.`
  if (!wanted.kty.includes(jwk.kty) || wanted.crv && !wanted.crv.includes(jwk.crv)) return `${alg} needs ${wanted.words}, and this is ${describe(jwk)}.`
  if (jwk.alg !== undefined && jwk.alg !== alg && jwk.alg !== enc && !sameCurve(jwk.alg, alg)) return `The key is for ${jwk.alg} ("alg"), not for ${alg}.`
  if (jwk.use !== undefined && jwk.use !== use) return `The key is not for this use: its "use" is "${jwk.use}".`
  if (Array.isArray(jwk.key_ops) && !operations[op].some(one => jwk.key_ops.includes(one))) return `The key is not for this use: its "key_ops" are ${jwk.key_ops.join(', ') || 'none'}.`
  const size = alg === 'dir' ? contents[enc] : wrapped[alg]
  if (size && secretSize(jwk) !== size) return `${alg}${alg === 'dir' ? ` with ${enc}` : ''} needs a secret of ${size} bytes, and this one has ${secretSize(jwk)}.`
}

// What "key_ops" must allow (RFC 7517 §4.3). A private key says what it does
// itself, and its public half does the opposite.
const operations = {
  sign: ['sign'], verify: ['verify', 'sign'],
  decrypt: ['decrypt', 'unwrapKey', 'deriveKey', 'deriveBits'],
  encrypt: ['encrypt', 'wrapKey', 'deriveKey', 'deriveBits', 'decrypt', 'unwrapKey'],
}

// RFC 9864 §2.2: the new name of the one curve.
const sameCurve = (a, b) => [a, b].every(name => ['EdDSA', 'Ed25519'].includes(name))

function kindFor(alg) {
  if (hmac[alg]) return { kty: ['oct'], words: 'a secret' }
  if (/^[RP]S(256|384|512)$|^RSA-OAEP(-256|-384|-512)?$/.test(alg)) return { kty: ['RSA'], words: 'an RSA key' }
  if (curves[alg]) return { kty: ['EC'], crv: [curves[alg]], words: `a key on ${curves[alg]}` }
  if (alg === 'EdDSA' || alg === 'Ed25519') return { kty: ['OKP'], crv: ['Ed25519'], words: 'an Ed25519 key' }
  if (/^ECDH-ES(\+A(128|192|256)KW)?$/.test(alg)) return { kty: ['EC', 'OKP'], crv: ['P-256', 'P-384', 'P-521', 'X25519'], words: 'a key on P-256, P-384, P-521 or X25519' }
  if (alg === 'dir' || wrapped[alg] || /^PBES2-/.test(alg)) return { kty: ['oct'], words: 'a secret' }
}

/** generate makes a private JWK for an algorithm; enc sizes the key of "dir". */
export async function generate(alg, enc) {
  const use = isSignature(alg) ? 'sig' : 'enc'
  const size = hmac[alg] ?? wrapped[alg] ?? (alg === 'dir' ? contents[enc] : alg.startsWith('PBES2') ? 16 : 0)
  let jwk
  if (size) jwk = { kty: 'oct', k: base64url.encode(crypto.getRandomValues(new Uint8Array(size))) }
  else jwk = await exportJWK((await generateKeyPair(alg, { extractable: true, modulusLength: 2048 })).privateKey)
  // The key of "dir" encrypts the content, so that is what it is for.
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: alg === 'dir' ? enc : alg, use }
}

export const isSignature = alg => hmac[alg] !== undefined || /^(?:[RPE]S(256|384|512)|EdDSA|Ed25519)$/.test(alg)
