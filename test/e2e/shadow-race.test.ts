import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { withGatingProxy } from '../support/gating-proxy.ts'
import { type OldRow, oldService } from '../support/old-service.ts'
import { type Env, story } from '../support/service.ts'
import { found, reported, type Shadowed, SYNC, withShadow } from '../support/shadow.ts'

async function rowOf({ sql }: Shadowed, id: number): Promise<OldRow> {
  const [row] = await sql<OldRow[]>`
    select id::int, user_id::int, title, filename, content_type, mime_type, object_key, approved_at
    from media where id = ${id}`
  if (row === undefined) throw new Error(`there is no row ${id}`)
  return row
}

/** The settings of a bucket behind a line on which `before` sees each request first. */
async function behind(
  t: Parameters<typeof withGatingProxy>[0],
  { env }: Shadowed,
  before: (sent: string) => Promise<void>,
): Promise<Env> {
  const port = await withGatingProxy(t, Number(new URL(env.R2_ENDPOINT ?? '').port), before)
  return { R2_ENDPOINT: `http://127.0.0.1:${port}` }
}

describe('the old service is at work at the same time', { concurrency: 3 }, () => {
  test('an object that it takes away between a look and a download is no difference', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    await service.approve(3)
    let raced = 0
    const env = await behind(t, service, async (sent) => {
      if (!sent.startsWith('GET /') || !sent.includes('/uploads/2.')) return
      raced += 1
      if (raced === 1) await old.handle(await rowOf(service, 2))
    })
    // The bucket is known by its address: the report must look through the same line.
    const ended = await service.shadow(SYNC, env)
    assert.equal(raced, 1)
    assert.equal(ended.code, 0, story(ended))
    const { archive, late } = JSON.parse(ended.stdout) as Record<string, number>
    assert.deepEqual({ archive, late }, { archive: 2, late: 1 })
    await old.round()
    const { lines, sum } = await reported(service, [], env)
    assert.deepEqual(found(lines), [])
    assert.equal(sum.by_old_file, 1)
    assert.equal(sum.verdict, '3 compared, 0 differ: safe to cut over')
  })

  test('where it was faster, its own file tells what is wrong with it', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    await service.approve(1)
    await service.shadow()
    await service.approve(4, (n) =>
      // ffprobe takes a page for the picture that its name promises.
      n === 2 ? { bytes: Buffer.from('<html><body>no picture</body></html>') } : undefined,
    )
    await old.round(
      new Map([
        [2, 'other path'],
        [3, 'truncated'],
      ]),
    )
    const early = await reported(service)
    assert.deepEqual(found(early.lines), ['2 path', '3 truncated', '4 verdict'])
    await service.shadow()
    const again = await reported(service)
    assert.deepEqual(found(again.lines), ['2 path', '3 truncated', '4 verdict'])
    assert.equal(again.sum.by_old_file, 4)
  })

  test('where it was faster with what Strongroom would hold, their verdicts differ', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    await service.shadow()
    await service.approve(2)
    // A backend that approves before the upload.
    await service.sql`update media set approved_at = now() - interval '10 minutes' where id = 2`
    await old.round(new Map([1, 2].map((id) => [id, 'source not deleted'])))
    const ended = await service.shadow()
    assert.equal((JSON.parse(ended.stdout) as { hold: number }).hold, 1, story(ended))
    const { lines } = await reported(service, ['--accept', 'source-kept'])
    assert.deepEqual(found(lines), ['2 verdict'])
  })

  test('what it has not come to yet, and what a person changed, is left out', async (t) => {
    const service = await withShadow(t)
    const old = oldService(service)
    const { sql } = service
    await service.approve(4)
    await service.shadow()
    await sql`update media set status = 'pending' where id = 2`
    await sql`update media set approved_at = now() where id = 3`
    await sql`update media set status = 'held' where id = 4`
    await old.handle(await rowOf(service, 1))
    await sql`update media set deleted_at = now() where id = 1`
    const { lines, sum, ended } = await reported(service)
    assert.deepEqual(found(lines), [], story(ended))
    assert.deepEqual(sum.skipped, { waiting: 0, missing: 0, changed: 4, unread: 0 })
    assert.equal(sum.verdict, '0 compared, 0 differ: not safe to cut over')
    assert.equal(ended.code, 75)

    await service.approve(1)
    await service.shadow()
    const later = await reported(service)
    // Media 3 was looked at again under its new approval.
    assert.deepEqual(later.sum.skipped, { waiting: 2, missing: 0, changed: 3, unread: 0 })
  })
})
