import { noteVerified, takeForScrub } from '../src/db/archived.ts'
import type { Backend } from '../src/db/backend.ts'
import type { Database } from '../src/db/connect.ts'
import { readGauges } from '../src/db/gauges.ts'
import { readHealth } from '../src/db/health.ts'
import {
  countFresh,
  countStates,
  findItem,
  itemsInWork,
  listItems,
  searchItems,
} from '../src/db/item-list.ts'
import type { Items } from '../src/db/items.ts'
import { unfinishedItems } from '../src/db/lookup.ts'
import type { Item } from '../src/media.ts'

/** What `bench/queries.ts` asks of the database, each as the program does. */
export interface Question {
  name: string
  /** Of the server's processor time; none for what is asked too seldom, or by too few, to matter. */
  limitMs?: number
  /** True when the first time is another question's. */
  warmsUp?: true
  /** @returns how many rows it gave, and what is to be done with them before the next question */
  ask(on: Asked): Promise<Answer>
}

export interface Asked {
  items: Items
  worker: Worker
  database: Database
  backend: Backend
  /** Counts the questions. */
  run: number
}

/** One that goes on from question to question; `items` is another one each time. */
export interface Worker {
  items: Items
  held: Item[]
}

interface Answer {
  rows: number
  settle?: () => Promise<unknown>
}

const forWork: readonly Question[] = [
  {
    // It passes each row that stays approved, held or rejected.
    name: 'claim of 10, once in half a minute',
    ask: async ({ items }) => ({ rows: (await items.claim(10, [])).length }),
  },
  {
    name: 'claim of 10, the others',
    limitMs: 5,
    warmsUp: true,
    async ask({ worker }) {
      const claimed = await worker.items.claim(10, worker.held)
      worker.held.push(...claimed)
      return { rows: claimed.length }
    },
  },
  {
    name: 'claim of 20 due for release',
    limitMs: 5,
    async ask({ items }) {
      const due = await items.claimDue(20, [])
      const settle = () => Promise.all(due.map((item) => items.released(item, 'deleted')))
      return { rows: due.length, settle }
    },
  },
  {
    name: 'next 20 files of the scrub',
    limitMs: 5,
    async ask({ database }) {
      const files = await takeForScrub(database, { limit: 20, periodMs: 3_600_000 })
      const settle = () => Promise.all(files.map((file) => noteVerified(database, file, null)))
      return { rows: files.length, settle }
    },
  },
]

/** At the start of each run. */
const reconciling: readonly Question[] = [
  {
    name: 'reconcile: what dead workers left',
    ask: async ({ items }) => ({ rows: (await items.claimAbandoned(10, [])).length }),
  },
  {
    name: 'reconcile: rows that lost their approval',
    ask: async ({ items }) => ({ rows: (await items.closeUnapproved()).length }),
  },
  {
    name: 'reconcile: rows approved again',
    ask: async ({ items }) => ({ rows: (await items.markReapproved()).length }),
  },
  {
    name: 'reconcile: missing objects that were released before',
    ask: async ({ items }) => ({ rows: (await items.markReleasedBefore()).length }),
  },
  {
    name: 'what a run leaves behind',
    async ask({ database }) {
      const { leased, later } = await unfinishedItems(database)
      return { rows: leased.items + later.items }
    },
  },
]

const PAGE = 50
const all = { states: null, unseen: false, before: null, limit: PAGE } as const

/** What a person looks at, and what looks by itself every few seconds. */
const watching: readonly Question[] = [
  {
    name: 'console: items in work',
    async ask({ database, backend }) {
      return { rows: (await itemsInWork(database, backend, PAGE)).length }
    },
  },
  {
    name: 'console: counts by state, up to 1,000 each',
    async ask({ database }) {
      const states = ['archived', 'released', 'held', 'rejected', 'waiting', 'missing'] as const
      const counts = await countStates(database, states, { most: 1000, unseen: false })
      return { rows: Object.keys(counts).length }
    },
  },
  {
    name: 'console: backlog, up to 1,000',
    ask: async ({ database, backend }) => ({ rows: await countFresh(database, backend, 1000) }),
  },
  {
    name: 'console: newest page of items',
    async ask({ database, backend }) {
      return { rows: (await listItems(database, backend, all)).length }
    },
  },
  {
    name: 'console: a page from the middle',
    async ask({ database, backend, run }) {
      const before = 50_000 + run * PAGE
      return { rows: (await listItems(database, backend, { ...all, before })).length }
    },
  },
  {
    name: 'console: what waits for a person',
    async ask({ database, backend }) {
      const states = ['held', 'rejected', 'source_differs', 'missing', 'lost'] as const
      const page = { ...all, states, unseen: true }
      return { rows: (await listItems(database, backend, page)).length }
    },
  },
  {
    name: 'console: search for a rare word',
    async ask({ database, backend, run }) {
      const wanted = { words: [String(50_000 + run)], before: null, limit: PAGE }
      return { rows: (await searchItems(database, backend, wanted)).length }
    },
  },
  {
    name: 'console: search for a word that all have',
    async ask({ database, backend }) {
      const wanted = { words: ['title'], before: null, limit: PAGE }
      return { rows: (await searchItems(database, backend, wanted)).length }
    },
  },
  {
    name: 'console: one medium',
    async ask({ database, backend, run }) {
      const found = await findItem(database, backend, { mediaId: 50_000 + run })
      return { rows: found === null ? 0 : 1 }
    },
  },
  {
    name: 'metrics',
    ask: async ({ database, backend }) => ({
      rows: Object.keys(await readGauges(database, backend)).length,
    }),
  },
  {
    name: 'health',
    ask: async ({ database }) => ({ rows: Object.keys(await readHealth(database, 'sync')).length }),
  },
]

export const questions: readonly Question[] = [...forWork, ...reconciling, ...watching]
