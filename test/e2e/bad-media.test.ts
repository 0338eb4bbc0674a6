import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { mediaBytes, mediaFile, uniqueMedia } from '../support/media-files.ts'
import {
  approveMedium,
  assertArchived,
  assertKept,
  itemOf,
  statesOf,
} from '../support/media-rows.ts'
import { livingProcesses, processesEnd, script } from '../support/processes.ts'
import { withFolder } from '../support/scopes.ts'
import { story, summaryOf, withService } from '../support/service.ts'

const sync = ['sync', '--once', '--json']

/** Answers to -version; asked for a verdict it says that it began and never ends, nor does its child. */
const HANGING = `case "$1" in
  -version) echo "ffprobe version 7.0-fake" ;;
  *) trap '' TERM; tail -f "$0" & echo began > "$(dirname "$0")/began"; tail -f "$0" ;;
esac`

describe('a judge that does not answer', { concurrency: 2 }, () => {
  for (const { how, signals, env } of [
    { how: 'a second signal', signals: 2, env: {} },
    { how: 'SHUTDOWN_TIMEOUT', signals: 1, env: { SHUTDOWN_TIMEOUT: '1s' } },
  ]) {
    test(`is stopped with all its children by ${how}, and the lease is given back`, async (t) => {
      const folder = await withFolder(t)
      const path = await script(folder, 'ffprobe', HANGING)
      await promisify(execFile)('mkfifo', [join(folder, 'began')])
      const service = await withService(t, { env: { FFPROBE_PATH: path } })
      const medium = await approveMedium(service)
      const running = service.start(sync, env)
      await readFile(join(folder, 'began')) // a pipe: waits for the writer
      assert.ok(livingProcesses(path).length >= 2, 'it and a child')
      for (let n = 0; n < signals; n++) {
        running.kill('SIGTERM')
        await running.said(n === 0 ? 'finishing the work in hand' : 'letting go')
      }
      const ended = await running.ended
      assert.equal(ended.code, 1, story(ended))
      const { state, lease_owner: owner, attempts } = await itemOf(service, medium.mediaId)
      assert.deepEqual([state, owner, attempts], ['waiting', null, 0])
      await assertKept(service, medium)
      await processesEnd(path)
      assert.deepEqual(livingProcesses(path), [])

      const next = await service.run(sync, { FFPROBE_PATH: 'ffprobe' })
      assert.equal(next.code, 0, story(next))
      await assertArchived(service, medium)
    })
  }

  test('and crashes at each file leaves the item waiting: a crash is no verdict', async (t) => {
    const folder = await withFolder(t)
    const body = 'case "$1" in -version) echo "ffprobe version 7.0-fake";; *) kill -SEGV $$;; esac'
    const path = await script(folder, 'ffprobe', body)
    const service = await withService(t, { env: { FFPROBE_PATH: path } })
    const medium = await approveMedium(service)
    const ended = await service.run(sync)
    assert.equal(ended.code, 75, story(ended))
    assert.match(ended.stderr, /ffprobe ended without an answer/)
    const { state, error_code: code } = await itemOf(service, medium.mediaId)
    assert.deepEqual([state, code], ['waiting', 'PROBE_FAILED'])
    await assertKept(service, medium)
  })

  test('and vanishes during the run ends it with 69 and burns no attempt', async (t) => {
    const folder = await withFolder(t)
    const body = 'case "$1" in -version) echo "ffprobe version 7.0-fake"; rm "$0";; esac'
    const path = await script(folder, 'ffprobe', body)
    const service = await withService(t, { env: { FFPROBE_PATH: path, SYNC_CONCURRENCY: '1' } })
    const media = [await approveMedium(service), await approveMedium(service)]
    const ended = await service.run(sync)
    assert.equal(ended.code, 69, story(ended))
    assert.match(ended.stderr, /FFPROBE_PATH: .* does not exist/)
    for (const medium of media) {
      const { state, attempts } = await itemOf(service, medium.mediaId)
      assert.deepEqual([state, attempts], ['waiting', 0])
      await assertKept(service, medium)
    }
  })
})

test('what only pretends to be media, or points elsewhere, is rejected without being followed', async (t) => {
  const folder = await withFolder(t)
  const secret = join(folder, 'secret.mp4')
  await writeFile(secret, await readFile(await mediaFile('mp4')))
  const { port, seen } = await listener(t)
  const web = `http://127.0.0.1:${port}/video.mp4`
  const png = uniqueMedia('image', 300)
  const hostile: [kind: 'video' | 'audio' | 'image', bytes: string | Buffer][] = [
    ['video', `#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n${web}\n#EXT-X-ENDLIST\n`],
    ['video', `#EXTM3U\n#EXTINF:1,\nfile://${secret}\n#EXT-X-ENDLIST\n`],
    ['audio', '#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n'],
    ['video', `ffconcat version 1.0\nfile '${secret}'\n`],
    ['video', `ffconcat version 1.0\nfile '${web}'\n`],
    [
      'video',
      `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>${web}</BaseURL></MPD>`,
    ],
    ['video', `v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video ${port} RTP/AVP 96\n`],
    ['image', `<svg xmlns="http://www.w3.org/2000/svg"><image href="${web}"/></svg>`],
    ['image', '<html><img src="x.jpg"></html>'],
    ['video', png],
    ['audio', mediaBytes('png')],
    ['image', mediaBytes('mp3-cover')],
    ['video', mediaBytes('mp4').subarray(0, 900)],
  ]
  const service = await withService(t, { env: { RELEASE_GRACE: '0' } })
  const media = []
  for (const [index, [kind, bytes]] of hostile.entries()) {
    const key = `uploads/hostile ${index}.mp4`
    media.push(await approveMedium(service, { kind, key, bytes: Buffer.from(bytes) }))
  }
  const ended = await service.run(sync)
  assert.equal(ended.code, 0, story(ended))
  assert.equal(summaryOf(ended).items.rejected, hostile.length)
  assert.deepEqual(await statesOf(service), { rejected: hostile.length })
  for (const medium of media) await assertKept(service, medium)
  assert.deepEqual(seen, [], 'nobody was asked anything')
})

/** A server that notes who comes. */
async function listener(t: { after(fn: () => void): void }) {
  const seen: string[] = []
  const server = createServer((socket) => {
    seen.push(`${socket.remoteAddress}:${socket.remotePort}`)
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => void server.close())
  return { port: (server.address() as AddressInfo).port, seen }
}
