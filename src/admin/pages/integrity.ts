import type { Gauges } from '../../db/gauges.ts'
import type { Look } from '../look.ts'
import { agoText, countText, shown, shownProblem, spanText } from '../text.ts'
import { badge, bdi, button, empty, type Html, html, type PageContext } from './html.ts'
import { page } from './layout.ts'

export interface IntegrityView {
  gauges: Gauges
  /** What the last readings found wrong, longest known first. */
  damaged: readonly { mediaId: number; archivePath: string; damage: string }[]
  most: number
  look: Look
}

export function integrityPage(context: PageContext, view: IntegrityView): Html {
  const { gauges, damaged, most } = view
  return page(context, {
    title: 'Integrity',
    place: '/integrity',
    body: html`
<h1>Integrity</h1>
<p>${readingText(view)}</p>
${gauges.healPaused ? html`<p class="notice bad">Healing is paused: too much was found damaged at once. Check the archive’s disk and the bucket; “strongroom release resume” goes on.</p>` : ''}
<section aria-labelledby="h-bad"><h2 id="h-bad">Missing and differing files</h2>
<p class="hint">What reading the archive again has found; a syncing node heals it from the bucket where the source lives. Nothing on this page changes or deletes a file.</p>
${damaged.length === 0 ? empty('None: every file that was read is as it was archived.') : html`<ul class="items">${damaged.map(({ mediaId, archivePath, damage }) => html`<li class="item"><div class="head"><a href="/media/${mediaId}">${bdi(archivePath, 120)}</a> ${badge(kindOf(damage), 'bad')}</div><p class="why">${shown(damage, 400)}</p></li>`)}</ul>`}
${damaged.length < most ? '' : html`<p class="hint">Only the first ${most} are shown; “strongroom verify --json” lists all.</p>`}
</section>
<section aria-labelledby="h-look"><h2 id="h-look">Untracked files, and whatever is not at rest</h2>
${lookPart(context, view.look)}</section>`,
  })
}

function readingText({ gauges: { oldestReadingSeconds }, damaged, most }: IntegrityView): string {
  if (oldestReadingSeconds === null) return 'Nothing is archived yet.'
  const count = countText(damaged.length, most)
  const whole = damaged.length === 0 ? 'all of them whole' : `${count} of them not as archived`
  return `Every file was read, or archived, within the last ${spanText(oldestReadingSeconds)}; ${whole}.`
}

function kindOf(damage: string): string {
  return shown(damage.split(':')[0] ?? 'damaged', 20)
}

function lookPart(context: PageContext, look: Look): Html {
  const start = button(context, { action: '/integrity/look', label: 'Look now' })
  if (look.state === 'never')
    return html`${empty('The tree was not looked at since this node was started. A look reads names and sizes, never media, and changes nothing.')}${start}`
  if (look.state === 'running')
    return html`<p>${badge('looking', 'busy')} ${look.files.toLocaleString('en')} files and ${look.items.toLocaleString('en')} items so far. Load this page again to see more.</p>`
  const { problem, findings, counts, endedAt } = look
  return html`
<p>${problem === null ? badge('done', 'good') : badge('broken off', 'bad')} ${agoText(endedAt, context.now)}: ${look.files.toLocaleString('en')} files, ${look.items.toLocaleString('en')} items.${problem === null ? '' : ` ${shownProblem(problem)}`}</p>
${Object.entries(counts).length === 0 && problem === null ? empty('All is at rest: no file is missing, none is untracked.') : ''}
${Object.entries(counts).map(([kind, { count, next }]) => html`<h3>${count} ${kind}</h3><p class="hint">${next}</p>`)}
${findings.length === 0 ? '' : html`<ul class="items">${findings.map(({ kind, path, mediaId, reason }) => html`<li class="item"><div class="head">${mediaId === null ? bdi(path, 160) : html`<a href="/media/${mediaId}">${bdi(path ?? `media ${mediaId}`, 160)}</a>`} ${badge(kind, 'warn')}</div><p class="why">${shown(reason, 300)}</p></li>`)}</ul>`}
${start}`
}
