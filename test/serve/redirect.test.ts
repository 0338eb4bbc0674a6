import assert from 'node:assert/strict'
import { mkdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { openSecondLinks } from '../../src/open/second-links.ts'
import type { AddressOf } from '../../src/serve/redirect.ts'
import { parse } from '../support/config.ts'
import { type ServerScope, withFileServer } from '../support/file-server.ts'
import { claims, now as fixedNow, forge, tokens } from '../support/hostile-tokens.ts'
import { withBucket } from '../support/s3.ts'
import { secondEnv } from '../support/second-service.ts'

const PATH = '2026/1/film one.mp4'
const TARGET = '/2026/1/film%20one.mp4'
const bytes = Buffer.from('the bytes of a film that was moved')

const film = { filename: 'Fílm "one".mp4', mime_type: 'video/mp4', media_id: 1 } as const

/** A real bucket that has the file, under the settings of the program. */
async function withMoved(t: TestContext): Promise<AddressOf> {
  const { config, admin } = await withBucket(t)
  await admin.put(`copies/${PATH}`, bytes)
  const links = openSecondLinks(parse({ ...secondEnv(config), SECOND_LINKS: 'redirect' }))
  assert.ok(links)
  return links
}

const nowhere: AddressOf = (path, { method, expiresInSeconds, disposition, contentType }) =>
  `https://x.example/${path}?${method}&${expiresInSeconds}&${contentType}&${disposition}`

async function move({ file, archiveDir }: ServerScope, facts = {}): Promise<void> {
  await file(PATH, bytes, { ...film, ...facts })
  await rm(join(archiveDir, PATH))
}

describe('a link to a moved file', { concurrency: 2 }, () => {
  test('leads to its bytes, with type and name as from the archive, by GET, HEAD and in parts', async (t) => {
    const elsewhere = await withMoved(t)
    await withFileServer({ elsewhere }, async (scope) => {
      await move(scope)
      const token = await scope.token()
      const at = `http://127.0.0.1:${scope.listening.port}${TARGET}`
      const answer = await fetch(`${at}?token=${token}`)
      assert.equal(answer.status, 200)
      assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes)
      assert.equal(answer.headers.get('content-type'), 'video/mp4')
      assert.match(answer.headers.get('content-disposition') ?? '', /^attachment; filename="F_lm/)
      const inline = await fetch(`${at}?token=${token}&disposition=inline`)
      assert.match(inline.headers.get('content-disposition') ?? '', /^inline; /)
      await inline.body?.cancel()
      const head = await fetch(`${at}?token=${token}`, { method: 'HEAD' })
      assert.equal(head.status, 200)
      assert.equal(head.headers.get('content-length'), String(bytes.length))
      const part = await fetch(`${at}?token=${token}`, { headers: { Range: 'bytes=4-8' } })
      assert.deepEqual([part.status, await part.text()], [206, bytes.toString().slice(4, 9)])

      const plain = await scope.ask(`${TARGET}?token=${token}`)
      assert.equal(plain.status, 307)
      assert.equal(plain.headers['cache-control'], 'no-store')
      assert.equal(plain.headers['referrer-policy'], 'no-referrer')
      assert.equal(plain.body.length, 0)
      const address = new URL(`${plain.headers.location}`)
      assert.equal(address.searchParams.get('X-Amz-Expires'), '60')
      assert.ok(!address.href.includes(token))
      assert.ok(!scope.log.text().includes('X-Amz'))
    })
  })

  test('is valid for no longer than its token', async () => {
    const now = () => fixedNow
    await withFileServer({ elsewhere: nowhere, now }, async (scope) => {
      await move(scope)
      for (const [ttl, seconds] of [
        [600, 60],
        [17, 17],
        [1, 1],
      ] as const) {
        const answer = await scope.ask(`${TARGET}?token=${await scope.token(1, ttl)}`)
        assert.match(`${answer.headers.location}`, new RegExp(`GET&${seconds}&`))
      }
    })
  })

  test('is judged as any other link first', async () => {
    const revoked = { has: (token: string) => token === taken }
    let taken = ''
    await withFileServer({ elsewhere: nowhere, revoked }, async (scope) => {
      await move(scope)
      taken = await scope.token(1, 500)
      for (const [target, status] of [
        [TARGET, 401],
        [`${TARGET}?token=${await scope.token(2)}`, 403],
        [`${TARGET}?token=${taken}`, 410],
        [`${TARGET}?token=${await scope.token(1, 600)}`, 307],
        [`/2026/1/other.mp4?token=${await scope.token(1, 600)}`, 404],
      ] as const) {
        const answer = await scope.ask(target)
        assert.equal(answer.status, status, target)
        assert.equal(answer.headers.location !== undefined, status === 307)
      }
    })
  })

  test('counts as a download of a token that allows one, and a HEAD does not', async () => {
    const rules = { trustedProxies: [{ address: '127.0.0.1', prefixBits: 32 }] }
    const options = { elsewhere: nowhere, tokens, now: () => fixedNow, rules }
    await withFileServer(options, async (scope) => {
      await scope.file(PATH, bytes, { ...film, media_id: Number(claims.media_id) })
      await rm(join(scope.archiveDir, PATH))
      const token = forge({ alg: 'HS256' }, { ...claims, max_downloads: 1 })
      const from = (client: string, method: string) =>
        scope.ask(`${TARGET}?token=${token}`, { method, headers: { 'CF-Connecting-IP': client } })
      assert.equal((await from('203.0.113.1', 'HEAD')).status, 307)
      assert.equal((await from('203.0.113.2', 'GET')).status, 307)
      assert.equal((await from('203.0.113.2', 'GET')).status, 307, 'the same download')
      assert.equal((await from('203.0.113.1', 'GET')).status, 410)
    })
  })

  for (const type of ['image/svg+xml', 'text/html', 'application/xhtml+xml']) {
    test(`is never shown in place for ${type}`, async () => {
      await withFileServer({ elsewhere: nowhere }, async (scope) => {
        await move(scope, { mime_type: type })
        const link = `${TARGET}?token=${await scope.token()}&disposition=inline`
        assert.match(`${(await scope.ask(link)).headers.location}`, /&attachment; /)
      })
    })
  }

  test('is answered with 404 without SECOND_LINKS, as it was before', async () => {
    assert.equal(openSecondLinks(parse()), null)
    await withFileServer({}, async (scope) => {
      await move(scope)
      assert.equal((await scope.ask(`${TARGET}?token=${await scope.token()}`)).status, 404)
    })
  })

  test('leads nowhere where something else lies in the place of the file', async () => {
    await withFileServer({ elsewhere: nowhere }, async (scope) => {
      await move(scope)
      const place = join(scope.archiveDir, PATH)
      for (const put of [() => mkdir(place), () => symlink('/etc/passwd', place)]) {
        await put()
        assert.equal((await scope.ask(`${TARGET}?token=${await scope.token()}`)).status, 404)
        await rm(place, { recursive: true })
      }
      assert.equal((await scope.ask(`${TARGET}?token=${await scope.token()}`)).status, 307)
    })
  })

  test('leads nowhere while the archive is not there', async () => {
    await withFileServer({ elsewhere: nowhere }, async (scope) => {
      await move(scope)
      await rm(join(scope.archiveDir, '.strongroom'), { recursive: true })
      const token = await scope.token()
      assert.equal((await scope.ask(`/nothing?token=${token}`)).status, 503)
    })
  })
})
