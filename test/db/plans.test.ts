import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import {
  type ArchivedFile,
  damagedLately,
  isReadingWanted,
  noteVerified,
  takeForScrub,
} from '../../src/db/archived.ts'
import { openArchives } from '../../src/db/archives.ts'
import { type Backend, openBackend } from '../../src/db/backend.ts'
import { findReapproved } from '../../src/db/changed-rows.ts'
import { type Database, openDatabase } from '../../src/db/connect.ts'
import { damagedFiles } from '../../src/db/damaged.ts'
import { abandonedItems, ownersOf } from '../../src/db/fsck.ts'
import { readGauges } from '../../src/db/gauges.ts'
import { readHealth } from '../../src/db/health.ts'
import {
  countFresh,
  countStates,
  estimateItems,
  findItem,
  itemsInWork,
  listItems,
  searchItems,
} from '../../src/db/item-list.ts'
import { type Items, openItems } from '../../src/db/items.ts'
import { countByState, findArchived, releasesToday, unfinishedItems } from '../../src/db/lookup.ts'
import { migrate } from '../../src/db/migrate.ts'
import { type PlannedRow, planApproved } from '../../src/db/plan.ts'
import { insertRebuilt, orderGenerations } from '../../src/db/rebuild.ts'
import { ownerFacts, sizesInNeed } from '../../src/db/removals.ts'
import { openSecondItems, type SecondItems } from '../../src/db/second.ts'
import {
  filesInBoth,
  type MovableFile,
  movableFiles,
  movedAfter,
  movedItems,
  noteSecondLook,
  takeSecondDue,
} from '../../src/db/second-files.ts'
import { acknowledgeItem, tryAgain, wantReading } from '../../src/db/wishes.ts'
import { AppError } from '../../src/errors.ts'
import type { DueItem, Item } from '../../src/media.ts'
import { itemOf } from '../../src/sync/rebuild.ts'
import { intentFor } from '../contract/items-stores.ts'
import { madeFile, sidecarOf } from '../support/archive-of.ts'
import { parse } from '../support/config.ts'
import { fillTables, MANY, rowsMade } from '../support/many-rows.ts'
import { type Explained, withWatchedDatabase } from '../support/plans.ts'
import { createBackendTables, type TestSql, withDatabase } from '../support/postgres.ts'

/** A prepared statement is planned five times with its values; from then on PostgreSQL may keep one plan for all values. */
const TIMES = 7
const LIMIT = 5

const error = new AppError('TRANSFER_BROKEN', 'it broke')
const verdict = { reason: 'r', report: 'p', sha256: 'ef'.repeat(32), sizeBytes: 5 }

/** How many rows a statement may have to look at. */
interface Looked {
  media: number
  items: number
}

/** How many rows there are of what grows with other things than the age of the service. */
interface There {
  approved: number
  /** Approved rows that have an item: those held or rejected stay so for ever. */
  settled: number
  /** Open items. */
  open: number
  /** Items under a lease, or left by one. */
  inWork: number
  releasedToday: number
}

interface Rig {
  sql: TestSql
  database: Database
  backend: Backend
  /** Its statements are judged. */
  items: Items
  /** The same worker as if it had just started. */
  itemsAnew: () => Items
  /** The same under RELEASE_DAILY_MAX. */
  capped: Items
  /** The same with a status for rejected media. */
  rejecting: Items
  /** The same worker, unobserved. */
  prepare: Items
  /** Its statements are judged, too. */
  second: SecondItems
  /** What it has in hand, for tests to use up. */
  claimed: Item[]
  releasing: DueItem[]
  explained(): Promise<Explained[]>
}

interface Statement {
  name: string
  /** By what is there, and at the n-th time. */
  most: Looked | ((there: There, n: number) => Looked)
  run(rig: Rig, n: number): Promise<unknown>
}

const oneItem = { media: 0, items: 1 }

