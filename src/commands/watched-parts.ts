import type { Config } from '../config.ts'
import { damagedFiles } from '../db/damaged.ts'
import { toAppError } from '../errors.ts'
import type { Watched } from '../notify/watch.ts'
import type { SyncService } from '../open.ts'
import { requireArchive } from '../serve/locate.ts'

const EVERY_MS = 60_000

/** What a syncer tells of beside its runs. */
export function partsOfSyncer({ archives, database }: SyncService): Watched[] {
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
        }
      },
    },
    {
      subject: 'files',
      recovered: 'every archived file is what was archived again',
      everyMs: EVERY_MS,
      async look() {
        const [first, second] = await damagedFiles(database, 2)
        if (first === undefined) return null
        const more = second === undefined ? '' : ', and others'
        return {
          title: 'archived files are damaged',
          detail: `${first.archivePath} is not what was archived: ${first.damage}${more}`,
          next: 'run "strongroom verify" (of the second bucket: "verify --second") to see all of them, restore them from your backup, then "strongroom verify --repair"',
        }
      },
    },
  ]
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
