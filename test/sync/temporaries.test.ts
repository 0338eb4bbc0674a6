import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CurrentItem } from '../../src/db/items.ts'
import { AppError, ERRORS, type ErrorCode } from '../../src/errors.ts'
import { type ItemState, itemStates } from '../../src/item-states.ts'
import type { Disk } from '../../src/storage/disk.ts'
import {
  letGo,
  listTemporaries,
  partPath,
  sweepTemporaries,
  versionMark,
} from '../../src/sync/temporaries.ts'
import { createSimDisk } from '../support/sim-disk.ts'
import { listeningLog } from '../support/worker.ts'

const TMP = '.strongroom/tmp'
const MARK = '0123456789abcdef'

async function withTmp(...names: string[]): Promise<Disk> {
  const disk = createSimDisk()
  await disk.makeFolder('.strongroom')
  await disk.makeFolder(TMP)
  for (const name of names) await (await disk.create(`${TMP}/${name}`)).close()
  return disk
}

async function sweep(
  disk: Disk,
  now: CurrentItem | null,
  options: { spaceIsShort?: boolean } = {},
): Promise<string[]> {
  const current = new Map(now === null ? [] : [[7, now]])
  const items = { current: async () => current }
  await sweepTemporaries({ disk, items, log: listeningLog().log }, options)
  return disk.list(TMP)
}

const part = (epoch: number) => `7.${epoch}.${MARK}.part`

describe('a temporary', () => {
  test('tells by its name whose it is and of which version', async () => {
    const path = partPath({ id: 7, epoch: 3 }, MARK)
    assert.equal(path, `${TMP}/7.3.${MARK}.part`)
    const disk = await withTmp(
      part(3),
      '7.3.json',
      '7.2.part',
      'link-probe.x',
      'notes.txt',
      '7.part',
    )
    const found = (await listTemporaries(disk)).map(({ item, epoch, version }) => [
      item,
      epoch,
      version,
    ])
    assert.deepEqual(found, [
      [7, 3, MARK],
      [7, 3, null],
      [7, 2, null],
    ])
  })

  test('has another name as soon as bucket, key, ETag or size differ', () => {
    const source = { key: 'a', etag: 'e', sizeBytes: 1 }
    const marks = [
      versionMark('bucket', source),
      versionMark('other', source),
      versionMark('bucket', { ...source, key: 'b' }),
      versionMark('bucket', { ...source, etag: 'f' }),
      versionMark('bucket', { ...source, sizeBytes: 2 }),
      versionMark('bucket', { ...source, key: 'a","e', etag: '' }),
    ]
    assert.equal(new Set(marks).size, marks.length)
    for (const mark of marks) assert.match(mark, /^[0-9a-f]{16}$/)
    assert.equal(versionMark('bucket', { ...source }), marks[0])
  })
})

describe('the sweep', () => {
  test('leaves what a live worker writes', async () => {
    for (const state of itemStates) {
      const disk = await withTmp(part(3), '7.3.json')
      assert.equal((await sweep(disk, { epoch: 3, state, leased: true })).length, 2, state)
    }
  })

  const downloadedNext: readonly ItemState[] = ['claimed', 'waiting']
  for (const state of itemStates) {
    const stays = downloadedNext.includes(state)
    test(`${stays ? 'leaves' : 'takes'} an interrupted download of an item that is ${state}`, async () => {
      for (const leased of [true, false]) {
        const disk = await withTmp(part(2))
        const left = await sweep(disk, { epoch: 3, state, leased })
        assert.deepEqual(left, stays ? [part(2)] : [])
      }
    })
  }

  test('takes sidecars of earlier epochs, and downloads that tell no version', async () => {
    const disk = await withTmp('7.2.json', '7.2.part', '7.3.json')
    assert.deepEqual(await sweep(disk, { epoch: 3, state: 'waiting', leased: false }), [])
  })

  test('takes what a killed start left of its probe for hard links, and nothing of a like name', async () => {
    const probe = `link-probe.${crypto.randomUUID()}`
    const disk = await withTmp(probe, `${probe}.2`, 'link-probe.x', `${probe}.3`)
    assert.deepEqual((await sweep(disk, null)).sort(), [`${probe}.3`, 'link-probe.x'].sort())
  })

  test('takes downloads of items that the database does not know or has not come to', async () => {
    assert.deepEqual(await sweep(await withTmp(part(2)), null), [])
    const restored: CurrentItem = { epoch: 1, state: 'waiting', leased: false }
    assert.deepEqual(await sweep(await withTmp(part(2)), restored), [])
  })

  test('takes interrupted downloads too where space is short, but nothing that is being written', async () => {
    const disk = await withTmp(part(2), part(3))
    const now: CurrentItem = { epoch: 3, state: 'claimed', leased: true }
    assert.deepEqual(await sweep(disk, now, { spaceIsShort: true }), [part(3)])
  })

  test('leaves alone what it does not know', async () => {
    const disk = await withTmp('notes.txt')
    assert.deepEqual(await sweep(disk, null), ['notes.txt'])
  })
})

describe('a download that came to nothing', () => {
  const kept: readonly ErrorCode[] = ['TRANSFER_BROKEN', 'TRANSFER_STALLED', 'LEASE_LOST']
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const isOutage = ERRORS[code].retry === 'outage' && !code.startsWith('DISK_')
    const stays = isOutage || kept.includes(code)
    test(`because of ${code} ${stays ? 'stays for the next epoch' : 'is removed'}`, async () => {
      const disk = await withTmp()
      const file = await disk.create(`${TMP}/${part(3)}`)
      await file.write(Buffer.from('so far'))
      await letGo({ disk }, file, new AppError(code, 'it ended'))
      assert.deepEqual(await disk.list(TMP), stays ? [part(3)] : [])
      await assert.rejects(file.write(Buffer.from('more')), /closed/)
    })
  }

  test('and has no bytes is removed', async () => {
    const disk = await withTmp()
    const file = await disk.create(`${TMP}/${part(3)}`)
    await letGo({ disk }, file, new AppError('BUCKET_UNAVAILABLE', 'it ended'))
    assert.deepEqual(await disk.list(TMP), [])
  })

  test('because of a bug is removed', async () => {
    const disk = await withTmp()
    const file = await disk.create(`${TMP}/${part(3)}`)
    await file.write(Buffer.from('so far'))
    await letGo({ disk }, file, new TypeError('x is not a function'))
    assert.deepEqual(await disk.list(TMP), [])
  })
})
