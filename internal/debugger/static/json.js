// Reads JSON strictly (RFC 8259) into a tree that keeps what JSON.parse loses: a
// name that comes twice, the digits of a number, the order of the members.

const maxDepth = 64

export class JSONError extends Error {}

/**
 * parse returns {node, duplicates}. A node has a kind (object, array, string,
 * number, literal); an object has members [{name, node}], an array has items,
 * the others have the text as it was written.
 */
export function parse(text) {
  const reader = new Reader(text)
  const node = reader.value(0, '')
  reader.space()
  if (reader.at < text.length) reader.fail('there is something after the end')
  return { node, duplicates: reader.duplicates }
}

class Reader {
  constructor(text) {
    this.text = text
    this.at = 0
    this.duplicates = [] // paths, as "cnf.jwk"
  }

  fail(reason) {
    const before = this.text.slice(0, this.at).split('\n')
    throw new JSONError(`line ${before.length}, column ${before.at(-1).length + 1}: ${reason}`)
  }

  space() {
    while (' \t\n\r'.includes(this.text[this.at] ?? 'x')) this.at++
  }

  match(pattern) {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)?.[0]
    if (found !== undefined) this.at += found.length
    return found
  }

  take(character) {
    this.space()
    if (this.text[this.at] !== character) return false
    this.at++
    return true
  }

  value(depth, path) {
    if (depth > maxDepth) this.fail(`it is nested more than ${maxDepth} deep`)
    this.space()
    const c = this.text[this.at]
    if (c === '{') return this.object(depth, path)
    if (c === '[') return this.array(depth, path)
    if (c === '"') return this.string()
    const literal = this.match(/(?:true|false|null)(?![A-Za-z0-9_])/y)
    if (literal) return { kind: 'literal', text: literal }
    const number = this.match(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.])/y)
    if (number) return { kind: 'number', text: number }
    this.fail(c === undefined ? 'it ends too early' : `${JSON.stringify(c)} cannot stand here`)
  }

  string() {
    const text = this.match(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y)
    if (text === undefined) this.fail('the string is not closed, or holds a character that must be escaped')
    return { kind: 'string', text }
  }

  object(depth, path) {
    const members = [], names = new Set()
    this.at++
    if (this.take('}')) return { kind: 'object', members }
    do {
      this.space()
      if (this.text[this.at] !== '"') this.fail('a name in double quotes is missing')
      const name = JSON.parse(this.string().text)
      const here = path ? `${path}.${name}` : name
      if (names.has(name)) this.duplicates.push(here)
      names.add(name)
      if (!this.take(':')) this.fail('a colon is missing')
      members.push({ name, node: this.value(depth + 1, here) })
    } while (this.take(','))
    if (!this.take('}')) this.fail('a comma or } is missing')
    return { kind: 'object', members }
  }

  array(depth, path) {
    const items = []
    this.at++
    if (this.take(']')) return { kind: 'array', items }
    do items.push(this.value(depth + 1, path))
    while (this.take(','))
    if (!this.take(']')) this.fail('a comma or ] is missing')
    return { kind: 'array', items }
  }
}

/** pretty writes a node on several lines, or on one if it is short. */
export function pretty(node, indent = '') {
  const children = node.kind === 'object' ? node.members.map(m => ({ start: JSON.stringify(m.name) + ': ', node: m.node }))
    : node.kind === 'array' ? node.items.map(item => ({ start: '', node: item }))
      : null
  if (!children) return node.text
  const [open, close] = node.kind === 'object' ? '{}' : '[]'
  if (children.length === 0) return open + close
  const flat = node.kind === 'array' && node.items.every(item => item.text) && compact(node).length <= 48
  if (flat) return `[${node.items.map(item => item.text).join(', ')}]`
  const deeper = indent + '  '
  return `${open}\n${children.map(c => deeper + c.start + pretty(c.node, deeper)).join(',\n')}\n${indent}${close}`
}

/** compact writes a node without spaces. */
export function compact(node) {
  switch (node.kind) {
    case 'object': return `{${node.members.map(m => JSON.stringify(m.name) + ':' + compact(m.node)).join(',')}}`
    case 'array': return `[${node.items.map(compact).join(',')}]`
  }
  return node.text
}

/** plain turns a node into a value. Objects are maps: no name is special. */
export function plain(node) {
  switch (node.kind) {
    case 'object': return new Map(node.members.map(m => [m.name, plain(m.node)]))
    case 'array': return node.items.map(plain)
  }
  return JSON.parse(node.text)
}

/** put sets a member of an object, in its place or at the end. */
export function put(node, name, value) {
  const written = parse(JSON.stringify(value)).node
  const member = node.members.find(m => m.name === name)
  if (member) member.node = written
  else node.members.push({ name, node: written })
}

export function remove(node, name) {
  node.members = node.members.filter(m => m.name !== name)
}
