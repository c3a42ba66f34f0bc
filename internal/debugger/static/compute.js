// Verifies, signs, decrypts and encrypts, with keys that are JWKs. Each function
// throws a KeyError with a sentence where it cannot.

import { CompactEncrypt, CompactSign, compactDecrypt, compactVerify, errors, importJWK } from './jose.js'
import { KeyError, describe, isPrivate, misfit, publicOf, weak } from './keys.js'

const maxTries = 20 // keys of a set without "kid"

/** verify returns {key, remark}, or throws: there is no half-verified token. */
export async function verify(token, keys) {
  const alg = token.header.map.get('alg')
  return attempt(candidates(token, keys, { alg, use: 'sig', op: 'verify' }), async jwk => {
    await compactVerify(token.text, await importJWK(jwk.kty === 'oct' ? jwk : publicOf(jwk), alg), { algorithms: [alg] })
    return { key: jwk, remark: weak(jwk, alg) }
  })
}

/** decrypt returns {key, bytes}. */
export async function decrypt(token, keys) {
  const [alg, enc] = [token.header.map.get('alg'), token.header.map.get('enc')]
  return attempt(candidates(token, keys, { alg, enc, use: 'enc', op: 'decrypt' }), async jwk => {
    if (!isPrivate(jwk)) throw new KeyError('Decrypting needs the private key; this is the public one.')
    const { plaintext } = await compactDecrypt(token.text, await importJWK(usable(jwk), alg), {
      keyManagementAlgorithms: [alg], contentEncryptionAlgorithms: [enc], maxPBES2Count: 1_000_000, maxDecompressedLength: 1 << 20,
    })
    return { key: jwk, bytes: plaintext }
  })
}

/** sign returns a token of header, a plain object, and payload, a text. */
export async function sign(header, payload, keys) {
  const alg = header.alg
  if (String(alg).toLowerCase() === 'none') throw new KeyError('"alg" is "none": this page does not make tokens that anybody could have written.')
  const jwk = pick(keys, { alg, use: 'sig', op: 'sign', kid: header.kid })
  if (!isPrivate(jwk)) throw new KeyError('Signing needs the private key; this is the public one.')
  const used = jwk.kid ? { ...header, kid: jwk.kid } : header
  return guard(async () => new CompactSign(new TextEncoder().encode(payload)).setProtectedHeader(used).sign(await importJWK(usable(jwk), alg)))
}

/** encrypt returns a token of header, with alg and enc, and content, a text. */
export async function encrypt(header, content, keys) {
  const { alg, enc } = header
  const jwk = pick(keys, { alg, enc, use: 'enc', op: 'encrypt', kid: header.kid })
  const used = jwk.kid ? { ...header, kid: jwk.kid } : header
  const key = await guard(() => importJWK(jwk.kty === 'oct' ? jwk : publicOf(jwk), alg))
  return guard(() => new CompactEncrypt(new TextEncoder().encode(content)).setProtectedHeader(used).encrypt(key))
}

// usable leaves out what would keep the browser from using the key again.
function usable({ key_ops, ext, ...jwk }) {
  return jwk
}

function candidates(token, keys, wanted) {
  const kid = token.header.map.get('kid')
  let found = keys
  if (keys.length > 1 && kid !== undefined) {
    found = keys.filter(jwk => jwk.kid === kid)
    if (found.length === 0) throw new KeyError(`None of the ${keys.length} keys is named "${kid}" ("kid").`)
  }
  return fitting(found, wanted)
}

function fitting(keys, wanted) {
  if (keys.length === 0) throw new KeyError('There is no key.')
  const reasons = keys.map(jwk => misfit(jwk, wanted))
  const fit = keys.filter((_, i) => !reasons[i])
  if (fit.length === 0) throw new KeyError(keys.length === 1 ? reasons[0] : `None of the ${keys.length} keys is for ${wanted.alg}.`)
  return fit.slice(0, maxTries)
}

function pick(keys, { kid, ...wanted }) {
  const fit = fitting(keys, wanted)
  return fit.find(jwk => kid !== undefined && jwk.kid === kid) ?? fit.find(isPrivate) ?? fit[0]
}

async function attempt(keys, act) {
  let last
  for (const jwk of keys) {
    try {
      return await guard(() => act(jwk))
    } catch (error) {
      last = error
    }
  }
  if (keys.length > 1 && last.wrongKey) throw new KeyError(`None of the ${keys.length} keys that could be meant fits this token.`)
  throw last
}

// guard turns what the library and the browser throw into sentences.
async function guard(act) {
  try {
    return await act()
  } catch (error) {
    if (error instanceof KeyError) throw error
    throw Object.assign(new KeyError(sentence(error)), { wrongKey: wrongKey(error) })
  }
}

const wrongKey = error => error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWEDecryptionFailed

function sentence(error) {
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'The signature does not fit this key: the token was changed, or another key signed it.'
  if (error instanceof errors.JWEDecryptionFailed) return 'It cannot be decrypted with this key: the token was changed, or is for another key.'
  if (error instanceof errors.JOSENotSupported || error instanceof errors.JOSEAlgNotAllowed) return `This is not supported: ${error.message}.`
  if (error?.name === 'NotSupportedError' || error?.name === 'OperationError') return 'The browser cannot compute this algorithm with this key.'
  if (error?.name === 'DataError') return 'The browser cannot read this key: a part of it is missing or damaged.'
  return `It does not work: ${String(error?.message ?? error).replace(/\.$/, '')}.`
}

/** summary names the key that was used. */
export function summary(jwk) {
  const kind = jwk.kty === 'oct' ? 'secret' : `${jwk.crv ?? jwk.kty} key`
  return jwk.kid ? `the ${kind} named "${jwk.kid}"` : `this ${kind}`
}
