/** Variables that were probably meant for us but are spelt otherwise: nothing else would ever tell. */

/** Whatever begins so is meant for us, however far it is from any name of ours. */
const OUR_PREFIXES = ['R2_', 'DB_', 'SYNC_', 'RELEASE_', 'ARCHIVE_', 'UNRAID_TUNNEL_']
/** What Docker links and Kubernetes make for a service that is called db, and what other programs read of a shared file. */
const OF_OTHERS =
  /^[A-Z0-9_]+_(?:SERVICE_(?:HOST|PORT.*)|PORT_\d+_.*|ENV_.*)$|^R2_(?:ACCOUNT|PUBLIC|CUSTOM|TOKEN|DEV).*$|^DB_(?:CONNECTION|DRIVER|DIALECT|TYPE|ENGINE|SCHEMA|CHARSET|COLLATION|PREFIX|ROOT_PASSWORD|POOL_.*)$/
/** Usual names elsewhere that no count of letters brings near to ours. */
const USUAL: Readonly<Record<string, string>> = { DB_DATABASE: 'DB_NAME', R2_URL: 'R2_ENDPOINT' }

/**
 * @param names of the variables that are set
 * @param known every name that is read, without the `_FILE` forms
 * @returns one sentence for each that looks like one of ours but is none
 */
export function warnOfStrangers(names: readonly string[], known: readonly string[]): string[] {
  return names.flatMap((name) => {
    const [, base = name, suffix = ''] = /^(.+?)(_FILE)?$/s.exec(name) ?? []
    if (known.includes(base) || !/^[A-Za-z][\w.-]{1,63}$/.test(name)) return []
    if (/^(?:MEDIA|AUDIT)_COLUMN_/.test(base))
      return [`${name} names no column that is used, and is ignored`]
    const plain = base.toUpperCase().replace(/[.-]/g, '_')
    const slip = nearest(
      plain,
      known.filter((other) => mayBeSlip(plain, other)),
    )
    if (slip !== null && slip.slips <= slipsAllowed(plain, slip.name))
      return [`${name} is no setting and is ignored; was ${slip.name}${suffix} meant?`]
    if (!OUR_PREFIXES.some((prefix) => base.startsWith(prefix)) || OF_OTHERS.test(base)) return []
    const kin = known.find((other) => base.startsWith(other) || other.startsWith(`${base}_`))
    const ours = USUAL[base] ?? kin ?? nearest(plain, known)?.name
    return [`${name} is no setting and is ignored; the nearest is ${ours}${suffix}`]
  })
}

/** Short names are near to too many others (NODE is no slip of MODE), and a first letter is seldom wrong (S3_BUCKET). */
function slipsAllowed(name: string, other: string): number {
  const length = Math.min(name.length, other.length)
  if (length < 5 || name[0] !== other[0]) return 0
  return length < 8 ? 1 : 2
}

/** Most variables are so far from all of ours that their letters need no comparing, at each start. */
function mayBeSlip(name: string, other: string): boolean {
  return Math.abs(name.length - other.length) <= slipsAllowed(name, other)
}

function nearest(name: string, known: readonly string[]): { name: string; slips: number } | null {
  return known.reduce<{ name: string; slips: number } | null>((best, other) => {
    const slips = slipsBetween(name, other)
    return best === null || slips < best.slips ? { name: other, slips } : best
  }, null)
}

/** Damerau-Levenshtein: characters that are too many, missing or wrong, and neighbours exchanged. */
function slipsBetween(a: string, b: string): number {
  let [before, above] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const wrong = a[i - 1] === b[j - 1] ? 0 : 1
      const steps = [(above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + wrong]
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (exchanged) steps.push((before[j - 2] ?? 0) + 1)
      row.push(Math.min(...steps))
    }
    before = above
    above = row
  }
  return above[b.length] ?? 0
}
