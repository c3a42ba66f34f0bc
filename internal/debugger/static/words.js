// What registered header parameters and claims mean, and where it is written. The
// tables have no prototype, so that a claim named "constructor" is not in them.

const jws = n => `RFC 7515 §4.1.${n}`
const jwt = n => `RFC 7519 §4.1.${n}`
const core = 'OpenID Connect Core §5.1'

export const headers = {
  __proto__: null,
  alg: ['The algorithm that signed or encrypted the token. Whoever verifies must know it beforehand, and not take it from here.', jws(1)],
  jku: ['An address of a set of keys. A verifier must never follow it unless it knows it already.', jws(2)],
  jwk: ['A key, in the token itself. A verifier must not trust it: anybody can put one here.', jws(3)],
  kid: ['Names the key, so that a verifier finds it among those it trusts.', jws(4)],
  x5u: ['An address of a certificate. A verifier must never follow it unless it knows it already.', jws(5)],
  x5c: ['A chain of certificates, in the token itself. It proves nothing before the chain is checked.', jws(6)],
  x5t: ['The SHA-1 checksum of a certificate that names the key.', jws(7)],
  'x5t#S256': ['The SHA-256 checksum of a certificate that names the key.', jws(8)],
  typ: ['What kind of token this is, so that one kind is not taken for another.', jws(9)],
  cty: ['What is inside. "JWT" means another token: signed first, then encrypted.', jws(10)],
  crit: ['Extensions that whoever reads the token must understand, or refuse it.', jws(11)],
  b64: ['If false, the payload stands in the token as it is, without base64url.', 'RFC 7797 §3'],
  enc: ['The algorithm that encrypts the content, under a key made for this token.', 'RFC 7516 §4.1.2'],
  zip: ['The content was compressed before it was encrypted, which can betray what it says.', 'RFC 7516 §4.1.3'],
  epk: ['The sender\'s key of one use, from which both sides compute the same secret.', 'RFC 7518 §4.6.1.1'],
  apu: ['About the sender: goes into the computation of the key.', 'RFC 7518 §4.6.1.2'],
  apv: ['About the recipient: goes into the computation of the key.', 'RFC 7518 §4.6.1.3'],
  iv: ['The starting value with which the content key was encrypted.', 'RFC 7518 §4.7.1.1'],
  tag: ['Proves that the encrypted content key was not changed.', 'RFC 7518 §4.7.1.2'],
  p2s: ['The salt with which a password is made a key.', 'RFC 7518 §4.8.1.1'],
  p2c: ['How many rounds make a key of the password: few are fast to guess, very many stop a server.', 'RFC 7518 §4.8.1.2'],
  url: ['The address that the request was sent to (ACME).', 'RFC 8555 §6.4'],
  nonce: ['A value of the server, used once (ACME).', 'RFC 8555 §6.5'],
  iss: ['The issuer, repeated so that it can be read before decrypting.', 'RFC 7519 §5.3'],
  sub: ['The subject, repeated so that it can be read before decrypting.', 'RFC 7519 §5.3'],
  aud: ['The audience, repeated so that it can be read before decrypting.', 'RFC 7519 §5.3'],
  trust_chain: ['Statements that link the issuer to a trust anchor.', 'OpenID Federation §4.3'],
}

