import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { photograph } from '../support/checker.ts'
import { openPage } from '../support/chromium.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { type OldService, oldService, type Plant } from '../support/old-service.ts'
import { story } from '../support/service.ts'
import { found, reported, type Shadowed, SYNC, withShadow } from '../support/shadow.ts'

/** More take long: STRONGROOM_TEST_SHADOW_ITEMS=500 node test/run.ts test/e2e/shadow-report */
const ITEMS = Number(process.env.STRONGROOM_TEST_SHADOW_ITEMS ?? 8)

describe('the report compares what the old service did with what Strongroom would have done', {
  concurrency: 2,
}, () => {
  test('it finds nothing where nothing is wrong, and says that it is safe to cut over', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    await service.approve(ITEMS, (n) => {
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
    assert.equal(sum.verdict, `${ITEMS + 1} compared, 0 differ: safe to cut over`)
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

  test('once Strongroom has stopped looking it is not safe, and what both passed over is found', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    await service.approve(1)
    await service.shadow()
    await old.round()
    assert.equal((await reported(service)).sum.safe, true)

    await service.approve(3)
    const full = await service.shadow(SYNC, { FREE_SPACE_MIN: '900000GiB' })
    assert.equal(full.code, 74, story(full))
    await old.round(new Map([[2, 'missed']]))
    const blind = await reported(service, ['--accept', 'missed'])
    assert.equal(blind.sum.verdict, '4 compared, 0 differ: not safe to cut over')
    assert.match(blind.sum.notes[0] ?? '', /its last run stopped early/)

    await service.shadow()
    const { sum, lines } = await reported(service)
    assert.deepEqual(found(lines), ['2 missed'])
    assert.equal(sum.verdict, '4 compared, 1 differ: not safe to cut over')
  })

  test('another layout is one difference with its remedy, and hides no file that lies elsewhere', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service, ({ id, content_type: kind, filename, approved_at: at }) => {
      const [year, month] = at.toISOString().split('-')
      return `${kind}/${year}-${month}/${id}_${filename}`
    })
    await service.approve(8)
    await service.shadow()
    await old.round(new Map([[5, 'other path']]))

    const { lines, sum, ended } = await reported(service)
    assert.deepEqual(found(lines), ['5 path'], story(ended))
    const [layout, ...others] = sum.general
    assert.deepEqual(others, [])
    assert.deepEqual([layout?.kind, layout?.count], ['path', 7])
    const [, wanted = ''] =
      /^ARCHIVE_LAYOUT='([^']+)' gives its paths/.exec(layout?.hint ?? '') ?? []
    assert.equal(wanted, '{content_type}/{year}-{month}/{media_id}_{filename}')
    assert.equal(
      sum.verdict,
      '8 compared, 1 differ, 1 thing differs in all of them: not safe to cut over',
    )

    const set = await reported(service, [], { ARCHIVE_LAYOUT: wanted })
    assert.deepEqual(found(set.lines), ['5 path'])
    assert.equal(set.sum.verdict, '8 compared, 1 differ: not safe to cut over')
    const meant = await reported(service, ['--accept', 'path'])
    assert.equal(meant.sum.verdict, '8 compared, 0 differ: safe to cut over')
    assert.equal(meant.ended.code, 0)
  })

  test('a habit of the old service is said once', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    await service.approve(5)
    await service.shadow()
    await old.round(new Map([1, 2, 3, 4, 5].map((id) => [id, 'source not deleted'])))
    await service.sql`update audit_logs set action = 'media_archived'`
    const { lines, sum } = await reported(service)
    assert.deepEqual(found(lines), [])
    assert.deepEqual(
      sum.general.map(({ kind, count }) => [kind, count]),
      [
        ['audit-missing', 5],
        ['source-kept', 5],
      ],
    )
    const named = await reported(service, ['--accept', 'source-kept'], {
      ACTION_ARCHIVED: 'media_archived',
    })
    assert.equal(named.sum.verdict, '5 compared, 0 differ: safe to cut over')
  })

  test('its page is one file that fits a telephone, and runs nothing that a name holds', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    await service.approve(6)
    const hostile = `<img src=x onerror="document.title = 'run'">.mp4`
    await service.sql`update media set filename = ${hostile}, title = ${hostile}`
    await service.shadow()
    await old.round(
      new Map([
        [2, 'truncated'],
        [3, 'rejects'],
        [4, 'audit doubled'],
      ]),
    )
    const file = join(service.errorDir, 'report.html')
    const { ended, sum } = await reported(service, ['--html', file])
    assert.equal(ended.code, 75, story(ended))

    const markup = await readFile(file, 'utf8')
    assert.doesNotMatch(markup, /<script|<img|https?:|url\(|@import/)
    const page = await openPage(t, `file://${file}`)
    assert.equal(await page.evaluate('document.title'), sum.verdict)
    assert.equal(await page.evaluate("document.querySelector('h1').textContent"), sum.verdict)
    const cards = "[...document.querySelectorAll('main article')].length"
    assert.equal(await page.evaluate(cards), sum.differ)
    // As wide as a small telephone: nothing sticks out of it.
    const narrow = `(async () => {
      const frame = document.createElement('iframe')
      frame.style = 'width: 360px; height: 800px; border: 0'
      const loaded = new Promise((resolve) => { frame.onload = resolve })
      frame.srcdoc = document.documentElement.outerHTML
      document.body.append(frame)
      await loaded
      const { scrollWidth, clientWidth } = frame.contentDocument.documentElement
      return scrollWidth - clientWidth
    })()`
    assert.equal(await page.evaluate(narrow), 0)
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
