/** Downloads by the programs that people use, over a line that breaks, by both forms of the link. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withCuttingProxy } from '../support/cutting-proxy.ts'
import { withFileServer } from '../support/file-server.ts'
import { filmSeconds, makeFilm } from '../support/film.ts'
import { withFolder } from '../support/scopes.ts'

const size = 8 * 2 ** 20
const forms = [
  ['the plain link', ''],
  ['the link without extension', '/-'],
] as const

interface Finished {
  code: number | null
  said: string
}

/** Runs a program without the settings of whoever runs the tests. */
async function run(program: string, args: readonly string[], home: string): Promise<Finished> {
  const env = { PATH: process.env.PATH, HOME: home }
  const child = spawn(program, args, { env, cwd: home, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  const [code] = await once(child, 'close').catch((cause: unknown) => {
    throw new Error(`${program} is missing: run scripts/setup`, { cause })
  })
  return { code, said }
}

/** How each is told to go on with the file `out` in its folder; all of them fail when the line breaks. */
const downloaders: Record<string, (url: string) => string[]> = {
  curl: (url) => ['-q', '-sS', '--fail', '-C', '-', '-o', 'out', url],
  wget: (url) => ['--no-config', '-nv', '-c', '--tries=1', '-O', 'out', url],
  aria2c: (url) => [
    ...['--no-conf', '-q', '-c', '-x', '8', '-s', '8', '-k', '1M', '--max-tries=1'],
    ...['--file-allocation=none', '-o', 'out', url],
  ],
}

for (const [program, argsFor] of Object.entries(downloaders)) {
  for (const [form, ending] of forms) {
    test(`${program} goes on where the line broke, by ${form}`, async (t) => {
      await withFileServer({}, async (scope) => {
        const { file, token, listening, log } = scope
        const contents = randomBytes(size)
        await file('2026/11/7/f.mp4', contents)
        const port = await withCuttingProxy(t, listening.port, { times: 8, bytes: size / 16 })
        const url = `http://127.0.0.1:${port}/2026/11/7/f.mp4${ending}?token=${await token()}`
        const home = await withFolder(t)
        for (let broken = 0; ; broken++) {
          const { code, said } = await run(program, argsFor(url), home)
          if (code === 0) {
            assert.ok(broken > 0, 'the line never broke')
            break
          }
          assert.ok(broken < 8, said)
        }
        assert.equal(digestOf(await readFile(join(home, 'out'))), digestOf(contents))
        const requests = log.lines.filter(({ message }) => message === 'request')
        assert.ok(requests.some(({ fields }) => fields.status === 206))
        assert.ok(requests.every(({ fields }) => [200, 206].includes(Number(fields.status))))
      })
    })
  }
}

test('aria2c fetches eight parts at once and finds the digest right', async (t) => {
  await withFileServer({}, async ({ file, token, listening, log }) => {
    const contents = randomBytes(size)
    await file('f.mp4', contents)
    const home = await withFolder(t)
    const url = `http://127.0.0.1:${listening.port}/f.mp4/-?token=${await token()}`
    const args = [`--checksum=sha-256=${digestOf(contents)}`, ...(downloaders.aria2c?.(url) ?? [])]
    const { code, said } = await run('aria2c', args, home)
    assert.equal(code, 0, said)
    const parts = (await log.requests(8)).filter(({ fields }) => fields.status === 206)
    assert.ok(parts.length >= 7)
  })
})

test('ffmpeg reads a film from its index at the end, and from the middle, by both links', async (t) => {
  await withFileServer({}, async ({ file, token, listening, log }) => {
    const film = await readFile(await makeFilm(t))
    await file('film.mp4', film)
    const home = await withFolder(t)
    const output = ['-f', 'null', '-progress', '-', '-nostats', '-']
    for (const [start, [, ending]] of [
      [0, forms[0]],
      [filmSeconds / 2, forms[1]],
    ] as const) {
      const url = `http://127.0.0.1:${listening.port}/film.mp4${ending}?token=${await token()}`
      const args = ['-v', 'error', '-ss', String(start), '-i', url, '-map', '0', ...output]
      const { code, said } = await run('ffmpeg', args, home)
      assert.equal(code, 0, said)
      const seconds = Number(/out_time_us=(\d+)\n(?:(?!out_time_us)[\s\S])*$/.exec(said)?.[1]) / 1e6
      assert.ok(Math.abs(seconds - (filmSeconds - start)) < 0.5, said)
      assert.doesNotMatch(said, /error|invalid|corrupt/i)
    }
    const jumps = log.lines.filter(({ fields }) => fields.status === 206)
    assert.ok(jumps.length >= 2)
  })
})

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