const claims: Statement[] = [
  {
    name: 'claim passes each row that stays approved once, and stops at its limit',
    most: ({ settled }) => ({ media: settled + 2 * LIMIT, items: settled + 2 * LIMIT }),
    async run({ itemsAnew, claimed }) {
      const found = await itemsAnew().claim(LIMIT, claimed)
      assert.equal(found.length, LIMIT)
      claimed.push(...found)
    },
  },
  {
    name: 'claim passes none of them again soon after',
    most: ({ settled }, n) =>
      n === 0
        ? { media: settled + 3 * LIMIT, items: settled + 3 * LIMIT }
        : { media: LIMIT + 2, items: LIMIT + 2 },
    async run({ items, claimed }) {
      const found = await items.claim(LIMIT, claimed)
      assert.equal(found.length, LIMIT)
      claimed.push(...found)
    },
  },
  {
    name: 'claimAbandoned looks at what is in work, and at what it takes',
    most: ({ inWork }) => ({ media: 0, items: inWork + LIMIT }),
    run: ({ items }) => items.claimAbandoned(LIMIT, [], new Date()),
  },
  {
    name: 'claimDue looks at what is being released, and at what it takes with the rows that share its key',
    most: ({ inWork }) => ({ media: 3 * LIMIT, items: inWork + 3 * LIMIT }),
    run: async ({ items, releasing }) =>
      releasing.push(...(await items.claimDue(LIMIT, releasing, new Date()))),
  },
  {
    name: 'claimDue under a daily cap counts what was released today and is being released as well',
    most: ({ inWork, releasedToday }) => ({
      media: 3 * LIMIT,
      items: 2 * inWork + releasedToday + 3 * LIMIT,
    }),
    run: async ({ capped, releasing }) =>
      releasing.push(...(await capped.claimDue(LIMIT, releasing, new Date()))),
  },
]

const others: Statement[] = [
  {
    name: 'dueElsewhere looks at what is being released, and at no source of the configured bucket',
    most: ({ inWork }) => ({ media: 0, items: inWork + 2 }),
    run: async ({ items }) => assert.deepEqual(await items.dueElsewhere(), []),
  },
  {
    name: 'newestSource reads one item',
    most: oneItem,
    run: async ({ items }) => assert.ok(await items.newestSource()),
  },
]

const writes: Statement[] = [
  {
    name: 'heartbeat reads the items in hand',
    most: { media: 0, items: LIMIT },
    run: ({ items, claimed }) => items.heartbeat(claimed.slice(0, LIMIT)),
  },
  {
    name: 'commitIntent reads its item, and whose the path is',
    most: { media: 0, items: 2 },
    run: ({ items, claimed }, n) => {
      const item = next(claimed)
      return items.commitIntent(item, intentFor(item, `2027/${n}`))
    },
  },
  {
    name: 'record reads its item and its media row',
    most: { media: 1, items: 3 },
    async run({ items, prepare, claimed }, n) {
      const item = next(claimed)
      await prepare.commitIntent(item, intentFor(item, `2028/${n}`))
      assert.equal(await items.record(item), 'archived')
    },
  },
  {
    name: 'reject reads its item',
    most: { media: 0, items: 2 },
    run: ({ items, claimed }) => items.reject(next(claimed), verdict),
  },
  {
    name: 'reject that changes the media row reads that too',
    most: { media: 1, items: 2 },
    run: ({ rejecting, claimed }) => rejecting.reject(next(claimed), verdict),
  },
  {
    name: 'putBack reads its item',
    most: oneItem,
    run: ({ items, claimed }) =>
      items.putBack(next(claimed), { state: 'waiting', error, delayMs: 60_000, burn: true }),
  },
  {
    name: 'restart reads its item',
    most: oneItem,
    async run({ items, prepare, claimed }, n) {
      const item = next(claimed)
      await prepare.commitIntent(item, intentFor(item, `2029/${n}`))
      assert.equal(await items.restart(item), true)
    },
  },
  {
    name: 'yield reads its item',
    most: oneItem,
    run: ({ items, releasing }) => items.yield(next(releasing), { error: null, delayMs: 60_000 }),
  },
  {
    name: 'finishWithdrawal reads its item',
    most: oneItem,
    async run({ items, sql }) {
      const [row] = await sql<{ id: number; epoch: number }[]>`
        select id, epoch from strongroom.items where state = 'withdrawing' limit 1`
      assert.ok(row)
      assert.equal(await items.finishWithdrawal(row, 'aside'), true)
    },
  },
  {
    name: 'confirmRelease reads its item, and the rows that share its key',
    most: { media: 3, items: 5 },
    async run({ items, releasing }) {
      assert.equal(await items.confirmRelease(releasing[0] as DueItem), 'confirmed')
    },
  },
  {
    name: 'released reads its item',
    most: oneItem,
    run: ({ items, releasing }) => items.released(next(releasing), 'deleted'),
  },
  {
    name: 'keepSource reads its item',
    most: oneItem,
    run: ({ items, releasing }) =>
      items.keepSource(next(releasing), { state: 'archived', error, delayMs: 60_000 }),
  },
]

