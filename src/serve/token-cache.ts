import { hash } from 'node:crypto'

/** Two generations of so many: some 10 MiB when all are in use. */
const maxEntries = 20_000

interface Verified<Claims> {
  claims: Claims
  /** Milliseconds since 1970. */
  verifiedAt: number
}

/**
 * Remembers what verified tokens said, by their SHA-256, so that a player's hundred ranges cost one signature check. A
 * refusal is never remembered, no token outlives its `exp`, and none that was verified later than the clock says is
 * believed without another look. When one generation is full it becomes the old one, and the one before it is
 * forgotten: no search for the oldest entry, however many tokens come.
 *
 * @param verify the judge, whose answer may depend on the time only by `exp` and by bounds that grow with it
 */
export function createTokenCache<Claims extends { expiresAt: number }>(
  verify: (token: string, now: Date) => Claims,
  { max = maxEntries }: { max?: number } = {},
): (token: string, now: Date) => Claims {
  let young = new Map<string, Verified<Claims>>()
  let old = new Map<string, Verified<Claims>>()

  const keep = (key: string, entry: Verified<Claims>) => {
    if (young.size >= max / 2) {
      old = young
      young = new Map()
    }
    young.set(key, entry)
  }

  const find = (key: string) => {
    const recent = young.get(key)
    if (recent !== undefined) return recent
    const entry = old.get(key)
    if (entry === undefined) return null
    old.delete(key)
    keep(key, entry)
    return entry
  }

  return (token, now) => {
    const key = hash('sha256', token, 'base64url')
    const known = find(key)
    const at = now.getTime()
    if (known !== null && at >= known.verifiedAt && known.claims.expiresAt * 1000 > at) {
      return known.claims
    }
    const claims = verify(token, now)
    keep(key, { claims, verifiedAt: at })
    return claims
  }
}
