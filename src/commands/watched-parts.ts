import type { Config } from '../config.ts'
import { type DamagedFile, damagedFiles } from '../db/damaged.ts'
import { toAppError } from '../errors.ts'
import type { Trouble } from '../notify/standing.ts'
import type { Watched } from '../notify/watch.ts'
import type { SyncService } from '../open.ts'
import { requireArchive } from '../serve/locate.ts'

const EVERY_MS = 60_000
/** More are not told of one after the other: whoever has so many looks at all of them. */
const MOST_FILES = 20
/** Among so many the ones that were damaged first are looked for. */
const FILES_READ = 1_000

/** What a syncer tells of beside its runs. */
export function partsOfSyncer({
  archives,
  database,
  leases,
}: Pick<SyncService, 'archives' | 'database' | 'leases'>): Watched[] {
  return [
    {
      subject: 'releases',
      recovered: 'releases run again',
      everyMs: EVERY_MS,
      async look() {
        const paused = (await archives.find())?.releasePaused ?? null
        if (paused === null) return null
        return {
          title: 'releases are paused',
          detail: paused.reason ?? 'somebody ran "strongroom release pause" and gave no reason',
          next: 'look at what is named, then run "strongroom release resume"; until then no source is deleted',
          since: paused.at,
          cases: [paused.at.toISOString()],
        }
      },
    },
    {
      subject: 'clock',
      recovered: "the database's clock runs steadily again, and releases with it",
      // Another process may not have seen it jump.
      ofNode: true,
      everyMs: EVERY_MS,
      look: async () => pausedByClock(leases.clockJumpedMs()),
    },
    {
      subject: 'files',
      recovered: 'every archived file is whole again, or acknowledged',
      everyMs: EVERY_MS,
      async look() {
        return troubleOf(await damagedFiles(database, FILES_READ, { unseen: true }))
      },
    },
  ]
}

function pausedByClock(jumpedMs: number | null): Trouble | null {
  if (jumpedMs === null) return null
  return {
    title: 'releases are paused',
    detail: "the database's clock jumped: what it calls due may not be",
    next: 'have both machines keep the right time (NTP); releases go on by themselves when the clock is back, or has run steadily for an hour',
    since: new Date(Date.now() - jumpedMs),
  }
}

/** Names the newest, and counts the others. Each is a case, but many are one: more or fewer of them change nothing. */
function troubleOf(files: readonly DamagedFile[]): Trouble | null {
  const age = ({ since }: DamagedFile) => since?.getTime() ?? 0
  const first = files
    .toSorted((a, b) => age(a) - age(b) || a.mediaId - b.mediaId)
    .slice(0, MOST_FILES)
  const newest = first.at(-1)
  if (newest === undefined) return null
  const others = first.length === 1 ? '' : `, and ${first.length - 1} more`
  const areMany = first.length === MOST_FILES
  const full = areMany ? `; of more nothing is told until fewer than ${MOST_FILES} are left` : ''
  return {
    title: 'archived files are damaged',
    detail: `${newest.archivePath} (media ${newest.mediaId}) is not what was archived: ${newest.damage}${others}`,
    next: `run "strongroom verify" (of the second bucket: "verify --second") to see all of them, restore them from your backup, then "strongroom verify --repair"; what is lost for good: "strongroom acknowledge MEDIA-ID"${full}`,
    cases: areMany
      ? ['many']
      : first.map(({ archivePath, since }) => `${archivePath} ${since?.toISOString() ?? ''}`),
  }
}

/** What a file server that stands alone tells of. */
export function partsOfServer({ archive }: Config): Watched[] {
  const look: Watched['look'] = async () => {
    try {
      await requireArchive(archive.dir)
      return null
    } catch (thrown) {
      const { message, hint } = toAppError(thrown)
      return { title: 'the archive is not there', detail: message, next: hint }
    }
  }
  return [{ subject: 'archive', recovered: 'the archive is there again', everyMs: EVERY_MS, look }]
}
