import type { ListedItem } from '../../db/item-list.ts'
import type { ItemState } from '../../item-states.ts'
import type { Transfer } from '../live.ts'
import { type Beat, type Calm, MOST_COUNTED, type Pulse } from '../pulse.ts'
import { agoText, bytesText, clockText, countText, shown, shownProblem, spanText } from '../text.ts'
import { badge, button, empty, type Html, html, type PageContext } from './html.ts'
import { itemRow, nameOf, stateBadge } from './items.ts'
import { page } from './layout.ts'
import { runRow } from './runs.ts'

export interface Shown {
  pulse: Pulse
  transfers: ReadonlyMap<number, Transfer>
  nowMs: number
  approved: string
  now: Date
}

/** The parts of the first page that change while it is looked at, by the id of their place. */
export const parts = {
  state: statePart,
  now: nowPart,
  numbers: numbersPart,
  attention: attentionPart,
  runs: runsPart,
} as const satisfies Record<string, (shown: Shown) => Html>

export type PartName = keyof typeof parts
export const partNames = Object.keys(parts) as PartName[]

export function overviewPage(context: PageContext, shownNow: Shown): Html {
  const part = (name: PartName) =>
    html`<div id="part-${name}" data-live>${parts[name](shownNow)}</div>`
  return page(context, {
    title: 'Now',
    place: '/',
    live: true,
    body: html`
<div class="title"><h1>Now</h1>${part('state')}${button(context, { action: '/sync', label: 'Sync now', kind: 'main' })}</div>
${part('numbers')}
<section aria-labelledby="h-now"><h2 id="h-now">In work</h2>${part('now')}</section>
<section aria-labelledby="h-attention"><h2 id="h-attention">Needs a person</h2>${part('attention')}</section>
<section aria-labelledby="h-runs"><h2 id="h-runs">Last runs</h2>${part('runs')}<p class="pager"><a href="/runs">All runs</a></p></section>`,
  })
}

function beatOf({ pulse }: Shown): Beat | null {
  return pulse.beat
}

function statePart({ pulse, now }: Shown): Html {
  const { problem, beat } = pulse
  if (problem !== null)
    return html`<p class="state">${badge('out of reach', 'bad')} <span>${shownProblem(problem)}${beat === null ? '' : html` – What is shown is of ${agoText(beat.at, now)}.`}</span></p>`
  const ill = Object.entries(beat.calm.health.checks).filter(([, { ok }]) => !ok)
  const running = beat.runs.find((run) => run.status === 'running')
  if (ill.length > 0)
    return html`<p class="state">${badge('not well', 'bad')} <span>${ill.map(([name, { error }]) => `${name}: ${error}`).join(', ')}. “strongroom doctor” names the remedy.</span></p>`
  if (running !== undefined)
    return html`<p class="state">${badge('working', 'busy')} <span>${running.job} on ${shown(running.node, 40)}</span></p>`
  return html`<p class="state">${badge('all well', 'good')}</p>`
}

function numbersPart(shownNow: Shown): Html {
  const beat = beatOf(shownNow)
  if (beat === null) return html``
  const { calm } = beat
  const { gauges, storage, fresh, counts } = calm
  const waiting = counts.waiting ?? 0
  const oldest = gauges.oldestApprovedSeconds
  const toSee = sum(calm.unseenCounts) + gauges.damaged
  return html`<dl class="numbers">
${number('To be archived', countText(fresh + waiting, MOST_COUNTED), oldest === null ? 'nothing waits' : `oldest approved ${spanText(oldest)} ago`)}
${number('Needs a person', countText(toSee, MOST_COUNTED), toSee === 0 ? 'nothing' : 'see below')}
${number('Under care', careText(calm), `${countText(gauges.releaseDue, MOST_COUNTED)} sources due${gauges.releasePaused ? ', releases paused' : ''}`)}
${readingNumber(gauges.oldestReadingSeconds)}
${storage === null ? number('Free', '–', 'this node does not see the archive') : number('Free', bytesText(storage.freeBytes), `of ${bytesText(storage.totalBytes)}, ${Math.round((100 * storage.freeBytes) / Math.max(1, storage.totalBytes))} %`)}
</dl>`
}

