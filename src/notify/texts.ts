import { ERRORS } from '../errors.ts'
import type { Run } from '../runs.ts'
import { bytesText, timeText } from '../units.ts'
import { type Message, type MessageKind, printable } from './message.ts'
import { isFailed } from './pings.ts'
import type { Condition, Failing, Trouble } from './standing.ts'

/** Who sends messages, and where more can be read. */
export interface Sender {
  node: string
  adminUrl: string | null
  /** A UUID and the time for each message. */
  stamp: () => { id: string; at: Date }
}

interface Said {
  kind: MessageKind
  subject: string
  title: string
  lines: readonly string[]
  facts?: readonly (readonly [string, string])[]
  run?: Run
}

function compose(sender: Sender, { kind, subject, title, lines, facts = [], run }: Said): Message {
  const link =
    sender.adminUrl === null ? null : `${sender.adminUrl}/${run?.id ? `runs/${run.id}` : ''}`
  return {
    ...sender.stamp(),
    kind,
    subject,
    title: printable(title),
    lines: lines.map(printable).filter((line) => line !== ''),
    facts: facts.map(([name, value]) => [name, printable(value)] as const),
    link,
    node: sender.node,
    run: run ?? null,
  }
}

export function failureOfRun(sender: Sender, run: Run, reasons: readonly string[]): Message {
  const { job, error } = run
  const again = error !== null && ERRORS[error.code].retry !== 'never'
  return compose(sender, {
    kind: 'failure',
    subject: job,
    title: `${job} is failing`,
    lines: [
      error?.message ?? 'it ended for a reason that is not known',
      ...(error?.hint == null ? [] : [`Next: ${error.hint}`]),
      ...reasons,
      again
        ? 'It is tried again by itself; the next message comes when it works again.'
        : 'The next message comes when it works again.',
    ],
    facts: factsOf(run),
    run,
  })
}

export function recoveryOfRun(
  sender: Sender,
  run: Run,
  { was, reasons }: { was: Failing; reasons: readonly string[] },
): Message {
  const until = run.endedAt ?? run.startedAt
  return compose(sender, {
    kind: 'recovery',
    subject: run.job,
    title: `${run.job} works again`,
    lines: [
      `It failed for ${spanText(until.getTime() - was.since.getTime())}: ${was.title}`,
      ...reasons,
    ],
    facts: factsOf(run),
    run,
  })
}

export function attentionOfRun(sender: Sender, run: Run, reasons: readonly string[]): Message {
  const count = forAPerson(run)
  return compose(sender, {
    kind: 'attention',
    subject: run.job,
    title: count === 1 ? '1 item needs a person' : `${count} items need a person`,
    lines: [...reasons, 'Next: "strongroom why MEDIA-ID" says what became of each, and what to do'],
    facts: factsOf(run),
    run,
  })
}

export function endOfRun(sender: Sender, run: Run, reasons: readonly string[]): Message {
  return compose(sender, {
    kind: 'finished',
    subject: run.job,
    title: `${run.job}: ${run.status}`,
    lines: [...(run.error === null ? [] : [run.error.message]), ...reasons],
    facts: factsOf(run),
    run,
  })
}

export function failureOf(sender: Sender, { subject }: Condition, trouble: Trouble): Message {
  const { title, detail, next, since } = trouble
  return compose(sender, {
    kind: 'failure',
    subject,
    title,
    lines: [detail, `Next: ${next}`],
    facts: since === undefined ? [] : [['since', timeText(since)]],
  })
}

export function recoveryOf(
  sender: Sender,
  { subject, recovered }: Condition,
  was: Failing,
): Message {
  const { at } = sender.stamp()
  const lines = [`${was.title}, for ${spanText(at.getTime() - was.since.getTime())}.`]
  return compose(sender, { kind: 'recovery', subject, title: recovered, lines })
}

/** What happened since the last one: the runs by job and status, what they did, and what fails now. */
export function digestOf(
  sender: Sender,
  {
    since,
    runs,
    failing,
  }: { since: Date; runs: readonly Run[]; failing: ReadonlyMap<string, Failing> },
): Message {
  const items = new Map<string, number>()
  for (const run of runs)
    for (const [end, count] of Object.entries(run.items)) add(items, end, count)
  const archived = items.get('archived') ?? 0
  const state = failing.size === 0 ? 'nothing is failing' : `${failing.size} failing`
  const errors = runs
    .filter(isFailed)
    .flatMap(({ job, error }) => (error ? [`${job}: ${error.message}`] : []))
  return compose(sender, {
    kind: 'digest',
    subject: 'digest',
    title: `${archived} archived, ${state}`,
    lines: [
      `Since ${timeText(since)}.`,
      ...[...failing].map(
        ([subject, { title, since: from }]) =>
          `Failing since ${timeText(from)}: ${subject}: ${title}`,
      ),
      ...(runs.length === 0 ? ['No run has ended in this time.'] : []),
      ...[...new Set(errors)].slice(0, MOST_REASONS),
    ],
    facts: [
      ...jobFacts(runs),
      ...[...items].map(([end, count]) => [end, `${count}`] as const),
      ['bytes', bytesText(runs.reduce((sum, { bytes }) => sum + bytes, 0))],
    ],
  })
}

export function testMessage(sender: Sender, setting: string): Message {
  return compose(sender, {
    kind: 'test',
    subject: 'test',
    title: 'this is a test',
    lines: [`${setting} works. Somebody ran "strongroom notify test" on ${sender.node}.`],
  })
}

/** How many reasons one message repeats. */
export const MOST_REASONS = 3

/** Not `lost`: whatever found it, files that are damaged are told of as a part that fails. */
const endsForAPerson = ['rejected', 'held', 'source_differs']

/** How many items of the run only a person can help. */
export function forAPerson({ items }: Run): number {
  return endsForAPerson.reduce((sum, end) => sum + (items[end] ?? 0), 0)
}

function factsOf(run: Run): [string, string][] {
  const { status, trigger, mode, startedAt, endedAt, items, bytes, node } = run
  const ms = endedAt === null ? null : endedAt.getTime() - startedAt.getTime()
  return [
    ['status', mode === 'live' ? status : `${status} (${mode})`],
    ...Object.entries(items)
      .filter(([, count]) => count > 0)
      .map(([end, count]): [string, string] => [end, `${count}`]),
    ['bytes', bytesText(bytes)],
    ...(ms === null ? [] : ([['duration', spanText(ms)]] satisfies [string, string][])),
    ['started', `${timeText(startedAt)} (${trigger})`],
    ['node', node],
  ]
}

function jobFacts(runs: readonly Run[]): [string, string][] {
  const counts = new Map<string, Map<string, number>>()
  for (const { job, status } of runs) {
    const ofJob = counts.get(job) ?? new Map<string, number>()
    counts.set(job, ofJob)
    add(ofJob, status, 1)
  }
  return [...counts].map(([job, ofJob]) => [
    `${job} runs`,
    [...ofJob].map(([status, count]) => `${count} ${status}`).join(', '),
  ])
}

function add(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count)
}

/** `450 ms`, `12 s`, `5 min`, `6 h 0 min` */
export function spanText(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  const seconds = Math.round(ms / 1_000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
