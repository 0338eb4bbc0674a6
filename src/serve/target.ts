/** What follows the question mark of a request target, read as https://url.spec.whatwg.org/#urlencoded-parsing says. */
export type Query = Pick<URLSearchParams, 'getAll'>

/** Splits a request target at its first question mark; what a proxy puts before the path is dropped. */
export function splitTarget(url: string): { path: string; query: Query } {
  const target = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?#]*/i, '')
  const mark = target.indexOf('?')
  if (mark < 0) return { path: target, query: readQuery('') }
  return { path: target.slice(0, mark), query: readQuery(target.slice(mark + 1)) }
}

function readQuery(text: string): Query {
  // With nothing to decode, as in each link of ours, there is next to nothing to do.
  return /^\?|[%+]/.test(text)
    ? new URLSearchParams(text)
    : { getAll: (name) => valuesOf(text, name) }
}

function valuesOf(text: string, name: string): string[] {
  const values: string[] = []
  // Without making a list of all pairs first: each request looks for two names in a long text of mostly one pair.
  for (let from = 0; from <= text.length; ) {
    const mark = text.indexOf('&', from)
    const end = mark < 0 ? text.length : mark
    const valueAt = from + name.length
    if (text.startsWith(name, from)) {
      if (valueAt === end) values.push('')
      else if (text[valueAt] === '=' && valueAt < end) values.push(text.slice(valueAt + 1, end))
    }
    from = end + 1
  }
  return values
}