const sweeps: Statement[] = [
  {
    name: 'current reads the items asked for',
    most: { media: 0, items: LIMIT },
    run: ({ items, claimed }) => items.current(claimed.slice(0, LIMIT).map(({ id }) => id)),
  },
  {
    name: 'closeUnapproved reads the open items and their media rows',
    most: ({ open }) => ({ media: open, items: 2 * open }),
    async run({ items, sql }) {
      await sql`update media set status = 'pending'
        where id = (select min(media_id) from strongroom.items where state = 'waiting')`
      assert.equal((await items.closeUnapproved()).length, 1)
    },
  },
  {
    name: 'markReapproved reads the approved rows with their newest items',
    most: ({ approved }) => ({ media: approved + 2, items: approved + 1 }),
    async run({ items, sql }, n) {
      await sql`update media set status = 'approved' where id = ${n + 1}`
      assert.deepEqual(await items.markReapproved(), [n + 1])
    },
  },
  {
    name: 'markReleasedBefore reads the missing items with their media rows and generations',
    most: ({ open }) => ({ media: 2 * open, items: 4 * open }),
    run: ({ items }) => items.markReleasedBefore(),
  },
]

const PAGE = 100
let page: PlannedRow[] = []
let taken: ArchivedFile[] = []

const lookups: Statement[] = [
  {
    name: 'planApproved reads the rows of its page with their newest items',
    most: { media: PAGE + 2, items: 2 * PAGE },
    async run({ database, backend }) {
      page = await planApproved(database, backend, {
        after: page.at(-1) ?? null,
        limit: PAGE,
        ours: true,
      })
      assert.equal(page.length, PAGE)
    },
  },
  {
    name: 'findArchived reads the generations of one media row',
    most: { media: 0, items: 2 },
    run: ({ database }, n) => findArchived(database, 70_000 + n),
  },
  {
    name: 'releasesToday reads what was released today and what is being released',
    most: ({ inWork, releasedToday }) => ({ media: 0, items: releasedToday + inWork }),
    run: ({ database }) => releasesToday(database),
  },
  {
    name: 'unfinishedItems reads what is open or in work',
    most: ({ open, inWork }) => ({ media: 0, items: open + inWork }),
    run: ({ database }) => unfinishedItems(database),
  },
  {
    name: 'takeForScrub reads the files that it takes, and those in front of them that others have taken',
    most: { media: 0, items: 3 * LIMIT + TIMES * LIMIT },
    async run({ database }) {
      taken = await takeForScrub(database, { limit: LIMIT, periodMs: 0 })
      assert.equal(taken.length, LIMIT)
    },
  },
  {
    name: 'ownersOf reads one item for each path, or looks for it in vain',
    most: { media: 0, items: LIMIT + 1 },
    async run({ database }) {
      const paths = Array.from({ length: LIMIT }, (_, n) => `2026/${70_000 + n}/${70_000 + n}.mp4`)
      assert.equal((await ownersOf(database, [...paths, 'no/such.mp4'])).size, LIMIT)
    },
  },
  {
    name: 'abandonedItems reads what is in work',
    most: ({ inWork }) => ({ media: 0, items: inWork }),
    run: ({ database }) => abandonedItems(database, { after: 0, limit: LIMIT }),
  },
  {
    name: 'findReapproved reads the approved rows with their newest items',
    most: ({ approved }) => ({ media: approved + 2, items: approved + 1 }),
    run: ({ database, backend }) => findReapproved(database, backend),
  },
  {
    name: 'insertRebuilt looks for each of its paths and media rows',
    most: { media: 3 * LIMIT, items: 6 * LIMIT },
    async run({ database, backend }, n) {
      const ids = Array.from({ length: LIMIT }, (_, index) => 60_000 + n * LIMIT + index)
      const items = ids.map((id) => itemOf(sidecarOf(madeFile(id))))
      const inserted = await insertRebuilt(database, backend, { items, releaseGraceMs: 0 })
      assert.deepEqual(new Set(inserted.map(({ outcome }) => outcome)), new Set(['made']))
    },
  },
  {
    name: 'orderGenerations reads the generations of its media rows',
    most: { media: 0, items: 4 * LIMIT },
    run: ({ database }, n) =>
      orderGenerations(
        database,
        Array.from({ length: LIMIT }, (_, index) => 60_000 + n * LIMIT + index),
      ),
  },
  {
    name: 'noteVerified reads one item',
    most: { media: 0, items: 1 },
    run: ({ database }, n) => noteVerified(database, taken[n % LIMIT] ?? assert.fail(), 'damaged'),
  },
  {
    name: 'readHealth reads the item that was read longest ago, the first damaged one, and few runs',
    most: { media: 0, items: 2 },
    run: async ({ database }) =>
      assert.ok((await readHealth(database, 'sync')).oldestReadingSeconds),
  },
  {
    name: 'readGauges looks at rows that stay approved, at what is in work, due and damaged, and at one archived item',
    most: ({ settled, open, inWork }) => ({
      media: settled + 3 * LIMIT + 2,
      items: settled + 3 * LIMIT + 2 * (open + inWork) + rowsMade.archived / 2 + TIMES + 1,
    }),
    run: async ({ database, backend }) =>
      assert.ok((await readGauges(database, backend)).oldestReadingSeconds),
  },
  {
    name: 'damagedLately reads what was damaged lately',
    most: { media: 0, items: TIMES },
    run: async ({ database }) => assert.ok((await damagedLately(database)) > 0),
  },
  {
    name: 'claimFiled reads the item that it names',
    most: oneItem,
    run: async ({ items }, n) => assert.ok(await items.claimFiled(taken[n % LIMIT]?.item ?? 0, [])),
  },
  {
    name: 'settleHeal reads the item that it names',
    most: oneItem,
    async run({ prepare, items }, n) {
      const item = await prepare.claimFiled(taken[n % LIMIT]?.item ?? 0, [])
      assert.ok(item && (await items.settleHeal(item, { outcome: 'damaged', damage: 'flipped' })))
    },
  },
  {
    name: 'ownerFacts reads the items asked for, with their media rows and generations',
    most: { media: 2 * LIMIT, items: 5 * LIMIT },
    async run({ database, backend }, n) {
      const items = Array.from({ length: LIMIT }, (_, i) => 1 + n * LIMIT + i)
      assert.equal((await ownerFacts(database, backend, items)).length, LIMIT)
    },
  },
  {
    name: 'sizesInNeed reads what is lost or damaged',
    most: { media: 0, items: TIMES + 1 },
    run: ({ database }) => sizesInNeed(database),
  },
  {
    name: 'damagedFiles reads the damaged ones',
    most: { media: 0, items: TIMES },
    run: ({ database }) => damagedFiles(database, LIMIT),
  },
]

