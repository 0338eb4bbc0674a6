import { type Reader, reader } from './values.ts'

/** What a connection URL says, each under the name of the setting that it stands for. */
export interface UrlParts {
  parts: Record<string, string>
  /** It had parameters that mean nothing here. */
  ignored: boolean
}

/** An @ after the host shows a password with a bare / ? or #, whose rest would be read, and shown, as something else. */
const postgresUrl = /^postgres(?:ql)?:\/\/[^/?#]*(?:[/?#][^@]*)?$/i

export const databaseUrl: Reader<UrlParts> = reader(
  'must look like postgres://user:password@host:5432/database; special characters in the password are percent-encoded',
  (value) => {
    const url = postgresUrl.test(value) ? URL.parse(value) : null
    if (!url) return undefined
    try {
      return urlParts(url)
    } catch {
      // URIError: a percent sign that encodes nothing.
      return undefined
    }
  },
)

function urlParts(url: URL): UrlParts {
  const query = url.searchParams
  const named: Record<string, string | null> = {
    DB_HOST: decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1') || query.get('host'),
    DB_PORT: url.port,
    DB_NAME: decodeURIComponent(url.pathname.slice(1)),
    DB_USER: decodeURIComponent(url.username),
    DB_PASSWORD: decodeURIComponent(url.password),
    DB_SSLMODE: query.get('sslmode'),
    DB_POOLER: query.get('pgbouncer'),
  }
  const present = Object.entries(named).filter((entry): entry is [string, string] => !!entry[1])
  const known = ['sslmode', 'pgbouncer', 'host']
  return {
    parts: Object.fromEntries(present),
    ignored: [...query.keys()].some((key) => !known.includes(key)),
  }
}
