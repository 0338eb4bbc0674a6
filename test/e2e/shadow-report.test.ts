import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { photograph } from '../support/checker.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { type OldService, oldService, type Plant } from '../support/old-service.ts'
import { type Ended, story } from '../support/service.ts'
import { type Shadowed, SYNC, withShadow } from '../support/shadow.ts'

const REPORT = ['shadow', 'report', '--json']

interface Line {
  media_id: number | null
  name: string
  basis: string
  skipped: string | null
  differences: { kind: string; text: string }[]
}

interface Sum {
  compared: number
  differ: number
  by_old_file: number
  skipped: Record<string, number>
  general: { kind: string; count: number; hint: string }[]
  safe: boolean
  verdict: string
}

async function reported(
  { shadow }: Pick<Shadowed, 'shadow'>,
  args: readonly string[] = [],
): Promise<{ lines: Line[]; sum: Sum; ended: Ended }> {
  const ended = await shadow([...REPORT, ...args])
  const parsed = ended.stdout.trim().split('\n')
  const sum = JSON.parse(parsed.pop() ?? '') as Sum
  return { lines: parsed.map((line) => JSON.parse(line) as Line), sum, ended }
}

/** Each difference as `<media id or name> <kind>`. */
function found(lines: readonly Line[]): string[] {
  return lines.flatMap(({ media_id: id, name, differences }) =>
    differences.map(({ kind }) => `${id ?? name} ${kind}`),
  )
}

/** Beside an old service that works as it should. */
describe('the report compares what the old service did with what Strongroom would have done', {
  concurrency: 2,
}, () => {
  test('it finds nothing where nothing is wrong, and says that it is safe to cut over', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    await service.approve(8, (n) => {
      if (n === 2) return { bytes: Buffer.from('no media') }
      return n === 5 ? 'no object' : undefined
    })
    const first = await service.shadow(SYNC)
    assert.equal(first.code, 75, story(first))
    await old.round()
    // Approved, archived and deleted before Strongroom looks again.
    await service.approve(2)
    await old.round()
    await service.shadow(SYNC)
    const before = await photograph(service)

    const { lines, sum, ended } = await reported(service)
    assert.deepEqual(found(lines), [], story(ended))
    assert.equal(sum.verdict, '9 compared, 0 differ: safe to cut over')
    assert.equal(ended.code, 0, story(ended))
    assert.equal(sum.by_old_file, 2, 'where the old service was faster, its file is looked at')
    assert.deepEqual(sum.skipped, { waiting: 0, missing: 1, changed: 0, unread: 0 })
    assert.deepEqual(await photograph(service), before, 'the report writes nothing')
  })

  test('it finds each of fourteen planted differences, and no other', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    await service.approve(18, (n) => {
      // A page that bears the name of a picture, which ffprobe takes for one.
      if (n === 3) return { bytes: Buffer.from('<html><body>no picture</body></html>') }
      return n === 14 ? { bytes: Buffer.from('no media') } : undefined
    })
    const first = await service.shadow(SYNC)
    assert.equal(first.code, 0, story(first))
    await old.round(planted)
    await archiveUnapproved(service, old)
    await writeFile(join(service.archiveDir, 'nobody.mp4'), 'belongs to no row')

    const { lines, sum, ended } = await reported(service)
    assert.deepEqual(
      found(lines),
      [
        '2 missed',
        '3 bytes',
        '4 verdict',
        '5 truncated',
        '6 path',
        '7 verdict',
        '8 status',
        '9 audit-missing',
        '10 audit-doubled',
        '11 source-kept',
        '12 source-early',
        '13 sidecar',
        '100 extra',
        'nobody.mp4 extra',
      ],
      story(ended),
    )
    assert.deepEqual(sum.general, [])
    assert.equal(sum.verdict, '20 compared, 14 differ: not safe to cut over')
    assert.equal(ended.code, 75)
    const why = (id: number) => lines.find((line) => line.media_id === id)?.differences[0]?.text
    assert.match(why(2) ?? '', /passed it over: media 18 was approved later and is archived/)
    assert.match(why(4) ?? '', /Strongroom would not \(reject: .*\)/)
    assert.match(why(5) ?? '', /has \d+ bytes of \d+; its source is gone/)
    assert.match(why(6) ?? '', /lies at misfiled\/6\.mp4; Strongroom .* at \d{4}\/\d\d\/6\/6\.mp4/)
    assert.match(why(13) ?? '', /size is "\d+"/)
  })
})

const planted = new Map<number, Plant>([
  [2, 'missed'],
  [3, 'other bytes'],
  [5, 'truncated'],
  [6, 'other path'],
  [7, 'rejects'],
  [8, 'status not updated'],
  [9, 'audit missing'],
  [10, 'audit doubled'],
  [11, 'source not deleted'],
  [12, 'source deleted too early'],
  [13, 'sidecar with a wrong fact'],
])

/** A row that nobody has approved. */
async function archiveUnapproved(service: Shadowed, old: OldService): Promise<void> {
  const key = 'uploads/100.png'
  await service.admin.put(key, uniqueMedia('image', 100))
  const facts = { user_id: 7, title: 'Draft', filename: '100.png', object_key: key }
  const row = { id: 100, content_type: 'image', mime_type: 'image/png', ...facts }
  await service.sql`insert into media ${service.sql({ ...row, status: 'pending' })}`
  await old.handle({ ...row, approved_at: new Date() })
}