/** Of which a search computes the words. */
const RECENT = 10_000
const listed = { before: 90_000, limit: LIMIT, unseen: true }

const wishes: Statement[] = [
  {
    name: 'listItems reads the items of its page, each with its generations and its media row',
    most: { media: 2 * LIMIT, items: 6 * LIMIT },
    async run({ database, backend }) {
      const found = await listItems(database, backend, { ...listed, states: null })
      assert.equal(found.length, LIMIT)
    },
  },
  {
    name: 'listItems by state reads a page of each state',
    most: { media: 2 * LIMIT, items: 12 * LIMIT },
    async run({ database, backend }) {
      const states = ['held', 'rejected', 'source_differs'] as const
      const found = await listItems(database, backend, { ...listed, states, before: null })
      assert.equal(found.length, LIMIT)
    },
  },
  {
    name: 'searchItems reads the newest items, and besides what has all of the words',
    most: { media: 2, items: 2 * RECENT + 5 },
    async run({ database, backend }, n) {
      const words = ['title', String(50_000 + n)]
      const found = await searchItems(database, backend, { words, before: null, limit: LIMIT })
      assert.deepEqual(
        found.map(({ mediaId }) => mediaId),
        [50_000 + n],
      )
    },
  },
  {
    name: 'searchItems for one rare word reads the newest items, and besides what has it',
    most: { media: 2, items: 2 * RECENT + 5 },
    async run({ database, backend }, n) {
      const words = [String(50_000 + n)]
      const found = await searchItems(database, backend, { words, before: null, limit: LIMIT })
      assert.equal(found.length, 1)
    },
  },
  {
    name: 'searchItems for a word that all have reads the newest items only',
    most: { media: 2 * LIMIT, items: 6 * LIMIT },
    async run({ database, backend }) {
      const wanted = { words: ['title'], before: 90_000, limit: LIMIT }
      assert.equal((await searchItems(database, backend, wanted)).length, LIMIT)
    },
  },
  {
    name: 'findItem reads the generations of one medium',
    most: { media: 2, items: 4 },
    run: ({ database, backend }, n) => findItem(database, backend, { mediaId: 50_000 + n }),
  },
  {
    name: 'findItem reads the item of one path',
    most: { media: 2, items: 2 },
    async run({ database, backend }, n) {
      const archivePath = `2026/${50_000 + n}/${50_000 + n}.mp4`
      assert.equal((await findItem(database, backend, { archivePath }))?.mediaId, 50_000 + n)
    },
  },
  {
    name: 'itemsInWork reads what is in work',
    most: ({ inWork }) => ({ media: 2 * LIMIT, items: inWork + LIMIT }),
    run: ({ database, backend }) => itemsInWork(database, backend, LIMIT),
  },
  {
    name: 'countStates counts no further than it is told',
    most: { media: 0, items: 5 * LIMIT },
    async run({ database }) {
      const counts = await countStates(database, ['released', 'held'], {
        most: LIMIT,
        unseen: false,
      })
      assert.deepEqual(counts, { released: LIMIT, held: LIMIT })
    },
  },
  {
    name: 'countFresh passes the rows that stay approved',
    most: ({ settled, open }) => ({ media: settled + open + LIMIT, items: settled + open + LIMIT }),
    run: ({ database, backend }) => countFresh(database, backend, LIMIT),
  },
  {
    name: 'estimateItems reads no items',
    most: { media: 0, items: 0 },
    run: async ({ database }) => assert.ok((await estimateItems(database)) > MANY / 2),
  },
  {
    name: 'tryAgain reads the generations of one medium',
    most: { media: 0, items: 3 },
    run: ({ database }, n) => tryAgain(database, 50_000 + n),
  },
  {
    name: 'acknowledgeItem reads the generations of one medium',
    most: { media: 0, items: 2 },
    run: ({ database }, n) => acknowledgeItem(database, { mediaId: 50_000 + n, note: null }),
  },
  {
    name: 'wantReading reads the generations of one medium',
    most: { media: 0, items: 3 },
    async run({ database }, n) {
      assert.equal((await wantReading(database, 50_000 + n))?.done, true)
    },
  },
  {
    name: 'isReadingWanted reads what is wanted',
    most: { media: 0, items: TIMES },
    run: async ({ database }) => assert.equal(await isReadingWanted(database), true),
  },
]

