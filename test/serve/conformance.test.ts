/** Runs every row of docs/http.md against this server and against nginx. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { utimes } from 'node:fs/promises'
import type { NetConnectOpts } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { offloading, type ServerScope, withFileServer } from '../support/file-server.ts'
import { withNginx, withNginxSending } from '../support/nginx.ts'
import { type RawAnswer, sendRaw } from '../support/raw-http.ts'
import { faultsOf, type Subject, summarise } from './conformance-answers.ts'
import { bytesOf, isRaw, type Row, readRows, type Words } from './conformance-table.ts'

const rows = readRows(readFileSync(join(import.meta.dirname, '../../docs/http.md'), 'utf8'))
const filedAt = new Date('2026-02-04T05:06:07.000Z')
const large = 5 * 2 ** 30
const still = Buffer.from('still there')
const contents = randomBytes(1000)
const wide = randomBytes(20_000)

const subjects: Record<string, Subject> = {
  f: { sizeBytes: 1000, read: (start, length) => contents.subarray(start, start + length) },
  empty: { sizeBytes: 0, read: () => Buffer.alloc(0) },
  wide: { sizeBytes: 20_000, read: (start, length) => wide.subarray(start, start + length) },
  large: { sizeBytes: large, read: (_start, length) => Buffer.alloc(length) },
}

/** A server, and what its addresses and validators are. */
interface Peer {
  where: NetConnectOpts
  words: Words
}

test('docs/http.md tells at least 150 cases, each once', () => {
  assert.ok(rows.length >= 150)
  const requests = rows.map(({ request }) => request)
  assert.deepEqual(requests, [...new Set(requests)])
})

test('the file server answers as docs/http.md says', async (t) => {
  await withFileServer({}, async (scope) => {
    await addFiles(scope)
    for (const [form, suffix] of [
      ['the plain link', ''],
      ['the link without extension', '/-'],
    ] as const) {
      const peer = await ourselves(scope, suffix)
      for (const row of rows) {
        await t.test(`RFC ${row.rfc} ${row.name}: ${row.answer} (${form})`, async () => {
          const answers = await ask(peer, row.request)
          assert.equal(summaryOf(row, answers), row.answer)
          assert.deepEqual(answers.flatMap(faultsOf), [])
          if (hasTwin(row)) await assertHeadIsLikeGet(peer, row)
        })
      }
    }
  })
})

test('nginx answers the same, or as docs/http.md explains', async (t) => {
  await withFileServer({}, async (scope) => {
    await addFiles(scope)
    const peer = await itsNginx(t, scope)
    for (const row of rows) {
      const name = `RFC ${row.rfc} ${row.name}: nginx ${row.nginx ? 'differs' : 'does the same'}`
      await t.test(name, async () => {
        const summary = comparable(summaryOf(row, await ask(peer, row.request)))
        assert.equal(summary, row.nginx?.answer ?? comparable(row.answer))
        assert.notEqual(row.nginx?.answer, comparable(row.answer), 'explained, but no difference')
      })
    }
  })
})

const { offload, ...front } = offloading
for (const [what, isOffloaded, passedOnBytes] of [
  ['sends the files', true, 0],
  ['passes small files on', false, contents.length],
] as const) {
  const title = `behind an nginx that ${what}, GET and HEAD are answered as docs/http.md says`
  test(title, async (t) => {
    await withFileServer({ ...front, offload: { ...offload, passedOnBytes } }, async (scope) => {
      await addFiles(scope)
      const direct = await ourselves(scope, '')
      const port = await withNginxSending(t, { ...scope, port: scope.listening.port })
      const peer = { ...direct, where: { port, host: '127.0.0.1' } }
      for (const row of rows.filter((row) => !isRaw(row.request) && !isRefusedByNginx(row))) {
        await t.test(`RFC ${row.rfc} ${row.name}: ${row.answer} (${what})`, async () => {
          const answers = await ask(peer, row.request)
          assert.equal(summaryOf(row, answers), row.answer)
          assert.deepEqual(answers.flatMap(faultsOf), [])
          if (hasTwin(row)) await assertHeadIsLikeGet(peer, row)
        })
      }
      const ofSmall = scope.log.lines.filter(({ fields }) => fields.path === '/f.mp4')
      assert.equal(
        ofSmall.some(({ fields }) => fields.offloaded === true),
        isOffloaded,
      )
    })
  })
}

