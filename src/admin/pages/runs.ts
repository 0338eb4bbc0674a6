import { isOver, type Run, type RunEvent, type RunStatus } from '../../runs.ts'
import { things } from '../../units.ts'
import {
  agoText,
  bytesText,
  clockText,
  shown,
  shownLines,
  shownProblem,
  timeText,
} from '../text.ts'
import { badge, empty, type Html, html, type PageContext, type Tone, time } from './html.ts'
import { page } from './layout.ts'

const tones: Record<RunStatus, Tone> = {
  pending: 'calm',
  running: 'busy',
  success: 'good',
  partial: 'warn',
  failed: 'bad',
  cancelled: 'calm',
  skipped: 'calm',
}

export function runRow(run: Run, now: Date): Html {
  const name = run.id === null ? run.job : html`<a href="/runs/${run.id}">${run.job} ${run.id}</a>`
  return html`<li class="item">
  <div class="head">${name} ${badge(run.status, tones[run.status])}</div>
  <div class="facts">${time(run.startedAt, agoText(run.startedAt, now))}<span>${run.trigger}</span>${run.mode === 'live' ? '' : html`<span>${run.mode}</span>`}<span>${shown(run.node, 40)}</span>${tookOf(run)}</div>
  ${resultOf(run)}
</li>`
}

function tookOf({ startedAt, endedAt }: Run): Html | string {
  if (endedAt === null) return ''
  return html`<span>took ${clockText((endedAt.getTime() - startedAt.getTime()) / 1000)}</span>`
}

function resultOf({ items, bytes, error, attempts }: Run): Html | string {
  const counts = Object.entries(items).filter(([, count]) => count > 0)
  const said = [
    ...counts.map(([outcome, count]) => `${count} ${outcome.replaceAll('_', ' ')}`),
    ...(bytes > 0 ? [bytesText(bytes)] : []),
    ...(attempts > 1 ? [`failed ${attempts} times in a row`] : []),
  ].join(', ')
  return html`${said === '' ? '' : html`<p class="result">${said}</p>`}${error === null ? '' : html`<p class="why">${shownProblem(error)}</p>`}`
}

export function runsPage(
  context: PageContext,
  { runs, next }: { runs: readonly Run[]; next: number | null },
): Html {
  return page(context, {
    title: 'Runs',
    place: '/runs',
    body: html`
<h1>Runs</h1>
${runs.length === 0 ? empty('None yet. “Sync now” on the first page starts one; so does the schedule.') : html`<ul class="items">${runs.map((run) => runRow(run, context.now))}</ul>`}
${next === null ? '' : html`<p class="pager"><a rel="next" href="/runs?before=${next}">Older</a></p>`}`,
  })
}

export function runPage(
  context: PageContext,
  {
    run,
    events,
    next,
  }: {
    run: Run & { log: string | null }
    events: readonly (RunEvent & { id: number })[]
    next: number | null
  },
): Html {
  return page(context, {
    title: `Run ${run.id}`,
    place: '/runs',
    body: html`
<h1>${run.job} ${run.id}</h1>
<ul class="items">${runRow(run, context.now)}</ul>
<p class="facts"><span>began ${timeText(run.startedAt)}</span>${run.endedAt === null ? '' : html`<span>ended ${timeText(run.endedAt)}</span>`}</p>
<h2>What became of each item</h2>
${events.length === 0 ? empty(isOver(run.status) ? 'There was nothing to do.' : 'Nothing is settled yet.') : eventTable(events)}
${next === null ? '' : html`<p class="pager"><a rel="next" href="/runs/${run.id}?after=${next}">More</a></p>`}
${run.log === null ? '' : html`<h2>Warnings and errors of the log</h2><pre tabindex="0">${shownLines(run.log)}</pre>`}`,
  })
}

function eventTable(events: readonly RunEvent[]): Html {
  return html`<p class="hidden">${things(events.length, 'event')}</p><ul class="items">
${events.map(
  ({ at, mediaId, outcome, reason, archivePath, sizeBytes }) =>
    html`<li class="item"><div class="head">${mediaId === null ? '' : html`<a href="/media/${mediaId}">media ${mediaId}</a>`} ${badge(outcome.replaceAll('_', ' '), 'calm')}</div><div class="facts">${time(at, timeText(at))}${sizeBytes === null ? '' : html`<span>${bytesText(sizeBytes)}</span>`}${archivePath === null ? '' : html`<span><bdi>${shown(archivePath)}</bdi></span>`}</div>${reason === null ? '' : html`<p class="why">${shown(reason, 400)}</p>`}</li>`,
)}</ul>`
}