/** One for each time. */
const movable: MovableFile[] = []
const idAt = (n: number) => movable[n]?.item ?? 0
const copyOf = (item: number) => ({
  bucketId: 'b',
  key: `${item}`,
  etag: 'e',
  versionId: null,
  sizeBytes: 0,
  sha256: 'ab'.repeat(32),
})
let lastMovable: MovableFile | null = null

/** While few are moved, reading these and their former versions is as good as any other way. */
const fewMoved = { media: 0, items: 5 * TIMES }

const moves: Statement[] = [
  {
    name: 'movableFiles reads a page of the longest archived, wherever it begins',
    most: { media: 0, items: LIMIT },
    async run({ database }) {
      const page = await movableFiles(database, { after: lastMovable, limit: LIMIT, ageMs: 1_000 })
      assert.equal(page.length, LIMIT)
      if (lastMovable !== null) assert.ok((page[0]?.archivedAt ?? 0) > lastMovable.archivedAt)
      lastMovable = page.at(-1) ?? null
      movable.push(...page.slice(0, 1))
    },
  },
  {
    name: 'take reads one item and the other versions of its medium',
    most: { media: 0, items: 4 },
    run: async ({ second }, n) => assert.ok(await second.take(idAt(n), 'released')),
  },
  {
    name: 'moved changes one item',
    most: oneItem,
    run: async ({ second, sql }, n) => {
      const id = idAt(n)
      const [row] = await sql<{ bytes: number }[]>`
        select size_bytes as bytes from strongroom.items where id = ${id}`
      const copy = { ...copyOf(id), sizeBytes: Number(row?.bytes) }
      assert.ok(await second.moved({ id, epoch: 2 }, copy))
    },
  },
  {
    name: 'giveBack changes one item',
    most: oneItem,
    run: async ({ second }, n) => assert.ok(await second.giveBack({ id: idAt(n), epoch: 2 })),
  },
  {
    name: 'filesInBoth reads those that are in both places',
    most: fewMoved,
    run: async ({ database }) =>
      assert.equal((await filesInBoth(database, { after: 0, limit: 100 })).length, TIMES),
  },
  {
    name: 'take to bring back reads one item',
    most: fewMoved,
    run: async ({ second }, n) => assert.ok(await second.take(idAt(n), 'recalled')),
  },
  {
    name: 'movedAfter reads a page of those that are moved',
    most: fewMoved,
    run: async ({ database }) => {
      const page = { after: 0, limit: LIMIT, mediaId: null }
      assert.equal((await movedAfter(database, page)).length, LIMIT)
    },
  },
  {
    name: 'movedAfter of one medium reads its versions',
    most: fewMoved,
    run: async ({ database }) => {
      const page = { after: 0, limit: LIMIT, mediaId: movable[0]?.mediaId ?? 0 }
      await movedAfter(database, page)
    },
  },
  {
    name: 'movedItems reads those that are asked for',
    most: fewMoved,
    run: async ({ database }, n) => assert.equal((await movedItems(database, [idAt(n)])).length, 1),
  },
  {
    name: 'takeSecondDue reads those that it takes',
    most: fewMoved,
    async run({ database }) {
      const due = { limit: 1, lookMs: 0, readMs: 1 }
      assert.equal((await takeSecondDue(database, due)).length, 1)
    },
  },
  {
    name: 'noteSecondLook reads no item',
    most: { media: 0, items: 0 },
    run: ({ database }, n) =>
      noteSecondLook(database, idAt(n), { trouble: null, whole: true, etag: 'e' }),
  },
  {
    name: 'recalled changes one item',
    most: oneItem,
    run: async ({ second }, n) => assert.ok(await second.recalled({ id: idAt(n), epoch: 3 })),
  },
]

