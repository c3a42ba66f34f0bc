// Fetches one key set for the token debugger, under a policy that permits the
// origin of that set and nothing else (fetch.go says why). It gets an address
// and answers with {text} or {reason}.

const maxSize = 1 << 20 // bytes

onmessage = async ({ data: address }) => {
  try {
    postMessage({ text: await load(address) })
  } catch (error) {
    postMessage({ reason: explain(error) })
  }
  close()
}

async function load(address) {
  const response = await fetch(address, {
    credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer', cache: 'no-store',
    headers: { Accept: 'application/jwk-set+json, application/json' },
    signal: AbortSignal.timeout(10_000),
  })
  if (!response.ok) {
    throw new RangeError(`The server answered with the status ${response.status}.`)
  }
  const decoder = new TextDecoder()
  let text = '', size = 0
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    size += value.length
    if (size > maxSize) throw new RangeError('The answer is larger than 1 MiB.')
    text += decoder.decode(value, { stream: true })
  }
}

// A browser does not tell a script why a connection failed.
function explain(error) {
  if (error instanceof RangeError) return error.message
  if (error.name === 'TimeoutError') return 'There was no answer within ten seconds.'
  return 'It could not be fetched: the address does not answer, redirects, or its server does not permit other sites to read it (CORS). You can paste the set as JWK instead.'
}