export const claims = {
  __proto__: null,
  iss: ['Who issued the token. It must be exactly the issuer that the reader expects.', jwt(1)],
  sub: ['Whom it is about: an identifier of the person or program, unique at the issuer.', jwt(2)],
  aud: ['For whom it is. A reader that is not named here must refuse it.', jwt(3)],
  exp: ['From this time on it must be refused.', jwt(4)],
  nbf: ['Before this time it must be refused.', jwt(5)],
  iat: ['When it was issued.', jwt(6)],
  jti: ['Identifies this very token, so that a replay can be noticed.', jwt(7)],

  auth_time: ['When the person last proved who they are.', 'OpenID Connect Core §2'],
  nonce: ['The value that the application sent along: ties the token to that sign-in.', 'OpenID Connect Core §2'],
  acr: ['How strong the sign-in was, as a name that both sides know.', 'OpenID Connect Core §2'],
  amr: ['How the person signed in, as "pwd" or "otp".', 'OpenID Connect Core §2, RFC 8176'],
  azp: ['The client that the token was issued to.', 'OpenID Connect Core §2'],
  at_hash: ['A checksum of the access token that came along.', 'OpenID Connect Core §3.1.3.6'],
  c_hash: ['A checksum of the code that came along.', 'OpenID Connect Core §3.3.2.11'],
  s_hash: ['A checksum of the state that came along.', 'FAPI 1.0 Part 2 §5.1'],
  sid: ['Names the session at the issuer, so that signing out can end it everywhere.', 'OpenID Connect Back-Channel Logout §2.1'],
  sub_jwk: ['The key of a self-issued token.', 'OpenID Connect Core §7.4'],

  name: ['Full name, for display.', core],
  given_name: ['Given names.', core],
  family_name: ['Family names.', core],
  middle_name: ['Middle names.', core],
  nickname: ['A casual name.', core],
  preferred_username: ['The name the person likes to be called by. It may change and need not be unique: never an identifier.', core],
  profile: ['Address of the person\'s profile page.', core],
  picture: ['Address of a picture of the person.', core],
  website: ['Address of the person\'s web page.', core],
  email: ['E-mail address. It may change: never an identifier.', core],
  email_verified: ['Whether the issuer made sure that the address is the person\'s.', core],
  gender: ['Gender.', core],
  birthdate: ['Birthday, as YYYY-MM-DD; the year 0000 where it is left out.', core],
  zoneinfo: ['Time zone, as "Europe/Paris".', core],
  locale: ['Language, as "en-GB".', core],
  phone_number: ['Telephone number, as "+1 555 0100".', core],
  phone_number_verified: ['Whether the issuer made sure that the number is the person\'s.', core],
  address: ['Postal address, as an object.', 'OpenID Connect Core §5.1.1'],
  updated_at: ['When these facts were last changed.', core],

  client_id: ['The application that asked for the token.', 'RFC 9068 §2.2, RFC 8693 §4.3'],
  scope: ['What the token allows, as words with spaces between them.', 'RFC 9068 §2.2.3, RFC 8693 §4.2'],
  roles: ['Roles of the person.', 'RFC 9068 §2.2.3.1'],
  groups: ['Groups that the person belongs to.', 'RFC 9068 §2.2.3.1'],
  entitlements: ['What the person may do.', 'RFC 9068 §2.2.3.1'],
  act: ['Who acts for the subject.', 'RFC 8693 §4.1'],
  may_act: ['Who is allowed to act for the subject.', 'RFC 8693 §4.4'],
  cnf: ['The key that whoever presents the token must prove to hold: without it, a stolen token is worth nothing.', 'RFC 7800 §3.1'],
  authorization_details: ['What the token allows, in detail.', 'RFC 9396 §9.1'],
  grant_id: ['The grant that the token came from: what a revocation would end (Ostiary).', ''],

  events: ['What happened: the kinds of events, each with its facts.', 'RFC 8417 §2.2'],
  toe: ['When the event happened.', 'RFC 8417 §2.2'],
  txn: ['Names the transaction that the event belongs to.', 'RFC 8417 §2.2'],
  htm: ['The method of the request that this proof is for.', 'RFC 9449 §4.2'],
  htu: ['The address of the request that this proof is for.', 'RFC 9449 §4.2'],
  ath: ['A checksum of the access token that this proof goes with.', 'RFC 9449 §4.2'],
  token_introspection: ['What the authorization server says about a token.', 'RFC 9701 §5'],
  status: ['Where to ask whether the token was revoked.', 'IETF draft Token Status List §6'],
}

export const times = new Set(['exp', 'nbf', 'iat', 'auth_time', 'updated_at', 'toe'])

const kinds = {
  __proto__: null,
  jwt: 'a JSON Web Token of no particular kind',
  'at+jwt': 'an access token, RFC 9068',
  'dpop+jwt': 'a proof that somebody holds a key, RFC 9449',
  'logout+jwt': 'tells an application that a session ended',
  'secevent+jwt': 'tells that something happened, RFC 8417',
  'oauth-authz-req+jwt': 'a signed authorization request, RFC 9101',
  'token-introspection+jwt': 'a signed introspection answer, RFC 9701',
  'client-authentication+jwt': 'proves who a client is',
}

const curve = { __proto__: null, 256: 'P-256', 384: 'P-384', 512: 'P-521' }

/** algorithm says what the name of an algorithm stands for. */
export function algorithm(name) {
  const bits = /\d{3}/.exec(name)?.[0]
  if (/^HS(256|384|512)$/.test(name)) return `HMAC with SHA-${bits}: one secret signs and verifies`
  if (/^RS(256|384|512)$/.test(name)) return `RSA signature, PKCS #1, with SHA-${bits}`
  if (/^PS(256|384|512)$/.test(name)) return `RSA signature, PSS, with SHA-${bits}`
  if (/^ES(256|384|512)$/.test(name)) return `ECDSA signature on ${curve[bits]}`
  if (name === 'EdDSA' || name === 'Ed25519') return 'EdDSA signature with Ed25519'
  if (name === 'none') return 'not signed at all'
  if (name === 'dir') return 'the shared key encrypts the content itself'
  if (name.startsWith('RSA-OAEP')) return 'the content key is encrypted with RSA'
  if (name === 'ECDH-ES') return 'both sides compute the content key, Diffie–Hellman'
  if (name.startsWith('ECDH-ES+')) return 'the content key is wrapped under one that both sides compute'
  if (name.startsWith('PBES2-')) return 'the content key is wrapped under a password'
  if (/^A\d{3}(GCM)?KW$/.test(name)) return `the content key is wrapped under a shared key of ${bits} bits`
  return ''
}

/** content says what the name of a content encryption stands for. */
export function content(name) {
  const found = /^A(\d{3})(GCM|CBC-HS\d{3})$/.exec(name)
  return found ? `AES with ${found[1]} bits${found[2] === 'GCM' ? ', GCM' : ', CBC, and HMAC'}` : ''
}

/** kind says what a "typ" stands for. */
export const kind = type => kinds[type.toLowerCase().replace(/^application\//, '')] ?? ''