test(`on tables of ${MANY} rows`, async (t) => {
  const rig = await openRig(t)
  const used = new Set<string>()
  for (const { name, most, run } of [
    ...claims,
    ...others,
    ...writes,
    ...sweeps,
    ...lookups,
    ...wishes,
    ...moves,
  ]) {
    await t.test(name, async () => {
      for (let n = 0; n < TIMES; n++) {
        const looked = typeof most === 'function' ? most(await whatIsThere(rig.sql), n) : most
        await run(rig, n)
        const explained = await rig.explained()
        judge(explained, looked)
        for (const index of explained.flatMap(({ indexes }) => indexes)) used.add(index)
      }
    })
  }

  await t.test('nothing is read for a claim while the disk is sick or releases pause', async () => {
    const archives = openArchives(rig.database)
    await archives.latchSick('it broke')
    await archives.pauseRelease('by hand')
    await rig.explained()
    for (const claim of ['claim', 'claimAbandoned', 'claimDue'] as const) {
      assert.deepEqual(await rig.itemsAnew()[claim](LIMIT, []), [])
      judge(await rig.explained(), { media: 0, items: 0 })
    }
    await archives.clearSick()
    await archives.resumeRelease()
  })

  await t.test(
    'countByState counts all items, in an index that holds nothing but states',
    async () => {
      await rig.sql`vacuum strongroom.items`
      await rig.explained()
      await countByState(rig.database)
      const [count] = await rig.explained()
      assert.deepEqual(
        count?.readings.map(({ how, table }) => [how, table]),
        [['Index Only Scan', 'items']],
      )
    },
  )

  await t.test(
    'each index of items is used by a statement, or forbids what must not be',
    async () => {
      const indexes = await rig.sql<{ name: string; isUnique: boolean }[]>`
      select indexrelid::regclass::text as name, indisunique as "isUnique"
      from pg_index where indrelid = 'strongroom.items'::regclass`
      const unused = indexes.filter(
        ({ name, isUnique }) => !isUnique && !used.has(name.replace('strongroom.', '')),
      )
      assert.deepEqual(unused, [])
    },
  )

  await t.test('accepting another volume rewrites no item', async () => {
    const places = () =>
      rig.sql`select md5(string_agg(ctid::text, ' ' order by id)) from strongroom.items`
    const before = await places()
    await openArchives(rig.database).accept(randomUUID())
    assert.deepEqual([...(await places())], [...before])
  })
})

