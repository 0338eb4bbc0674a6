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
  for (const pair of text.split('&')) {
    if (pair === name) values.push('')
    else if (pair.startsWith(name) && pair[name.length] === '=')
      values.push(pair.slice(name.length + 1))
  }
  return values
}
