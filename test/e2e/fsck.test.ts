import assert from 'node:assert/strict'
import { chmod, mkdir, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { toldBy, withArchived } from '../support/archived.ts'
import { photograph } from '../support/checker.ts'
import { withInstallation } from '../support/installation.ts'
import { nobodyRefused, runAsNobody } from '../support/program.ts'
import { withReader } from '../support/reader.ts'
import { story, withService } from '../support/service.ts'

interface Found {
  found: string
  path: string | null
  media_id: number | null
}

const foundBy = toldBy<Found>

async function put(path: string, bytes = 'anything'): Promise<string> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, bytes)
  return path
}

async function makeOld(path: string): Promise<void> {
  const then = new Date(Date.now() - 2 * 86_400_000)
  await utimes(path, then, then)
}

describe('fsck', { concurrency: 2 }, () => {
  test('names every row of the recovery table, needs no right but to read, and changes nothing', async (t) => {
    const { service, paths, at } = await withArchived(t, 10)
    const { sql, errorDir } = service
    const reader = await withReader(t, service, { ours: true })
    const clean = await service.run(['fsck'], reader)
    assert.equal(clean.code, 0, story(clean))
    assert.match(
      clean.stdout,
      /^10 items and 20 files looked at, nothing has to be done$/m,
      story(clean),
    )

    const [gone = '', cut = '', bare = '', torn = '', moved = '', linked = '', again = ''] = paths
    const planted: [string, string | null][] = []
    const plant = (kind: string, path: string | null) => planted.push([kind, path])
    await rm(at(gone))
    plant('missing', gone)
    await truncate(at(cut), 10)
    plant('damaged', cut)
    await rm(at(`${bare}.json`))
    plant('sidecar', bare)
    await truncate(at(`${torn}.json`), 100)
    plant('sidecar', torn)
    await mkdir(at('sorted by hand'))
    await rename(at(moved), at('sorted by hand/film'))
    await rename(at(`${moved}.json`), at('sorted by hand/film.json'))
    plant('missing', moved)
    plant('moved', 'sorted by hand/film')
    await rm(at(linked))
    await symlink('/etc/hostname', at(linked))
    plant('missing', linked)
    await sql`update media set status = 'approved' where id = 7`
    plant('reapproved', again)
    await sql`update strongroom.items set state = 'publishing' where media_id = 8`
    await sql`update strongroom.items set state = 'withdrawing' where media_id = 9`
    plant('unfinished', paths[7] ?? null)
    plant('unfinished', paths[8] ?? null)
    await sql`delete from strongroom.items where media_id = 10`
    plant('unlisted', paths[9] ?? '')

    await put(at('old/film.mp4'))
    plant('foreign', 'old/film.mp4')
    await symlink('/etc/hostname', at('old/link'))
    plant('foreign', 'old/link')
    await rename(at(`${gone}.json`), at('old/gone.json'))
    plant('orphan', 'old/gone.json')
    for (const name of ['1.0.json', '1.0.0123456789abcdef.part']) {
      await put(at(`.strongroom/tmp/${name}`))
      plant('temporary', `.strongroom/tmp/${name}`)
    }
    await makeOld(await put(at('.strongroom/tmp/adopt-0123456789abcdef.part')))
    plant('temporary', '.strongroom/tmp/adopt-0123456789abcdef.part')
    await put(at('.strongroom/tmp/adopt-0123456789abcdee.part'))
    const copy = await put(join(errorDir, '.copy-0123456789abcdef'))
    await makeOld(copy)
    plant('temporary', copy)
    await put(join(errorDir, '.copy-0123456789abcdee'))
    for (const folder of ['withdrawn/3', 'quarantine/4.2']) {
      await put(at(`.strongroom/${folder}/film.mp4`))
      plant('aside', `.strongroom/${folder}/film.mp4`)
    }

    const before = await photograph(service)
    const ended = await service.run(['fsck', '--json'], reader)
    assert.equal(ended.code, 74, story(ended))
    const { found, summary } = foundBy(ended)
    const order = (pairs: [string, string | null][]) => pairs.map((pair) => pair.join(' ')).sort()
    assert.deepEqual(order(found.map((one) => [one.found, one.path])), order(planted))
    assert.equal(summary.missing, 3)
    assert.equal(found.find((one) => one.found === 'moved')?.media_id, 5)
    const told = await service.run(['fsck'], reader)
    assert.match(told.stdout, /^missing +media 1 +\S+: there is no such file$/m)
    assert.match(told.stdout, /^ {2}missing: .*restore the others from a backup/m)
    assert.deepEqual(await photograph(service), before)
  })

  test('tells of what it cannot look at, and goes on', { skip: nobodyRefused() }, async (t) => {
    const { archiveDir, env, run } = await withInstallation(t)
    const made = await run('init-volume')
    assert.equal(made.code, 0, story(made))
    const at = (path: string) => Buffer.from(`${archiveDir}/${path}`, 'latin1')
    await chmod(archiveDir, 0o755)
    for (const [folder, mode] of [
      ['listed', 0o744],
      ['lost+found', 0o700],
      ['shut', 0o700],
      ['\u00fcbung', 0o755],
    ] as const) {
      await mkdir(at(folder))
      await writeFile(at(`${folder}/film.mp4`), 'anything')
      await chmod(at(folder), mode)
    }
    for (const file of ['caf\u00e9.mp4', 'z.mp4']) await writeFile(at(file), 'anything')

    const ended = await runAsNobody(['fsck', '--json'], env)
    assert.equal(ended.code, 75, story(ended))
    const { found } = foundBy(ended)
    assert.deepEqual(found.map((one) => `${one.found} ${one.path}`).sort(), [
      'closed \\xfcbung',
      'closed caf\\xe9.mp4',
      'closed listed',
      'closed shut',
      'foreign lost+found',
      'foreign z.mp4',
    ])
  })

  test('what a crash left half done ends with 75, and is gone after the next sync', async (t) => {
    const service = await withService(t, { env: { SYNC_CONCURRENCY: '1' } })
    await service.approve(3)
    const killed = await service.run(['sync', '--once'], {
      STRONGROOM_HALT: 'sidecar-linked:SIGKILL',
    })
    assert.equal(killed.signal, 'SIGKILL', story(killed))
    const early = await service.run(['fsck', '--json'])
    assert.equal(early.code, 0, `its lease may be alive: ${story(early)}`)
    await service.expireLeases()
    const ended = await service.run(['fsck', '--json'])
    assert.equal(ended.code, 75, story(ended))
    assert.deepEqual(
      new Set(foundBy(ended).found.map((one) => one.found)),
      new Set(['unfinished', 'temporary']),
    )
    const next = await service.run(['sync', '--once'])
    assert.equal(next.code, 0, story(next))
    const clean = await service.run(['fsck', '--json'])
    assert.equal(clean.code, 0, story(clean))
    assert.deepEqual(
      foundBy(clean).found.map((one) => [one.found, one.path]),
      [['aside', '.strongroom/quarantine/1.2/1.png.json']],
    )
  })

  test('it finds no fault with the work of a sync that runs beside it', async (t) => {
    const service = await withService(t, { env: { BATCH_SIZE: '5' } })
    await service.migrate()
    await service.approve(60)
    const sync = service.start(['sync', '--once'])
    let isOver = false
    const ended = sync.ended.finally(() => {
      isOver = true
    })
    await sync.said('item settled')
    let runs = 0
    while (!isOver) {
      const beside = await service.run(['fsck', '--json'])
      assert.equal(beside.code, 0, story(beside))
      assert.deepEqual(foundBy(beside).found, [])
      runs += 1
    }
    assert.ok(runs > 0)
    assert.equal((await ended).code, 0)
  })

  test('an archive that is not mounted is no archive of missing files', async (t) => {
    const { service } = await withArchived(t, 1)
    await rename(service.archiveDir, `${service.archiveDir}.away`)
    await mkdir(service.archiveDir)
    const ended = await service.run(['fsck'])
    assert.equal(ended.code, 74, story(ended))
    assert.equal(ended.stdout, '')
    assert.match(ended.stderr, /is not the archive: it has no marker/)
  })
})
