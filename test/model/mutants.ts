// biome-ignore-all lint/suspicious/noTemplateCurlyInString: mutants quote source text
import type { Exploration } from './explorations.ts'

/** One step of the protocol taken out, or put in the wrong place. */
export interface Mutant {
  /** Completes "is caught: …". */
  name: string
  /** Relative to the repository. */
  file: string
  /** Texts that occur exactly once in the file, and what takes their place. */
  change: readonly (readonly [text: string, instead: string])[]
  caught: Exploration
  /** The promise that this exploration sees broken. */
  promise: string
}

const kill = (story: string): Exploration => ({ by: 'kill', story })
const powerCut = (story: string): Exploration => ({ by: 'power cut', story })
const stall = (story: string): Exploration => ({ by: 'stall', story })
const pause = (story: string): Exploration => ({ by: 'pause', story })
const fault = (name: string, story: string): Exploration => ({ by: 'fault', fault: name, story })

const ONE = 'one item'
const NO_CONDITION = 'one item of a bucket without conditional deletes'
const UNAPPROVED = 'a row that is un-approved before it is recorded'
const NEW_KEY = 'a row whose key changes before it is recorded'
const FOREIGN = 'a foreign file that comes just before the link'
const SPOILED = 'bytes that the disk spoils during the grace'
const SCRUBBED = 'bytes that the disk spoils, and a scrub finds'
const SCRUBBED_IN_VAIN = 'bytes that the disk spoils, and a scrub finds, of a source that is gone'
const MISWRITTEN = 'a source that is to go at once, of bytes that the disk writes otherwise'
const EXCHANGED = 'a source that is to go at once, of a file that is another by then'
const NO_MEDIA = 'an upload that is no media'
const SYNC_FAILS = 'a sync fails, later ones seem to succeed'

