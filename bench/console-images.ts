/** Makes docs/images anew: the console of a small archive, in headless Chromium. `node bench/console-images.ts` */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeDemoMedia } from '../src/demo/media.ts'
import { consoleToken, openConsole, screenshot } from '../test/support/console.ts'
import { withDemoBucket } from '../test/support/demo-bucket.ts'
import { startPostgres } from '../test/support/postgres.ts'
import { startTalking } from '../test/support/program.ts'
import { withService } from '../test/support/service.ts'

const IMAGES = join(import.meta.dirname, '../docs/images')

const titles: Readonly<Record<string, string>> = {
  'harbour at dawn.mp4': 'Harbour at dawn',
  'interview.webm': 'Interview with the lighthouse keeper',
  'poster.jpg': 'Poster of the summer fair',
  'broken upload.mp4': 'Regatta, second day',
}

const steps: (() => unknown)[] = []
const scope = { after: (step: () => unknown) => void steps.unshift(step) }

async function makeImages(): Promise<void> {
  const server = await startPostgres()
  scope.after(() => server.stop())
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-images-'))
  scope.after(() => rm(folder, { recursive: true }))
  const bucket = await withDemoBucket({ after: (step) => scope.after(step) })
  const service = await withService(scope, { server, bucket })
  const env = {
    ...service.env,
    ADMIN_TOKEN: consoleToken,
    UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234',
    SYNC_INTERVAL: '24h',
    LOG_LEVEL: 'info',
  }
  const program = startTalking(scope, ['start'], env)
  const port = await program.port('admin')
  await program.said(/"message":"run finished"/)
  for (const { name, path, kind, mimeType } of await makeDemoMedia(folder)) {
    const bytes = await readFile(path)
    await service.admin.put(`uploads/${name}`, bytes)
    await service.sql`
      insert into media (user_id, title, filename, content_type, mime_type, file_size, object_key, status, approved_at)
      values (1, ${titles[name] ?? null}, ${name}, ${kind}, ${mimeType}, ${bytes.length}, ${`uploads/${name}`},
        'approved', now())`
  }
  const page = await openConsole(scope, port)
  await page.press('Sync now')
  await page.shows('#part-runs', /5 archived, 1 rejected/)
  await page.shows('#part-attention', /not valid media/)
  await page.shows('#part-numbers', /Under care5/)
  await page.evaluate(`void document.querySelector('.notice')?.remove()`)
  await page.look({ width: 1100, height: 720, scheme: 'light' })
  await writeFile(join(IMAGES, 'console.png'), await screenshot(page))
  await page.go(`http://127.0.0.1:${port}/media/1`)
  await page.look({ width: 360, height: 720, scheme: 'dark' })
  await page.evaluate(`new Promise((resolve) => {
    const video = document.querySelector('video')
    video.preload = 'auto'
    video.onseeked = resolve
    video.currentTime = 1
  })`)
  await writeFile(join(IMAGES, 'console-medium.png'), await screenshot(page))
}

await mkdir(IMAGES, { recursive: true })
try {
  await makeImages()
} finally {
  for (const step of steps) await step()
}
