import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { isOnRoot, mountPointOf, type whyNotWritable } from '../../src/storage/folder-check.ts'
import { mountsRefused, withFolder, withVolume } from '../support/scopes.ts'

const SOURCE = new URL('../../src/storage/folder-check.ts', import.meta.url).href

describe('a folder on a mounted volume', () => {
  const mounts = [
    '22 27 0:21 / /proc rw,relatime - proc proc rw',
    '27 1 254:0 / / rw,relatime - overlay overlay rw',
    '40 27 254:1 /media/videos /media rw,relatime - fuse.shfs shfs rw',
    '41 40 254:2 / /media/archive/old rw,relatime - ext4 /dev/vdb rw',
    '42 27 254:3 / /my\\040media\\011\\134 rw,relatime - ext4 /dev/vdc rw',
    '',
  ].join('\n')
  for (const [path, point] of [
    ['/media/archive', '/media'],
    ['/media', '/media'],
    ['/media/archive/old/2020', '/media/archive/old'],
    ['/media/archive/older', '/media'],
    ['/mediation/archive', '/'],
    ['/var/lib', '/'],
    ['/', '/'],
    ['/my media\t\\/archive', '/my media\t\\'],
  ] as const)
    test(`${JSON.stringify(path)} is mounted at ${JSON.stringify(point)}`, () => {
      assert.equal(mountPointOf(path, mounts), point)
    })

  test('is told from one on the root file system, existing or not', {
    skip: mountsRefused(),
  }, async (t) => {
    const { folder } = await withVolume(t, 1024 * 1024)
    const link = join(await withFolder(t), 'link')
    await symlink(folder, link)
    for (const path of [folder, join(folder, 'not/yet'), link, join(link, 'not/yet')])
      assert.equal(await isOnRoot(path), false, path)
    for (const path of ['/', '/not/yet']) assert.equal(await isOnRoot(path), true, path)
  })
})

describe('a folder of another user', { skip: asRoot() }, () => {
  /** What 99:100 is told of the folder; the source is loaded before root is given up. */
  const told = async (folder: string): Promise<ReturnType<typeof whyNotWritable>> => {
    const script = `const { whyNotWritable } = await import(${JSON.stringify(SOURCE)})
      process.setgroups([100]); process.setgid(100); process.setuid(99)
      process.stdout.write(JSON.stringify(await whyNotWritable(process.argv[1])))`
    const args = ['--input-type=module', '--eval', script, folder]
    return JSON.parse((await promisify(execFile)(process.execPath, args)).stdout)
  }
  const run = promisify(execFile)

  for (const name of ['archive', "grandma's archive"])
    test(`is named with the chown that helps: ${name}`, async (t) => {
      const folder = join(await withOpenFolder(t), name)
      await mkdir(folder)
      const fault = await told(folder)
      assert.equal(fault?.wrong, 'belongs to 0:0, and 99:100 may not write there')
      assert.match(fault.remedy, /^as root run: chown 99:100 /)
      await run('/bin/sh', ['-c', fault.remedy.replace('as root run: ', '')])
      assert.equal(await told(folder), null)
    })

  test('is given away with all that is in it only if it is an archive', async (t) => {
    const outer = await withOpenFolder(t)
    const archive = join(outer, 'archive')
    await mkdir(join(archive, '.strongroom'), { recursive: true })
    await mkdir(join(archive, '2026'))
    assert.equal((await told(archive))?.remedy, `as root run: chown -R 99:100 ${archive}`)
    await chown(archive, 99, 100)
    assert.equal((await told(archive))?.remedy, `as root run: chown -R 99:100 ${archive}`)

    const errors = join(outer, 'errors')
    await mkdir(errors)
    await writeFile(join(errors, '7-3.1-clip.mp4.report.json'), '{}')
    assert.equal((await told(errors))?.remedy, `as root run: chown 99:100 ${errors}`)

    await writeFile(join(errors, 'thesis.odt'), 'somebody else’s')
    const remedy = (await told(errors))?.remedy ?? ''
    assert.match(remedy, /^choose a folder of its own, for example \S+\/errors\/strongroom/)
    assert.doesNotMatch(remedy, /chown/)

    const closed = join(outer, 'closed')
    await mkdir(closed, { mode: 0o700 })
    assert.match(
      (await told(closed))?.remedy ?? '',
      /^as root run: chown 99:100 \S+, if it is meant for Strongroom alone; otherwise choose/,
    )
  })

  for (const folder of ['/', '/etc', '/usr', '/usr/local', '/var', '/var/lib', '/home', '/opt'])
    test(`is never asked to be given away when it is ${folder}`, async () => {
      const fault = await told(folder)
      assert.match(fault?.wrong ?? '', /^belongs to 0:/)
      assert.match(fault?.remedy ?? '', /^choose a folder of its own/)
      assert.doesNotMatch(fault?.remedy ?? '', /chown|chmod/)
    })

  test('is made writable by its own user without root', async (t) => {
    const folder = join(await withOpenFolder(t), 'archive')
    await mkdir(folder, { mode: 0o555 })
    await chown(folder, 99, 100)
    assert.equal((await told(folder))?.remedy, `run: chmod u+rwx ${folder}`)
  })

  test('is told from one below a folder that may not be entered', async (t) => {
    const outer = await withOpenFolder(t)
    const folder = join(outer, 'private', 'archive')
    await mkdir(folder, { recursive: true })
    await chmod(join(outer, 'private'), 0o700)
    const fault = await told(folder)
    assert.equal(fault?.wrong, `lies below ${join(outer, 'private')}, which 99:100 may not enter`)
    assert.match(fault.remedy, /^choose a folder elsewhere/)
  })
})

/** An empty folder that everybody may enter. */
async function withOpenFolder(t: TestContext): Promise<string> {
  const outer = await withFolder(t)
  await chmod(outer, 0o755)
  return outer
}

function asRoot(): string | false {
  return process.getuid?.() === 0 ? false : 'NOT ROOT: run as root to test this'
}
