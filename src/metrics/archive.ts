import { Gauge, type Registry } from 'prom-client'
import type { Gauges } from '../db/gauges.ts'
import { ITEM_STATES, type ItemState } from '../item-states.ts'
import { type Aged, createCached } from './cached.ts'

/** What is asked of the database, and how long a scrape may wait for it. */
export interface ArchiveSources {
  gauges: () => Promise<Gauges>
  countByState: () => Promise<Counts>
  /** How long a source outlives its archiving. */
  releaseGraceMs: number
}

const FRESH_MS = 30_000
const PATIENCE_MS = 2_000

type Counts = Partial<Record<ItemState, number>>

/**
 * What the database says. Counting all items takes seconds where there are tens of millions, so each scrape is given the
 * last count, and a new one is begun at most every 30 s.
 */
export function addArchiveMetrics(registry: Registry, sources: ArchiveSources): void {
  const bounds = { freshMs: FRESH_MS, patienceMs: PATIENCE_MS }
  const gauges = createCached(sources.gauges, bounds)
  const counts = createCached(sources.countByState, bounds)
  addCounts(registry, counts)
  const add = createAdder(registry, gauges)
  add('strongroom_backlog_oldest_age_seconds', {
    help: 'How long ago the medium was approved that has waited longest for its archiving; 0 when none waits.',
    value: ({ oldestApprovedSeconds }) => oldestApprovedSeconds ?? 0,
  })
  add('strongroom_leases', {
    help: 'Items that a worker of any node has in hand.',
    value: ({ leased }) => leased,
  })
  add('strongroom_release_due', {
    help: 'Sources that are due to be deleted now; counted up to 100,000.',
    value: ({ releaseDue }) => releaseDue,
  })
  add('strongroom_release_paused', {
    help: '1 while no source is deleted because releases are paused, else 0.',
    value: ({ releasePaused }) => Number(releasePaused),
  })
  add('strongroom_heal_paused', {
    help: '1 while nothing is healed because too much was damaged at once, else 0.',
    value: ({ healPaused }) => Number(healPaused),
  })
  add('strongroom_damaged_files', {
    help: 'Archived files, and copies in the second bucket, that were damaged when they were last looked at and that nobody has acknowledged; counted up to 100,000.',
    value: ({ damaged }) => damaged,
  })
  add('strongroom_scrub_oldest_age_seconds', {
    help: 'How long ago the archived file was read whole that was read longest ago; 0 when there is none.',
    value: ({ oldestReadingSeconds }) => oldestReadingSeconds ?? 0,
  })
  new Gauge({
    name: 'strongroom_release_grace_seconds',
    help: 'How long a source outlives its archiving: RELEASE_GRACE.',
    registers: [registry],
  }).set(sources.releaseGraceMs / 1_000)
  new Gauge({
    name: 'strongroom_database_reading_age_seconds',
    help: 'How old the figures are that come from the database; without it they are left out.',
    registers: [registry],
    async collect() {
      const reading = await gauges()
      if (reading === null) this.remove()
      else this.set(reading.ageMs / 1_000)
    },
  })
}

function addCounts(registry: Registry, counts: () => Promise<Aged<Counts> | null>): void {
  new Gauge({
    name: 'strongroom_items',
    help: 'Items in each state, of all nodes.',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      const reading = await counts()
      this.reset()
      if (reading === null) return
      for (const state of Object.keys(ITEM_STATES)) this.set({ state }, 0)
      for (const [state, count] of Object.entries(reading.value)) this.set({ state }, count)
    },
  })
}

interface Definition {
  help: string
  value: (gauges: Gauges) => number
}

function createAdder(registry: Registry, read: () => Promise<Aged<Gauges> | null>) {
  return (name: string, { help, value }: Definition) => {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        const reading = await read()
        if (reading === null) this.remove()
        else this.set(value(reading.value))
      },
    })
  }
}
