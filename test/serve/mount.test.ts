import assert from 'node:assert/strict'
import { once } from 'node:events'
import { truncate } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Hono } from 'hono'
import type { MountedBindings } from '../../src/mounted.ts'
import { createAdminServer } from '../../src/serve/app.ts'
import { createHealth } from '../../src/serve/health.ts'
import { afterwards } from '../support/afterwards.ts'
import { addFile, type CapturedLog, captureLog } from '../support/file-server.ts'
import { type Scope, withFolder } from '../support/scopes.ts'

const MIB = 2 ** 20
const path = 'clip.mp4'

/** Pages, as another part has them, that send one file and tell of a failure in words of their own. */
function pagesWithFile() {
  const pages = new Hono<{ Bindings: MountedBindings }>()
  pages.get('*', ({ env }) => env.sendFile({ mediaId: 1, archivePath: path }))
  pages.onError((_error, { text }) => text('words of the pages', 500))
  return pages
}

async function withMount(
  t: Scope,
  contents: string | number,
): Promise<{ port: number; place: string; log: CapturedLog }> {
  const archiveDir = await withFolder(t)
  await addFile(archiveDir, { path, contents, facts: {} })
  const pages = pagesWithFile()
  const log = captureLog()
  const server = createAdminServer({
    health: createHealth({ checks: {} }),
    log,
    mounted: {
      pages: (request, bindings) => pages.fetch(request, bindings),
      archiveDir,
      trustedProxies: [],
    },
  })
  const { port, close } = await server.listen(0, '127.0.0.1')
  afterwards(t, () => close(0))
  return { port, place: join(archiveDir, path), log }
}

test('a preview that breaks off is nothing but bytes of the file', async (t) => {
  const { port, place, log } = await withMount(t, 64 * MIB)
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'readable')
  await truncate(place, 20 * MIB)
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk))
  await once(socket, 'close')
  const all = Buffer.concat(chunks)
  const body = all.subarray(all.indexOf('\r\n\r\n') + 4)
  assert.ok(body.length <= 20 * MIB, `${body.length} bytes`)
  assert.ok(body.equals(Buffer.alloc(body.length)), 'the file has zeros alone')
  const [line] = await log.requests(1)
  assert.equal(line?.fields.complete, false)
  assert.match(log.text(), /ARCHIVE_DAMAGED/)
})

test('a preview that fails before its first byte is answered by the pages', async (t) => {
  const { port, place } = await withMount(t, 64 * MIB)
  await truncate(place, 1)
  const answer = await fetch(`http://127.0.0.1:${port}/`)
  assert.deepEqual([answer.status, await answer.text()], [500, 'words of the pages'])
})

test('a preview does not mind what a proxy in front says in Authorization', async (t) => {
  const { port } = await withMount(t, 'film')
  for (const authorization of ['Bearer of-the-proxy', 'Basic cHJveHk6eA==']) {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { authorization } })
    assert.deepEqual([answer.status, await answer.text()], [200, 'film'], authorization)
  }
})
