/** Nothing but the public files of an archive is ever served: not for any path, nor while files become links. */
import assert from 'node:assert/strict'
import { linkSync, mkdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { isAppError } from '../../src/errors.ts'
import { archivePathOf, createLocator, type Locator } from '../../src/serve/locate.ts'
import { renderSidecar } from '../../src/sidecar.ts'
import { openFilesIn, type ServerScope, sidecarOf, withFileServer } from '../support/file-server.ts'
import { sendRaw } from '../support/raw-http.ts'
import { hostilePaths, layTemptations, PUBLIC, SECRET } from './confinement-paths.ts'

/** A million of each by hand: PROPERTY_RUNS=1000000 node test/run.ts test/serve/confinement */
const runs = Number(process.env.PROPERTY_RUNS ?? 20_000)
const seed = Number(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31)
const batch = 100

/** What becomes of a path without a server in between: the bytes that would be sent, or null. */
async function lookUp(locator: Locator, path: string): Promise<string | null> {
  const archivePath = archivePathOf(path, '')
  if (archivePath === null) return null
  try {
    const { file } = await locator.locate(archivePath, 1)
    try {
      return await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (error) {
    if (isAppError(error, 'NOT_FOUND', 'ARCHIVE_DAMAGED')) return null
    throw error
  }
}

/** Memory in use once all that can go has gone. */
function memoryInUse(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

test(`${runs} hostile paths reach nothing but the public files (PROPERTY_SEED=${seed})`, async () => {
  await withFileServer({}, async (scope) => {
    await layTemptations(scope)
    const locator = createLocator({ archiveDir: scope.archiveDir, onInvalidSidecar: () => {} })
    let served = 0
    let base = 0
    const paths = hostilePaths(seed)
    for (let run = 0; run < runs; run++) {
      if (run === runs / 10) base = memoryInUse()
      const path = paths.next().value
      const found = await lookUp(locator, path)
      assert.ok(found === null || found === PUBLIC, `${path} gave ${found}`)
      if (found !== null) served += 1
    }
    assert.ok(served > runs / 1000, 'the paths lead somewhere')
    assert.ok(memoryInUse() - base < 16 * 2 ** 20, 'no memory is left behind')
    assert.deepEqual(await openFilesIn(scope.archiveDir), [])
  })
})

test(`${runs / 10} hostile paths get no secret over a socket (PROPERTY_SEED=${seed})`, async () => {
  await withFileServer({}, async (scope) => {
    await layTemptations(scope)
    const where = { port: scope.listening.port, host: '127.0.0.1' }
    const query = `?token=${await scope.token(1)}`
    const paths = hostilePaths(seed)
    const seen = new Map<number, number>()
    for (let asked = 0; asked < runs / 10; asked += batch) {
      const requests = Array.from({ length: batch }, (_, index) => {
        const end = index === batch - 1 ? 'Connection: close\r\n' : ''
        return `GET ${paths.next().value}${query} HTTP/1.1\r\nHost: x\r\n${end}\r\n`
      })
      const answers = await sendRaw(where, Buffer.from(requests.join(''), 'latin1'))
      assert.equal(answers.length, batch)
      for (const [index, { status, body }] of answers.entries()) {
        seen.set(status, (seen.get(status) ?? 0) + 1)
        const text = body.toString()
        assert.ok(status === 200 ? text === PUBLIC : !text.includes(SECRET), requests[index])
        assert.ok([200, 400, 404].includes(status), `${status} for ${requests[index]}`)
      }
      scope.log.lines.length = 0
    }
    assert.ok((seen.get(200) ?? 0) > runs / 10_000, 'the paths lead somewhere')
  })
})

/** Answers of the server and of the locator alone, until there were enough swaps; the server keeps files open. */
async function askWhileSwapping(
  scope: ServerScope,
  enough: () => boolean,
): Promise<Map<string | null, number>> {
  const { archiveDir, token, ask, log } = scope
  const locator = createLocator({ archiveDir, onInvalidSidecar: () => {} })
  const target = `/a/f.mp4?token=${await token(1)}`
  const seen = new Map<string | null, number>()
  const count = (text: string | null) => seen.set(text, (seen.get(text) ?? 0) + 1)
  while (!enough()) {
    for (let times = 0; times < 20; times++) count(await lookUp(locator, '/a/f.mp4'))
    const { status, body } = await ask(target)
    assert.ok([200, 404, 503].includes(status), String(status))
    count(status === 200 ? body.toString() : null)
    log.lines.length = 0
  }
  return seen
}

test('no secret is served while files, sidecars and folders become links and back', async () => {
  await withFileServer({}, async (scope) => {
    const { archiveDir, file } = scope
    const root = dirname(archiveDir)
    const [outside, keep] = [join(root, 'outside'), join(root, 'keep')]
    await file('a/f.mp4', PUBLIC)
    for (const folder of [outside, keep]) mkdirSync(folder)
    await writeFile(join(outside, 'f.mp4'), SECRET)
    const sidecar = sidecarOf({ archive_path: 'a/f.mp4', bytes: SECRET.length })
    await writeFile(join(outside, 'f.mp4.json'), renderSidecar(sidecar))
    for (const name of ['f.mp4', 'f.mp4.json'])
      linkSync(join(archiveDir, 'a', name), join(keep, name))
    const counter = new Int32Array(new SharedArrayBuffer(8))
    const swapper = new Worker(new URL('./confinement-swapper.ts', import.meta.url), {
      workerData: { archiveDir, outside, keep, counter },
    })
    const ended = new Promise((resolve, reject) => swapper.on('exit', resolve).on('error', reject))
    const wanted = runs * 2
    try {
      const swapping = askWhileSwapping(scope, () => Atomics.load(counter, 0) >= wanted)
      const seen = await Promise.race([swapping, ended.then(() => assert.fail('swapping ended'))])
      assert.equal(seen.get(SECRET), undefined)
      assert.ok((seen.get(PUBLIC) ?? 0) > 0, 'the file was there at times')
      assert.ok((seen.get(null) ?? 0) > 0, 'the links were there at times')
      assert.deepEqual(
        [...seen.keys()].filter((text) => text !== PUBLIC && text !== null),
        [],
      )
    } finally {
      Atomics.store(counter, 1, 1)
      await ended
    }
  })
})
