// Base64url as JOSE wants it (RFC 7515 §2): no padding, no line breaks, and no
// two texts for the same bytes.

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/**
 * decode returns {bytes, reason}. A reason says what is wrong; bytes are there
 * all the same where they can be guessed, to be looked at and not to be used.
 */
export function decode(text) {
  let reason = fault(text)
  const guess = text.replace(/[\s=]/g, '').replaceAll('+', '-').replaceAll('/', '_')
  if (/[^A-Za-z0-9_-]/.test(guess) || guess.length % 4 === 1) return { reason }
  const binary = atob(guess.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = Uint8Array.from(binary, c => c.charCodeAt(0))
  if (!reason && encode(bytes) !== text) {
    reason = 'its last character has bits that nothing uses, so several texts stand for the same bytes'
  }
  return { bytes, reason }
}

function fault(text) {
  const wrong = /[^A-Za-z0-9_-]/.exec(text)
  if (wrong) {
    const place = `at character ${wrong.index + 1}`
    if (wrong[0] === '=') return `it is padded with "=" ${place}`
    if (/\s/.test(wrong[0])) return `it has a space or a line break ${place}`
    if ('+/'.includes(wrong[0])) return `it has "${wrong[0]}" ${place}: this is base64, not base64url`
    return `it has ${JSON.stringify(wrong[0])} ${place}, which is not of the alphabet`
  }
  if (text.length % 4 === 1) return 'its length is impossible: a character is missing or too many'
}

export function encode(bytes) {
  let text = ''
  for (let i = 0; i < bytes.length; i += 3) {
    const bits = bytes[i] << 16 | (bytes[i + 1] ?? 0) << 8 | (bytes[i + 2] ?? 0)
    for (let shift = 18, left = bytes.length - i + 1; shift >= 0 && left > 0; shift -= 6, left--) {
      text += alphabet[bits >> shift & 63]
    }
  }
  return text
}

/** text returns bytes as UTF-8, or undefined where they are not. */
export function text(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}