function next(items: Item[]): Item {
  const item = items.pop()
  assert.ok(item)
  return item
}

/** One statement, no scan over a whole table, and no more rows than that. */
function judge(explained: Explained[], most: Looked): void {
  const [statement, ...others] = explained
  assert.ok(statement && others.length === 0, `${explained.length} statements were explained`)
  const { readings, text } = statement
  const sentence = JSON.stringify(readings)
  for (const table of ['media', 'items'] as const) {
    const own = readings.filter((reading) => reading.table === table)
    const looked = own.reduce((sum, { rows }) => sum + rows, 0)
    assert.ok(
      !own.some(({ how }) => how === 'Seq Scan'),
      `${table} is scanned: ${sentence}\n${text}`,
    )
    assert.ok(looked <= most[table], `${table}: ${looked} > ${most[table]}: ${sentence}\n${text}`)
  }
}

async function openRig(t: TestContext): Promise<Rig> {
  const { config, sql } = await withDatabase(t)
  await createBackendTables(sql)
  const product = openDatabase(config)
  t.after(() => product.close())
  await migrate(product)
  const archiveId = randomUUID()
  await openArchives(product).insert(archiveId)
  await fillTables(sql)
  const { database, explained } = withWatchedDatabase(t, config)
  const { backend: mapping } = parse()
  const worker = {
    archiveId,
    owner: 'a',
    leaseMs: 90_000,
    releaseGraceMs: 0,
    releaseDailyMax: null,
    bucket: 'uploads',
  }
  const backend = await openBackend(database, mapping)
  const status = { ...mapping.status, rejected: 'rejected' }
  const rejecting = { ...backend, mapping: { ...mapping, status } }
  const prepare = openItems({ ...worker, database: product, backend })
  const claimed = await prepare.claim(100, [])
  const releasing = await prepare.claimDue(50, [])
  await explained()
  return {
    sql,
    database,
    backend,
    items: openItems({ ...worker, database, backend }),
    itemsAnew: () => openItems({ ...worker, database, backend }),
    capped: openItems({ ...worker, database, backend, releaseDailyMax: 1_000 }),
    rejecting: openItems({ ...worker, database, backend: rejecting }),
    prepare,
    second: openSecondItems({ ...worker, database }),
    claimed,
    releasing,
    explained,
  }
}

async function whatIsThere(sql: TestSql): Promise<There> {
  const [row] = await sql<There[]>`
    select
      (select count(*) from media where status = 'approved') as approved,
      (select count(*) from media m where status = 'approved'
        and exists (select from strongroom.items where media_id = m.id)) as settled,
      (select count(*) from strongroom.items
        where state in ('claimed', 'publishing', 'waiting', 'missing', 'withdrawing')) as open,
      (select count(*) from strongroom.items
        where state in ('claimed', 'publishing', 'withdrawing', 'releasing')) as "inWork",
      (select count(*) from strongroom.items
        where released_at > now() - interval '24 hours') as "releasedToday"`
  assert.ok(row)
  return row
}