export const mutants: readonly Mutant[] = [
  // publish
  {
    name: 'publish without the fsync of the file',
    file: 'src/sync/publish.ts',
    change: [['await found.part.seal(parts.policy.fileMode)', 'await found.part.close()']],
    caught: powerCut(ONE),
    promise: 'I4',
  },
  {
    name: 'publish without the fsync of the folder',
    file: 'src/sync/publish.ts',
    change: [
      [
        "    await disk.syncFolder(folder)\n    await reached('folder-synced', item)",
        "    await reached('folder-synced', item)",
      ],
    ],
    caught: powerCut(ONE),
    promise: 'I2',
  },
  {
    name: 'publish without the fsync of new folders',
    file: 'src/sync/publish.ts',
    change: [
      [
        '  await folders.ensure(folder)\n',
        '  for (const made of [dirname(folder), folder]) await disk.makeFolder(made)\n',
      ],
    ],
    caught: powerCut(ONE),
    promise: 'I2',
  },
  {
    name: 'folders without the fsync of the parent',
    file: 'src/storage/folders.ts',
    change: [['    await disk.syncFolder(parent)\n', '']],
    caught: powerCut(ONE),
    promise: 'I2',
  },
  {
    name: 'folders: one that exists is taken for durable',
    file: 'src/storage/folders.ts',
    change: [
      [
        '    await disk.makeFolder(path)\n',
        '    if ((await disk.stat(path)) !== null) return\n    await disk.makeFolder(path)\n',
      ],
    ],
    caught: kill(ONE),
    promise: 'I2',
  },
  {
    name: 'publish without the fsync of the sidecar',
    file: 'src/sync/sidecar-file.ts',
    change: [['    await file.seal(policy.fileMode)\n', '    await file.close()\n']],
    caught: powerCut(ONE),
    promise: 'I4',
  },
  {
    name: 'publish with the file before its sidecar',
    file: 'src/sync/publish.ts',
    change: [
      [
        '  await putFinal(parts, sidecar, sidecarPathOf(intent.archivePath))\n  await parts.reached',
        '  await parts.reached',
      ],
      [
        "  await parts.reached('file-linked', item)\n",
        "  await putFinal(parts, sidecar, sidecarPathOf(intent.archivePath))\n  await parts.reached('file-linked', item)\n",
      ],
    ],
    caught: kill(ONE),
    promise: 'I2',
  },
  {
    name: 'publish by a rename where links are possible',
    file: 'src/sync/publish.ts',
    change: [
      [
        '  if (volume.canLink) return disk.link(temporary, target)\n  if ((await disk.stat(target)) !== null)',
        '  if (!volume.canLink && (await disk.stat(target)) !== null)',
      ],
    ],
    caught: kill(FOREIGN),
    promise: 'I4',
  },
  {
    name: 'publish by a rename that does not look first',
    file: 'src/sync/publish.ts',
    change: [
      [
        "  if ((await disk.stat(target)) !== null)\n    throw new AppError('NAME_TAKEN', `${target} exists already`)\n",
        '',
      ],
    ],
    caught: kill('a foreign file that comes just before the rename'),
    promise: 'I4',
  },
  {
    name: 'publish with the intent committed after the links',
    file: 'src/sync/publish.ts',
    change: [
      [
        '    const outcome = await parts.items.commitIntent(item, intent)\n',
        '    if (!(await place(parts, { item, intent, part: found.part.path, occupant }))) continue\n    const outcome = await parts.items.commitIntent(item, intent)\n',
      ],
      [
        '    if (!(await place(parts, { item, intent, part: found.part.path, occupant }))) continue\n    if (sealed',
        '    if (sealed',
      ],
    ],
    caught: kill(UNAPPROVED),
    promise: 'I9',
  },
  {
    name: 'publish that goes on when the intent was refused (epoch)',
    file: 'src/sync/publish.ts',
    change: [
      [
        "    if (outcome === 'stale') throw new AppError('LEASE_LOST', `another worker took item ${item.id}`)\n",
        '',
      ],
    ],
    caught: pause(ONE),
    promise: 'I9',
  },
  {
    name: 'publish that takes whatever lies at the name for its own',
    file: 'src/sync/publish.ts',
    change: [["    if (occupant === 'other') continue\n", '']],
    caught: kill('a name that a foreign file has'),
    promise: 'I2',
  },
  {
    name: 'publish that leaves its sidecar beside a foreign file',
    file: 'src/sync/publish.ts',
    change: [
      [
        "    if (isAppError(error, 'NAME_TAKEN')) await takeBack(parts, item, { sidecar, intent })\n",
        '',
      ],
    ],
    caught: kill(FOREIGN),
    promise: 'I9',
  },
  {
    name: 'publish that takes a sidecar back without an fsync',
    file: 'src/sync/publish.ts',
    change: [['  await disk.syncFolder(dirname(target))\n', '']],
    caught: powerCut(FOREIGN),
    promise: 'I9',
  },
  // recovery
  {
    name: 'recovery without the fsync of the folder',
    file: 'src/sync/filed.ts',
    change: [['  await disk.syncFolder(dirname(path))\n', '']],
    caught: kill(ONE),
    promise: 'I2',
  },
  {
    name: 'recovery without the fsync of the file',
    file: 'src/sync/filed.ts',
    change: [['  await disk.syncFile(path)\n', '']],
    caught: powerCut('a file that a person restores during the grace'),
    promise: 'I1',
  },
  {
    name: 'recovery without the fsync of the sidecar',
    file: 'src/sync/filed.ts',
    change: [['  await disk.syncFile(sidecarPathOf(path))\n', '']],
    caught: powerCut('a sidecar that a person restores during the grace'),
    promise: 'I2',
  },
  {
    name: 'recovery that leaves a torn sidecar',
    file: 'src/sync/filed.ts',
    change: [['    await renewSidecar(parts, item, intent)\n', '    return\n']],
    caught: powerCut('a sidecar that the disk spoils during the grace'),
    promise: 'I2',
  },
  {
    name: 'recovery that replaces a sidecar without asking for the lease',
    file: 'src/sync/filed.ts',
    change: [['    await leases.confirm(item)\n', '']],
    caught: pause('a sidecar that the disk spoils during the grace'),
    promise: 'I6',
  },
  {
    name: 'recovery that asks only its own clock before it replaces a sidecar',
    file: 'src/sync/filed.ts',
    change: [['    await leases.confirm(item)\n', '    leases.assertAlive(item)\n']],
    caught: pause('a sidecar that the disk spoils during the grace'),
    promise: 'I6',
  },
  {
    name: 'recovery that moves foreign files',
    file: 'src/sync/reconcile.ts',
    change: [
      [
        'isForeign ? [sidecarPathOf(path)] : [path, sidecarPathOf(path)]',
        '[path, sidecarPathOf(path)]',
      ],
    ],
    caught: kill(FOREIGN),
    promise: 'I4',
  },
  {
    name: 'recovery that leaves what is not whole where it lies',
    file: 'src/sync/reconcile.ts',
    change: [['    await quarantineOwn(parts, item, { path, sha256 })\n', '']],
    caught: powerCut(ONE),
    promise: 'I9',
  },
  {
    name: 'recovery that starts again before it has set aside what is not whole',
    file: 'src/sync/reconcile.ts',
    change: [
      [
        '    await quarantineOwn(parts, item, { path, sha256 })\n',
        '    await items.restart(item)\n    await quarantineOwn(parts, item, { path, sha256 })\n',
      ],
      [
        '    await syncIfThere(parts, dirname(path))\n    await items.restart(item)\n',
        '    await syncIfThere(parts, dirname(path))\n',
      ],
    ],
    caught: kill(FOREIGN),
    promise: 'I9',
  },
  {
    name: 'recovery that records without making durable',
    file: 'src/sync/reconcile.ts',
    change: [['  await makeDurable(parts, item, intent)\n', '']],
    caught: kill(ONE),
    promise: 'I2',
  },
  // aside
  {
    name: 'setting aside without the fsync of the new name first',
    file: 'src/sync/aside.ts',
    change: [
      [
        "    if (!isAppError(error, 'NAME_TAKEN')) throw error\n  }\n  await disk.syncFolder(to)\n",
        "    if (!isAppError(error, 'NAME_TAKEN')) throw error\n  }\n",
      ],
    ],
    caught: powerCut(UNAPPROVED),
    promise: 'I7',
  },
  {
    name: 'setting aside by a mere rename',
    file: 'src/sync/aside.ts',
    change: [
      [
        'const leaving = volume.canLink ? `${kept}.${item.epoch}` : kept\n  if (volume.canLink) await',
        'const leaving = kept\n  if (leaving !== kept) await',
      ],
    ],
    caught: powerCut(UNAPPROVED),
    promise: 'I7',
  },
  {
    name: 'setting aside without the fsync of where it was',
    file: 'src/sync/aside.ts',
    change: [
      [
        '    if ((await disk.stat(folder)) !== null) await disk.syncFolder(folder)\n',
        '    await disk.stat(folder)\n',
      ],
    ],
    caught: powerCut(UNAPPROVED),
    promise: 'I9',
  },
  {
    name: 'setting aside without asking for the lease',
    file: 'src/sync/aside.ts',
    change: [['  await leases.confirm(item)\n  const kept', '  const kept']],
    caught: stall(NEW_KEY),
    promise: 'I1',
  },
  {
    name: 'setting aside that asks only its own clock for the lease',
    file: 'src/sync/aside.ts',
    change: [
      ['  await leases.confirm(item)\n  const kept', '  leases.assertAlive(item)\n  const kept'],
      ['    await leases.confirm(item)\n', '    leases.assertAlive(item)\n'],
    ],
    caught: pause(NEW_KEY),
    promise: 'I1',
  },
  {
    name: 'setting aside that gives nothing back when it is late',
    file: 'src/sync/aside.ts',
    change: [['  await undoIfLate(parts, item, { from, leaving, kept, stays })\n', '']],
    caught: stall(NEW_KEY),
    promise: 'I1',
  },
  {
    name: 'setting aside that gives back what it meant to take',
    file: 'src/sync/aside.ts',
    change: [["const stays = undo === 'always' ? null : meant.inode", 'const stays = null']],
    caught: stall(UNAPPROVED),
    promise: 'I7',
  },
  {
    name: 'giving back without the fsync of the folder',
    file: 'src/sync/aside.ts',
    change: [['  await disk.syncFolder(dirname(from))\n', '']],
    caught: stall(NEW_KEY),
    promise: 'I1',
  },
  // record
  {
    name: 'record without a look at the marker and the device',
    file: 'src/sync/record.ts',
    change: [['  await assertOnVolume(parts, intent.archivePath)\n', '']],
    caught: fault('the archive is not mounted', ONE),
    promise: 'I10',
  },
  {
    name: 'record without a comparison of the devices',
    file: 'src/sync/record.ts',
    change: [['  if (facts.device !== device)\n', '  if (device === null)\n']],
    caught: fault('the folder lies on another file system than the marker', ONE),
    promise: 'I10',
  },
  {
    name: 'record that leaves a withdrawn copy where it lies',
    file: 'src/sync/record.ts',
    change: [
      [
        "await moveAside(parts, {\n    item,\n    paths: [archivePath, sidecarPathOf(archivePath)],\n    to: `${WITHDRAWN_FOLDER}/${item.id}`,\n    undo: 'replaced',\n  })\n",
        '`${WITHDRAWN_FOLDER}/${item.id}`\n',
      ],
    ],
    caught: kill(UNAPPROVED),
    promise: 'I7',
  },
  {
    name: 'record that closes a withdrawal before the copy is set aside',
    file: 'src/sync/record.ts',
    change: [
      [
        '  const to = await moveAside(parts, {\n',
        '  const to = `${WITHDRAWN_FOLDER}/${item.id}`\n  const mine = await parts.items.finishWithdrawal(item, `${to}/${basename(archivePath)}`)\n  await moveAside(parts, {\n',
      ],
      [
        '  const mine = await parts.items.finishWithdrawal(item, `${to}/${basename(archivePath)}`)\n  if',
        '  if',
      ],
    ],
    caught: kill(UNAPPROVED),
    promise: 'I7',
  },
  {
    name: 'sync that deletes the source before it has recorded the copy',
    file: 'src/sync/sync.ts',
    change: [
      [
        '    const outcome = await record(parts, item, published)\n',
        '    await parts.bucket.delete(item.media.objectKey)\n    const outcome = await record(parts, item, published)\n',
      ],
    ],
    caught: kill(ONE),
    promise: 'I3',
  },
  {
    name: 'sync that deletes the source as soon as it has recorded the copy',
    file: 'src/sync/sync.ts',
    change: [
      [
        '    const outcome = await record(parts, item, published)\n',
        '    const outcome = await record(parts, item, published)\n    await parts.bucket.delete(item.media.objectKey)\n',
      ],
    ],
    caught: kill(ONE),
    promise: 'I3',
  },
  // release
  {
    name: 'release without reading the file again',
    file: 'src/sync/damage.ts',
    change: [
      ['    if (sha256 === archived) return null\n', "    if (sha256 !== '') return null\n"],
    ],
    caught: kill(SPOILED),
    promise: 'I1',
  },
  {
    name: 'release without a look at the marker and the device',
    file: 'src/sync/damage.ts',
    change: [
      [
        '    const file = await assertOnVolume(parts, archivePath)\n    if (readBacks?.covers(file, archived)) return null\n',
        '',
      ],
    ],
    caught: fault('another archive is mounted', ONE),
    promise: 'I10',
  },
  {
    name: 'release without making durable',
    file: 'src/sync/release.ts',
    change: [['  await makeDurable(parts, item, intent)\n', '']],
    caught: powerCut('a file that a person restores during the grace'),
    promise: 'I1',
  },
  {
    name: 'release that is told before the source is deleted',
    file: 'src/sync/release.ts',
    change: [
      [
        '  const verdict = await deleteSource(parts, { item, intent }, signals)\n',
        "  const mine = await items.released(item, 'deleted')\n  const verdict = await deleteSource(parts, { item, intent }, signals)\n",
      ],
      [
        "  const mine = await items.released(item, verdict === 'gone' ? 'already_gone' : 'deleted')\n",
        '',
      ],
    ],
    caught: kill(ONE),
    promise: 'I3',
  },
  {
    name: 'release without a condition where DELETE honours one',
    file: 'src/sync/delete-source.ts',
    change: [['conditional ? { ifMatch: source.etag } : {}', '{}']],
    caught: fault('the object is replaced', ONE),
    promise: 'I1',
  },
  {
    name: 'release that deletes long after it has looked',
    file: 'src/sync/delete-source.ts',
    change: [['    if (withinMs <= 0) continue\n', '']],
    caught: fault('the worker is slow, and the object is replaced meanwhile', NO_CONDITION),
    promise: 'I1',
  },
  // heal
  {
    name: 'heal without the fsync of the file',
    file: 'src/sync/heal.ts',
    change: [['    await part.seal(parts.policy.fileMode)\n', '    await part.close()\n']],
    caught: powerCut(SPOILED),
    promise: 'I4',
  },
  {
    name: 'heal without the fsync of the folder',
    file: 'src/sync/heal.ts',
    change: [['    await disk.syncFolder(dirname(path))\n', '']],
    caught: powerCut(SPOILED),
    promise: 'I2',
  },
  {
    name: 'heal that takes whatever the bucket has',
    file: 'src/sync/heal.ts',
    change: [[' || facts.etag !== intent.source.etag', '']],
    caught: fault('the object is replaced', SPOILED),
    promise: 'I9',
  },
  {
    name: 'heal that does not compare what it fetched',
    file: 'src/sync/heal.ts',
    change: [['    if (sha256 !== intent.sha256) return false\n', '']],
    caught: fault('a download is corrupted', SPOILED),
    promise: 'I2',
  },
  {
    name: 'heal that leaves lost bytes where they are served',
    file: 'src/sync/heal.ts',
    change: [
      ['    await setAside(parts, item, { archivePath: intent.archivePath, damage })\n', ''],
    ],
    caught: kill(SCRUBBED_IN_VAIN),
    promise: 'I4',
  },
  {
    name: 'heal that puts lost bytes back when it is late',
    file: 'src/sync/heal.ts',
    change: [["'always' : 'replaced'", "'always' : 'always'"]],
    caught: stall(SCRUBBED_IN_VAIN),
    promise: 'I4',
  },
  {
    name: 'heal that takes whatever lies in quarantine',
    file: 'src/sync/heal.ts',
    change: [
      [
        '(await disk.hash(path, signal)).sha256 === sha256',
        '(await disk.hash(path, signal)).sha256 !== `un${sha256}`',
      ],
    ],
    caught: kill(SCRUBBED),
    promise: 'I9',
  },
  {
    name: 'heal from quarantine without the fsync of what lay there',
    file: 'src/sync/heal.ts',
    change: [['    await disk.syncFile(path)\n', '']],
    caught: powerCut('a file that a scrub misses and that lies in quarantine'),
    promise: 'I4',
  },
  // relocate
  {
    name: 'relocate that takes a copy for the moved file',
    file: 'src/sync/relocate.ts',
    change: [['  if (here !== null && here.inode !== there?.inode) return\n', '']],
    caught: kill('a file that a person copied to another folder'),
    promise: 'I4',
  },
  {
    name: 'relocate that leaves the moved name, where a run before has come so far',
    file: 'src/sync/relocate.ts',
    change: [
      [
        '  for (const place of places) await forget(parts, moved, place)\n',
        '  if (damage !== null) for (const place of places) await forget(parts, moved, place)\n',
      ],
    ],
    caught: kill('a file that a person moved to another folder, of a source that is gone'),
    promise: 'I9',
  },
  {
    name: 'relocate that takes the sidecar away before its file',
    file: 'src/sync/relocate.ts',
    change: [
      [
        '  if (here !== null) await disk.unlink(place)\n  if (hasSidecar) await disk.unlink(sidecarPathOf(place))\n',
        '  if (hasSidecar) await disk.unlink(sidecarPathOf(place))\n  if (here !== null) await disk.unlink(place)\n',
      ],
    ],
    caught: kill('a file that a person moved to another folder, of a source that is gone'),
    promise: 'I2',
  },
  // download
  {
    name: 'download without a comparison with the digest of the store',
    file: 'src/sync/download.ts',
    change: [
      ['  if (plan !== null && fetched.value === plan.expected)\n', '  if (plan !== null)\n'],
    ],
    caught: fault('a download is corrupted', ONE),
    promise: 'I1',
  },
  {
    name: 'download that reads once where the ETag says nothing',
    file: 'src/sync/download.ts',
    change: [
      [
        '  if ((await hashVersion(parts, wanted, fetch.signal)) !== fetched.sha256) return null\n',
        '',
      ],
    ],
    caught: fault('a download is corrupted', 'a bucket whose ETags say nothing'),
    promise: 'I1',
  },
  {
    name: 'download of what was replaced after its approval',
    file: 'src/sync/download.ts',
    change: [
      [
        "  if (isNewerThanApproval(media, facts) && policy.changedAfterApproval === 'hold')\n",
        "  if (isNewerThanApproval(media, facts) && policy.changedAfterApproval === 'accept')\n",
      ],
    ],
    caught: kill('an object that was replaced long after its approval'),
    promise: 'I9',
  },
  {
    name: 'download that does not look at what the disk holds',
    file: 'src/sync/landing.ts',
    change: [
      [
        '    isReadBack = await file.readBack(memory.subarray(0, filled), start)\n',
        '    isReadBack = memory.subarray(0, filled).byteLength >= 0 && start >= 0\n',
      ],
    ],
    caught: kill(MISWRITTEN),
    promise: 'I4',
  },
  {
    name: 'release that takes any file for the one that was read back',
    file: 'src/sync/read-back.ts',
    change: [['[device, inode, sizeBytes,', '[device, sizeBytes,']],
    caught: kill(EXCHANGED),
    promise: 'I1',
  },
  // reject
  {
    name: 'rejection without the fsync of the copy',
    file: 'src/storage/disk.ts',
    change: [['    await copy.seal(mode)\n', '    await copy.close()\n']],
    caught: powerCut(NO_MEDIA),
    promise: 'I7',
  },
  {
    name: 'rejection without the fsync of the report',
    file: 'src/sync/reject.ts',
    change: [['    await file.seal(policy.fileMode)\n', '    await file.close()\n']],
    caught: powerCut(NO_MEDIA),
    promise: 'I7',
  },
  {
    name: 'rejection without the fsync of the folder after the report',
    file: 'src/sync/reject.ts',
    change: [["    await errorDisk.syncFolder('')\n", '']],
    caught: powerCut(NO_MEDIA),
    promise: 'I7',
  },
  // guard, volume
  {
    name: 'a failed fsync that is not latched',
    file: 'src/sync/guard.ts',
    change: [['      await latch(error)\n', '']],
    caught: fault(SYNC_FAILS, ONE),
    promise: 'I1',
  },
  {
    name: 'the marker without an fsync',
    file: 'src/sync/marker.ts',
    change: [['    await file.seal(0o644)\n', '    await file.close()\n']],
    caught: powerCut(ONE),
    promise: 'I9',
  },
  {
    name: 'a missing object is told without a look at the marker',
    file: 'src/sync/failure.ts',
    change: [['    if (isVerdict(reason)) await volume.verify()\n', '']],
    caught: fault('the archive is not mounted', 'an object that is missing'),
    promise: 'I10',
  },
  {
    name: 'leases that do not believe the database',
    file: 'src/sync/leases.ts',
    change: [
      [
        "      else lose(entry, 'another worker holds it')\n      assertAlive(item)",
        '      assertAlive(item)',
      ],
    ],
    caught: pause(NEW_KEY),
    promise: 'I1',
  },
]

/**
 * @returns the source with the mutant's change
 * @throws when a text is not there exactly once: the list is to follow the source
 */
export function mutate(source: string, { name, file, change }: Mutant): string {
  return change.reduce((text, [from, instead]) => {
    const [before, after, ...more] = text.split(from)
    if (before === undefined || after === undefined || more.length > 0)
      throw new Error(`"${name}": not exactly once in ${file}: ${JSON.stringify(from)}`)
    return before + instead + after
  }, source)
}
