import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  accessibilityFaults,
  type ConsolePage,
  consoleToken,
  openConsole,
} from '../support/console.ts'
import { mediaBytes } from '../support/media-files.ts'
import { approveMedium } from '../support/media-rows.ts'
import { startTalking } from '../support/program.ts'
import { type Env, type Service, withService } from '../support/service.ts'

const env = {
  ADMIN_TOKEN: consoleToken,
  UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234',
  SYNC_INTERVAL: '24h',
  LOG_LEVEL: 'info',
} satisfies Env

/** Every file with what is in it and when it was written. */
async function treeOf({ archiveDir, errorDir }: Service): Promise<string[]> {
  const files: string[] = []
  for (const dir of [archiveDir, errorDir]) {
    const entries = await readdir(dir, { recursive: true, withFileTypes: true })
    for (const entry of entries.filter((one) => one.isFile())) {
      const path = join(entry.parentPath, entry.name)
      const { mtimeMs, ino } = await stat(path)
      const digest = createHash('sha256')
        .update(await readFile(path))
        .digest('hex')
      files.push(`${path} ${ino} ${mtimeMs} ${digest}`)
    }
  }
  return files.toSorted()
}

/** In both colours, for wide screens and narrow ones. */
async function assertGoodPage(page: ConsolePage, name: string): Promise<void> {
  for (const [width, scheme] of [
    [360, 'dark'],
    [1280, 'light'],
  ] as const) {
    await page.look({ width, height: 800, scheme })
    assert.deepEqual(await accessibilityFaults(page), [], `${name}, ${width} px, ${scheme}`)
    const wide = await page.evaluate('document.documentElement.scrollWidth')
    assert.ok(Number(wide) <= width, `${name} is ${wide} px wide on ${width} px`)
  }
}

test('a person runs a sync on the console, watches it live, looks at what was rejected, and loads a file by a link', async (t) => {
  const service = await withService(t)
  const program = startTalking(t, ['start'], { ...service.env, ...env })
  const admin = await program.port('admin')
  await program.said(/"message":"run finished"/)
  const at = (path: string) => `http://127.0.0.1:${admin}${path}`
  const page = await openConsole(t, admin)
  await assertGoodPage(page, 'the empty first page')
  assert.match(await page.text(), /Nobody works on anything at this moment/)

  const film = mediaBytes('mp4')
  const good = await approveMedium(service, { kind: 'video', bytes: film, filename: 'harbour.mp4' })
  const cut = film.subarray(0, film.length >> 1)
  const broken = await approveMedium(service, { kind: 'video', bytes: cut, filename: 'cut.mp4' })
  await page.press('Sync now')
  await page.evaluate('void (window.loadedOnce = true)')
  await page.shows('#part-runs', /partial|1 archived, 1 rejected/)
  await page.shows('#part-attention', /not valid media/)
  await page.shows('#part-numbers', /Under care1/)
  assert.equal(await page.evaluate('window.loadedOnce'), true, 'without loading the page again')
  const tree = await treeOf(service)
  await assertGoodPage(page, 'the first page')

  await page.follow(`document.querySelector('#part-attention a').click()`)
  const rejected = await page.text()
  assert.match(rejected, new RegExp(`media ${broken.mediaId}\\s+rejected`))
  assert.match(rejected, /What now: look at the copy and its report in ERROR_DIR/)
  await assertGoodPage(page, 'a rejected medium')
  await page.press('Acknowledge')
  assert.match(await page.text(), /Noted: it is listed again only when its state changes/)
  await page.go(at('/'))
  await page.shows('#part-attention', /Nothing\. Whatever is rejected/)

  await page.go(at(`/media/${good.mediaId}`))
  const plays = `new Promise((resolve, reject) => {
    const video = document.querySelector('video')
    video.onerror = () => reject(video.error)
    video.onloadedmetadata = () => resolve(video.duration)
    video.load()
  })`
  assert.ok(Number(await page.evaluate(plays)) > 0, 'the film plays in the page')
  await assertGoodPage(page, 'an archived medium')
  await page.press('Mint a link')
  const link = await page.evaluate(`document.querySelector('[data-minted]').href`)
  const loaded = await fetch(String(link))
  assert.equal(loaded.status, 200)
  assert.deepEqual(Buffer.from(await loaded.arrayBuffer()), film)
  await page.go(at(`/media/${good.mediaId}`))
  assert.equal(await page.evaluate(`document.querySelector('[data-minted]')`), null, 'shown once')
  const readings = () =>
    service.sql<{ read: boolean }[]>`
      select verified_at is not null as read from strongroom.items where media_id = ${good.mediaId}`
  assert.deepEqual([...(await readings())], [{ read: false }])
  await page.press('Read again')
  await program.said(/"message":"scrubbed"/)
  assert.deepEqual([...(await readings())], [{ read: true }])

  await writeFile(join(service.archiveDir, 'stranger.mp4'), 'whose?')
  await page.go(at('/integrity'))
  await assertGoodPage(page, 'integrity')
  await page.press('Look now')
  while (!/stranger\.mp4/.test(await page.text())) await page.go(at('/integrity'))
  assert.match(await page.text(), /1 foreign/)
  await assertGoodPage(page, 'integrity after a look')

  for (const path of [
    '/items',
    '/items?q=harb',
    '/items?q=nothing',
    '/runs',
    '/runs/2',
    '/actions',
  ])
    await page.go(at(path)).then(() => assertGoodPage(page, path))
  for (const path of ['/docs', '/nothing', '/login'])
    await page.go(at(path)).then(() => assertGoodPage(page, path))
  await page.go(at('/actions'))
  const did = await page.text()
  for (const action of ['sync', 'acknowledge', 'mint', 'verify', 'look'])
    assert.match(did, new RegExp(`^${action}\\b`, 'm'))
  const after = await treeOf(service)
  const added = after.filter((file) => !tree.includes(file))
  assert.deepEqual(
    added.map((file) => file.split(' ')[0]),
    [join(service.archiveDir, 'stranger.mp4')],
  )
  assert.deepEqual(
    tree.filter((file) => !after.includes(file)),
    [],
    'no button touched a file',
  )
})

test('a node with the admin role alone asks the syncing one, and both end at once while a page is looked at', async (t) => {
  const service = await withService(t)
  const syncing = startTalking(t, ['start', '--role', 'sync'], { ...service.env, ...env })
  await syncing.said(/"message":"run finished"/)
  // Whoever waited for the page would wait for this long.
  const patient = { ...service.env, ...env, SHUTDOWN_TIMEOUT: '1h' }
  const alone = startTalking(t, ['start', '--role', 'admin'], patient)
  const page = await openConsole(t, await alone.port('admin'))
  await approveMedium(service)
  await page.press('Sync now')
  await page.shows('#part-runs', /api/)
  await page.shows('#part-runs', /1 archived/)
  assert.equal((await alone.stop()).code, 0, 'a page that is open holds nobody up')
  assert.equal((await syncing.stop()).code, 0)
})