async function addFiles({ archiveDir, file }: ServerScope): Promise<void> {
  const facts = { filed_at: filedAt.toISOString() }
  await file('f.mp4', contents, facts)
  await file('empty.mp4', '', facts)
  await file('wide.mp4', wide, facts)
  await file('large.mp4', large, facts)
  await file('still.mp4', still, facts)
  for (const name of ['f', 'empty', 'wide', 'large', 'still'])
    await utimes(join(archiveDir, `${name}.mp4`), filedAt, filedAt)
}

async function ourselves(scope: ServerScope, suffix: string): Promise<Peer> {
  const query = `?token=${await scope.token(1, 86_400)}`
  const { headers } = await scope.ask(`/f.mp4${query}`)
  return {
    where: { port: scope.listening.port, host: '127.0.0.1' },
    words: wordsWith(String(headers.etag), suffix + query),
  }
}

/** Its tag is made of time and size (ngx_http_set_etag). */
async function itsNginx(t: TestContext, { archiveDir }: ServerScope): Promise<Peer> {
  const seconds = filedAt.getTime() / 1000
  const etag = `"${seconds.toString(16)}-${contents.length.toString(16)}"`
  return { where: { path: await withNginx(t, archiveDir) }, words: wordsWith(etag, '') }
}

function wordsWith(etag: string, ending: string): Words {
  const names = ['f', 'empty', 'wide', 'large', 'still', 'absent']
  const at = (seconds: number) => new Date(filedAt.getTime() + seconds * 1000).toUTCString()
  return {
    ...Object.fromEntries(names.map((name) => [name, `/${name}.mp4${ending}`])),
    etag,
    date: at(0),
    earlier: at(-1),
    later: at(1),
    date850: 'Wednesday, 04-Feb-26 05:06:07 GMT',
    dateasc: 'Wed Feb  4 05:06:07 2026',
  }
}

/** What it takes for a broken request, or a method that it does not pass on, it answers itself. */
function isRefusedByNginx({ answer, nginx }: Row): boolean {
  return [answer, nginx?.answer ?? ''].some((said) => /^(?:400|405|414|501)/.test(said))
}

function ask({ where, words }: Peer, request: string): Promise<RawAnswer[]> {
  const goodbye = 'GET {still} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'
  return sendRaw(where, Buffer.concat([bytesOf(request, words), bytesOf(goodbye, words)]))
}

function summaryOf(row: Row, answers: readonly RawAnswer[]): string {
  const [, name = 'f'] = /\{(f|empty|wide|large)\}/.exec(row.request) ?? []
  const subject = subjects[name]
  assert.ok(subject)
  return summarise(answers, subject, still)
}

/** Whether a connection goes on after an error is left to each server (RFC 9112 9.6). */
function comparable(summary: string): string {
  return /[45]\d\d[^+]*, closed$/.test(summary) ? summary.replace(/, closed$/, '') : summary
}

/** Whether it is a GET that can be asked as HEAD too, and must then be answered alike (RFC 9110 9.3.2). */
function hasTwin({ request }: Row): boolean {
  const isGet = !/^(?!GET )[A-Za-z]+ /.test(request)
  return isGet && !isRaw(request) && !/range:|\{large\}/i.test(request)
}

async function assertHeadIsLikeGet(peer: Peer, { request }: Row): Promise<void> {
  const asHead = /^GET /.test(request) ? request.replace('GET', 'HEAD') : `HEAD {f}\\n${request}`
  const [got] = await ask(peer, request)
  const [head] = await ask(peer, asHead)
  assert.ok(got && head)
  assert.equal(head.status, got.status)
  assert.equal(head.headOnly, got.body.length > 0)
  assert.deepEqual(withoutDate(head), withoutDate(got))
}

function withoutDate({ headers }: RawAnswer): [string, string][] {
  return [...headers].filter(([name]) => name !== 'date').sort()
}