/** PostgreSQL's estimate is coarse while the table is small. */
function careText({ counts, estimated }: Calm): string {
  const exact = sum({
    archived: counts.archived,
    releasing: counts.releasing,
    released: counts.released,
    moved: counts.moved,
    kept: counts.kept,
  })
  return exact < MOST_COUNTED
    ? exact.toLocaleString('en')
    : `about ${Math.round(Math.max(estimated, exact)).toLocaleString('en')}`
}

function readingNumber(seconds: number | null): Html {
  if (seconds === null) return number('Oldest reading', '–', 'nothing is archived yet')
  return number('Oldest reading', `${spanText(seconds)} ago`, 'every file was read since, or filed')
}

function number(name: string, value: string, note: string): Html {
  return html`<div><dt>${name}</dt><dd>${value}</dd><dd class="note">${note}</dd></div>`
}

function nowPart(shownNow: Shown): Html {
  const beat = beatOf(shownNow)
  if (beat === null) return html``
  if (beat.inWork.length === 0) return empty('Nobody works on anything at this moment.')
  return html`<ul class="items">${beat.inWork.map((item) => workRow(item, shownNow))}</ul>`
}

function workRow(item: ListedItem, { transfers, nowMs }: Shown): Html {
  const transfer = transfers.get(item.item)
  return html`<li class="item work">
  <div class="head"><a href="/media/${item.mediaId}">${nameOf(item)}</a> ${stateBadge(item.state)}</div>
  ${transfer === undefined ? html`<div class="facts"><span>${shown(item.leaseOwner, 60)}</span></div>` : progress(transfer, nowMs)}
</li>`
}

function progress({ bytes, sizeBytes, startedAtMs }: Transfer, nowMs: number): Html {
  const perSecond = (bytes * 1000) / Math.max(1, nowMs - startedAtMs)
  const left =
    perSecond > 0 && bytes < sizeBytes ? `, ${clockText((sizeBytes - bytes) / perSecond)} left` : ''
  const percent = sizeBytes === 0 ? 100 : Math.min(100, Math.floor((bytes * 100) / sizeBytes))
  const text =
    bytes >= sizeBytes
      ? `${bytesText(sizeBytes)}, checking and filing`
      : `${percent} % of ${bytesText(sizeBytes)}, ${bytesText(perSecond)}/s${left}`
  return html`<progress max="100" value="${percent}" aria-label="fetched">${percent} %</progress><div class="facts"><span>${text}</span></div>`
}

function attentionPart(shownNow: Shown): Html {
  const beat = beatOf(shownNow)
  if (beat === null) return html``
  const { unseen, damaged, unseenCounts } = beat.calm
  if (unseen.length === 0 && damaged.length === 0)
    return empty(
      'Nothing. Whatever is rejected, held, missing or damaged is listed here until somebody has seen it.',
    )
  const more = (Object.entries(unseenCounts) as [ItemState, number][]).filter(
    ([, count]) => count > 0,
  )
  return html`<ul class="items">
${damaged.map(({ mediaId, archivePath, damage }) => html`<li class="item"><div class="head"><a href="/media/${mediaId}">${shown(archivePath, 90)}</a> ${badge('damaged', 'bad')}</div><p class="why">${shown(damage, 300)}</p></li>`)}
${unseen.map((item) => itemRow(item, shownNow))}
</ul>
<p class="pager">${more.map(([state, count]) => html`<a href="/items?state=${state}&unseen=true">${countText(count, MOST_COUNTED)} ${state.replace('_', ' ')}</a> `)}</p>`
}

function runsPart(shownNow: Shown): Html {
  const beat = beatOf(shownNow)
  if (beat === null) return html``
  if (beat.runs.length === 0) return empty('None yet. “Sync now” starts one; so does the schedule.')
  return html`<ul class="items">${beat.runs.map((run) => runRow(run, shownNow.now))}</ul>`
}

function sum(counts: Partial<Record<string, number | undefined>>): number {
  return Object.values(counts).reduce<number>((total, count) => total + (count ?? 0), 0)
}
