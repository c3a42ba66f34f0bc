// Reads keys in PEM (RFC 7468): PKCS #8, SPKI, PKCS #1, SEC 1 and certificates.
// WebCrypto takes the first two, so the others are put into these, and all come
// out as JWK.

const oids = {
  '2a864886f70d010101': { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  '2a864886f70d01010a': { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', pss: true },
  '2b6570': { name: 'Ed25519' },
  '2b656e': { name: 'X25519' },
}
const curves = { '2a8648ce3d030107': 'P-256', '2b81040022': 'P-384', '2b81040023': 'P-521' }
const ecPublicKey = '2a8648ce3d0201'

export class KeyError extends Error {}

/** read returns the JWK of the first key in a text, or throws a KeyError. */
export async function read(text) {
  for (const [, label, body] of text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/g)) {
    if (label === 'EC PARAMETERS') continue
    let der
    try {
      der = Uint8Array.from(atob(body.replace(/\s/g, '')), c => c.charCodeAt(0))
    } catch {
      throw new KeyError(body.includes('Proc-Type') ? encrypted : 'The text between the PEM lines is not base64.')
    }
    return toJWK(label, der)
  }
  throw new KeyError('There is no PEM here: it begins with a line like "-----BEGIN PUBLIC KEY-----" and ends with one like "-----END PUBLIC KEY-----".')
}

const encrypted = 'This key is encrypted with a passphrase. Decrypt it first: openssl pkey -in key.pem -out plain.pem'

async function toJWK(label, der) {
  try {
    switch (label) {
      case 'PRIVATE KEY': return await load('pkcs8', der, children(der)[1])
      case 'PUBLIC KEY': return await load('spki', der, children(der)[0])
      case 'RSA PRIVATE KEY': return await toJWK('PRIVATE KEY', sequence(integer0, rsa, element(4, der)))
      case 'RSA PUBLIC KEY': return await toJWK('PUBLIC KEY', sequence(rsa, element(3, Uint8Array.of(0), der)))
      case 'EC PRIVATE KEY': return await toJWK('PRIVATE KEY', sequence(integer0, element(0x30, element(6, hexBytes(ecPublicKey)), curveOf(der)), element(4, der)))
      case 'CERTIFICATE': return await toJWK('PUBLIC KEY', keyOf(der))
      case 'ENCRYPTED PRIVATE KEY': throw new KeyError(encrypted)
    }
  } catch (error) {
    if (error instanceof KeyError) throw error
    throw new KeyError('This PEM holds no key that can be read: it is damaged, or of a kind that the browser does not know.')
  }
  throw new KeyError(`This PEM is a "${label}", not a key.`)
}

// load lets the browser read a key. identifier is its AlgorithmIdentifier.
async function load(format, der, identifier) {
  const [oid, parameters] = children(identifier.whole).map(c => hex(c.body))
  const curve = oid === ecPublicKey && curves[parameters]
  const algorithm = curve ? { name: 'ECDSA', namedCurve: curve } : oids[oid]
  if (!algorithm) throw new KeyError('This key is of a kind that JOSE or this page does not know.')
  if (algorithm.pss) throw new KeyError('This key is restricted to RSASSA-PSS, which browsers cannot read. Convert it to a plain RSA key.')
  const agrees = algorithm.name === 'X25519'
  const usages = format === 'spki' ? (agrees ? [] : ['verify']) : [agrees ? 'deriveBits' : 'sign']
  const key = await crypto.subtle.importKey(format, der, algorithm, true, usages)
  const { alg, key_ops, ext, ...jwk } = await crypto.subtle.exportKey('jwk', key)
  return jwk
}

// curveOf finds the curve in a key of SEC 1 (RFC 5915 §3).
function curveOf(der) {
  const parameters = children(der).find(c => c.tag === 0xa0)
  if (!parameters) throw new KeyError('This key does not say its curve. Convert it: openssl pkcs8 -topk8 -nocrypt')
  return parameters.body
}

// keyOf finds the public key in a certificate (RFC 5280 §4.1).
function keyOf(der) {
  const fields = children(children(der)[0].whole)
  return fields[fields[0].tag === 0xa0 ? 6 : 5].whole
}

// DER, as far as keys need it.

/** children returns the elements inside the element that bytes begin with. */
function children(whole) {
  const list = [], outer = header(whole, 0)
  for (let at = outer.start; at < outer.end;) {
    const one = header(whole, at)
    list.push({ tag: whole[at], whole: whole.subarray(at, one.end), body: whole.subarray(one.start, one.end) })
    at = one.end
  }
  return list
}

function header(bytes, at) {
  let length = bytes[at + 1], start = at + 2
  if (length & 0x80) {
    const count = length & 0x7f
    if (count === 0 || count > 3) throw new RangeError('length')
    length = bytes.subarray(start, start + count).reduce((sum, b) => sum * 256 + b, 0)
    start += count
  }
  if (!(start + length <= bytes.length)) throw new RangeError('length')
  return { start, end: start + length }
}

function element(tag, ...contents) {
  const size = contents.reduce((sum, c) => sum + c.length, 0)
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff]
  const bytes = new Uint8Array(1 + length.length + size)
  bytes.set([tag, ...length])
  let at = 1 + length.length
  for (const c of contents) {
    bytes.set(c, at)
    at += c.length
  }
  return bytes
}

const sequence = (...contents) => element(0x30, ...contents)
const hex = bytes => Array.from(bytes, b => b.toString(16).padStart(2, '0')).join('')
const hexBytes = text => Uint8Array.from(text.match(/../g), b => parseInt(b, 16))
const integer0 = Uint8Array.of(2, 1, 0)
const rsa = sequence(element(6, hexBytes('2a864886f70d010101')), Uint8Array.of(5, 0))
