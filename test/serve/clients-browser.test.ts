/** A film in a page, as viewers see it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { openPage, type Page } from '../support/chromium.ts'
import { addFile } from '../support/file-server.ts'
import { filmSeconds, makeFilm } from '../support/film.ts'
import { fileUrl, startTalking, type TalkingProgram, tokenFor } from '../support/program.ts'
import { type Scope, withFolder } from '../support/scopes.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'

/** What the page offers to its test: promises that the events of its player keep, with the time of the film. */
const player = `<!doctype html><video muted></video><script>
  const video = document.querySelector('video')
  const act = (name, action) =>
    new Promise((resolve, reject) => {
      video.addEventListener(name, () => resolve(video.currentTime), { once: true })
      video.addEventListener('error', () => reject(new Error(video.error.message)), { once: true })
      action()
    })
  const seek = (seconds) => act('seeked', () => { video.currentTime = seconds })
  const seekToTheEnd = () => act('ended', () => { video.currentTime = video.duration - 1 })
  const play = (url, crossOrigin = null) => act('playing', () => {
    video.crossOrigin = crossOrigin
    video.src = url
    video.play().catch(() => {})
  })
</script>`

/** A site with one page. @returns its port */
async function withSite(t: Scope): Promise<number> {
  const server = createServer((_request, response) => {
    response.setHeader('Content-Type', 'text/html').end(player)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function withFilmArchive(t: Scope): Promise<string> {
  const archiveDir = await withFolder(t)
  await mkdir(join(archiveDir, dirname(MARKER_PATH)))
  await writeFile(join(archiveDir, MARKER_PATH), '{}')
  const contents = await readFile(await makeFilm(t))
  await addFile(archiveDir, { path: '2026/11/7/film.mp4', contents, facts: { media_id: 7 } })
  return archiveDir
}

function serve(t: Scope, archiveDir: string, more: Record<string, string> = {}): TalkingProgram {
  const env = { ARCHIVE_DIR: archiveDir, SERVER_PORT: '0', UNRAID_TUNNEL_SECRET: secret, ...more }
  return startTalking(t, ['start', '--role', 'serve'], env)
}

/** It plays on meanwhile. */
async function reaches(page: Page, seconds: number): Promise<void> {
  const reached = Number(await page.evaluate(`seek(${seconds})`))
  assert.ok(reached >= seconds && reached <= filmSeconds, `${reached} s`)
}

function filmUrl(port: number): string {
  const url = fileUrl(port, '2026/11/7/film.mp4', tokenFor(secret, { media_id: 7 }))
  return `${url.replace('127.0.0.1', 'localhost')}&disposition=inline`
}

test('a film in a page plays, jumps, goes on after the server was killed, and ends', async (t) => {
  const archiveDir = await withFilmArchive(t)
  const first = serve(t, archiveDir)
  const port = await first.port('serve')
  const page = await openPage(t, `http://localhost:${await withSite(t)}/`)
  await page.evaluate(`play('${filmUrl(port)}')`)
  assert.equal(await page.evaluate('video.videoWidth'), 320)
  assert.equal(Math.round(Number(await page.evaluate('video.duration'))), filmSeconds)
  await reaches(page, filmSeconds / 2)
  await first.stop('SIGKILL')
  const second = serve(t, archiveDir, { SERVER_PORT: String(port) })
  await second.port('serve')
  await reaches(page, filmSeconds - 2)
  assert.equal(await page.evaluate('seekToTheEnd()'), await page.evaluate('video.duration'))
  const { stdout } = await second.stop()
  assert.match(stdout, /"status":206,"mediaId":7/, 'the rest came from the new server')
})

test('a film plays on another site only where the settings let it', async (t) => {
  const archiveDir = await withFilmArchive(t)
  const site = `http://127.0.0.1:${await withSite(t)}`
  const [closed, open] = [serve(t, archiveDir), serve(t, archiveDir, { CORS_ORIGINS: site })]
  const page = await openPage(t, `${site}/`)
  const [barred, allowed] = [filmUrl(await closed.port('serve')), filmUrl(await open.port('serve'))]
  for (const how of ['null', "'anonymous'"]) {
    await assert.rejects(page.evaluate(`play('${barred}', ${how})`), /Format error/)
    await page.evaluate(`play('${allowed}', ${how})`)
    await reaches(page, filmSeconds / 2)
  }
})
