import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { photograph, violations } from '../support/checker.ts'
import { type Scope, withFolder } from '../support/scopes.ts'
import { withService } from '../support/service.ts'
import { buildShim, openNursery, type Plan, planText } from './processes.ts'

/** Every call of Node that changes a file system, in this order, by way of libuv's threads. */
const CALLS = `
import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
const root = process.argv[2]
await fs.mkdir(root + '/a')
const file = await fs.open(root + '/a/one', 'wx')
await file.write(Buffer.from('0123456789'))
await file.write(Buffer.from('x'), 0, 1, 3)
await file.writev([Buffer.from('a'), Buffer.from('b')])
await file.truncate(8)
await file.chmod(0o640)
await file.datasync()
await file.sync()
await file.close()
await fs.link(root + '/a/one', root + '/a/two')
await fs.rename(root + '/a/two', root + '/a/three')
const folder = await fs.open(root + '/a', constants.O_RDONLY | constants.O_DIRECTORY)
await folder.sync()
await folder.close()
await fs.readFile(root + '/a/one')
await fs.writeFile(process.argv[3] + '/elsewhere', 'not counted')
await fs.unlink(root + '/a/three')
await fs.unlink(root + '/a/one')
await fs.rmdir(root + '/a')
`
const NAMES = [
  ...['mkdir', 'open', 'write', 'pwrite', 'writev', 'ftruncate', 'fchmod', 'fdatasync', 'fsync'],
  ...['link', 'rename', 'fsync', 'unlink', 'unlink', 'rmdir'],
]
const SIGKILL = 9

describe('the shim that kills and fails at a system call', () => {
  let shim: string
  before(async () => {
    shim = await buildShim()
  })

  async function runCalls(t: Scope, plan: Omit<Plan, 'root' | 'log'>) {
    const folder = await withFolder(t)
    const root = join(folder, 'root')
    await mkdir(root)
    const script = join(folder, 'calls.mjs')
    writeFileSync(script, CALLS)
    const log = join(folder, 'log')
    const TORTURE_PLAN = planText({ ...plan, root, log })
    const ran = spawnSync(process.execPath, [script, root, folder], {
      env: { ...process.env, LD_PRELOAD: shim, UV_USE_IO_URING: '0', TORTURE_PLAN },
      encoding: 'utf8',
    })
    const told = existsSync(log) ? linesOf(log) : []
    return { ...ran, root, told }
  }

  test('sees each call below its folder, in order, and no other', async (t) => {
    const ran = await runCalls(t, { at: 0, what: 'nothing' })
    assert.equal(ran.status, 0, ran.stderr)
    assert.deepEqual(ran.told, NAMES)
  })
  for (const [index, name] of NAMES.entries()) {
    test(`kills before call ${index + 1}, ${name}, and right after it`, async (t) => {
      const early = await runCalls(t, { at: index + 1, what: 'kill-before' })
      assert.equal(early.signal, 'SIGKILL', early.stderr)
      assert.deepEqual(early.told, NAMES.slice(0, index))
      const late = await runCalls(t, { at: index + 1, what: 'kill-after' })
      assert.equal(late.signal, 'SIGKILL', late.stderr)
      assert.deepEqual(late.told, NAMES.slice(0, index + 1))
      assert.equal(existsSync(join(early.root, 'a')), index > 0)
      assert.equal(existsSync(join(late.root, 'a')), index + 1 < NAMES.length)
    })
    test(`lets call ${index + 1}, ${name}, fail as a bad disk does`, async (t) => {
      const ran = await runCalls(t, { at: index + 1, what: 'eio' })
      assert.match(ran.stderr, /EIO/)
      assert.equal(ran.told.at(-1), `${name} failed`)
    })
  }
  test('writes half of what it is given, which is no error', async (t) => {
    const ran = await runCalls(t, { at: 3, what: 'short' })
    assert.equal(ran.status, 0, ran.stderr)
  })
  test('lets nothing be written any more on a full disk, but removed', async (t) => {
    const ran = await runCalls(t, { at: 4, what: 'full' })
    assert.match(ran.stderr, /ENOSPC/)
    assert.equal(readFileSync(join(ran.root, 'a/one'), 'utf8'), '0123456789')
  })

  test('misses no name that a sync gives, and a forked program does all that a started one does', async (t) => {
    const service = await withService(t)
    const env = { ...service.env, RELEASE_GRACE: '0' }
    await service.approve(1)
    const nursery = await openNursery(shim, env)
    t.after(() => nursery.close())
    await service.approve(6, (n) => (n === 2 ? { bytes: Buffer.from('no media') } : undefined))
    const folder = await withFolder(t)
    const root = service.archiveDir
    const there = names(root)
    const log = join(folder, 'calls')
    const args = ['sync', '--once', '--json']
    const plan: Plan = { root, at: 0, what: 'nothing', log }
    const run = await nursery.start({ args, env, plan, output: join(folder, 'output') })
    assert.deepEqual((await run.ended).code, 0, run.output())
    assert.deepEqual(await violations(service, { converged: true }), [])
    const calls = linesOf(log)
    const times = (...wanted: string[]) => calls.filter((call) => wanted.includes(call)).length
    assert.equal(names(root) - there, times('open', 'link', 'mkdir') - times('unlink', 'rmdir'))
    assert.ok(times('fsync') > 20)

    const after = await photograph(service)
    const idle = await nursery.start({ args, env, output: join(folder, 'idle') })
    assert.deepEqual((await idle.ended).code, 0, idle.output())
    assert.deepEqual(await photograph(service), after)
  })
  test('kills a forked program, and no other', async (t) => {
    const service = await withService(t, { env: { RELEASE_GRACE: '0' } })
    const nursery = await openNursery(shim, service.env)
    t.after(() => nursery.close())
    await service.approve(2)
    const folder = await withFolder(t)
    const args = ['sync', '--once']
    const plan: Plan = { root: service.archiveDir, at: 9, what: 'kill-after' }
    const killed = await nursery.start({ args, env: service.env, plan, output: join(folder, 'a') })
    assert.equal((await killed.ended).signal, SIGKILL, killed.output())
    await service.expireLeases()
    const whole = await nursery.start({ args, env: service.env, output: join(folder, 'b') })
    assert.equal((await whole.ended).code, 0, whole.output())
    assert.deepEqual(await violations(service, { converged: true }), [])
  })
})

/** How many names lie below a folder. */
function names(root: string): number {
  return readdirSync(root, { recursive: true }).filter((name) => statSync(join(root, String(name))))
    .length
}

function linesOf(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').slice(0, -1)
}
