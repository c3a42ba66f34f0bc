// Fetches a key set that a person asked for. The page itself may not connect to
// anything; a worker that gets nothing but the address may, and only to the
// origin of that address. The server sends it with a policy that says so.

import { KeyError } from './keys.js'

const script = new URL('../fetch', import.meta.url).href

// The one place where a text becomes the address of a script.
const policy = globalThis.trustedTypes?.createPolicy('ostiary-debugger', {
  createScriptURL(origin) {
    return `${script}?origin=${encodeURIComponent(new URL(origin).origin)}`
  },
}) ?? { createScriptURL: origin => `${script}?origin=${encodeURIComponent(origin)}` }

/** check returns the address as a URL, or throws a KeyError that says why it is none. */
export function check(text) {
  let url
  try {
    url = new URL(text.trim())
  } catch {
    throw new KeyError('This is no address: write one such as https://login.example.com/jwks.')
  }
  const here = /^(?:localhost|.*\.localhost|127\.\d+\.\d+\.\d+)$/.test(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && here)) throw new KeyError('The address must begin with https, or be http on this machine (localhost).')
  if (url.hostname.startsWith('[')) throw new KeyError('A browser cannot permit an address of IPv6 by itself: write a name, such as localhost.')
  if (url.username || url.password) throw new KeyError('The address must not hold a user name or a password.')
  return url
}

/** load returns the text at an address, or throws a KeyError. */
export function load(url) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(policy.createScriptURL(url.origin), { name: 'key set' })
    worker.onmessage = ({ data }) => data.reason ? reject(new KeyError(data.reason)) : resolve(data.text)
    worker.onerror = () => reject(new KeyError('The server of this page does not answer, or refuses this address.'))
    worker.postMessage(url.href)
  })
}
