import type { AdminActionRow } from '../../db/admin-actions.ts'
import type { ItemHistory } from '../../db/history.ts'
import type { ListedItem } from '../../db/item-list.ts'
import { type History, versionTexts, whyLine } from '../../why.ts'
import { agoText, shown, shownLines, timeText } from '../text.ts'
import { badge, bdi, button, csrf, type Html, html, type PageContext } from './html.ts'
import { nameOf, stateBadge } from './items.ts'
import { page } from './layout.ts'

export interface MediumView {
  mediaId: number
  history: History
  /** The newest version; null while nothing was begun. */
  newest: ListedItem | null
  approved: string
  /** What can be played or shown; null for no archived file. */
  preview: { kind: 'video' | 'audio' | 'image' } | null
  isArchived: boolean
  sidecar: string | null
  actions: readonly AdminActionRow[]
}

export function mediumPage(context: PageContext, view: MediumView): Html {
  const { mediaId, history, newest, approved } = view
  return page(context, {
    title: `Media ${mediaId}`,
    place: '/items',
    body: html`
<h1>${newest === null ? `Media ${mediaId}` : nameOf(newest)}</h1>
<p class="facts"><span>media ${mediaId}</span>${newest === null ? '' : html`${stateBadge(newest.state)}${newest.damage === null ? '' : badge('damaged', 'bad')}${newest.acknowledgedAt === null ? '' : html`<span>seen ${agoText(newest.acknowledgedAt, context.now)}</span>`}`}</p>
<p class="why big">${shown(whyLine(history, approved), 1000)}</p>
<div class="buttons">${buttonsOf(context, view)}</div>
${previewOf(view)}
${history.items.map((item) => versionOf(item))}
${newest?.probe ? probeOf(newest) : ''}
${view.sidecar === null ? '' : html`<h2>Sidecar</h2><pre tabindex="0" aria-label="Sidecar">${shownLines(view.sidecar)}</pre>`}
${view.actions.length === 0 ? '' : html`<h2>What people did</h2><ul class="items">${view.actions.map((action) => html`<li class="item"><div class="head">${action.action} ${badge(action.outcome ?? 'unknown', action.outcome === 'done' ? 'good' : 'warn')}</div><div class="facts"><span>${timeText(action.at)}</span><span>${action.actor}</span></div></li>`)}</ul>`}`,
  })
}

function buttonsOf(context: PageContext, { mediaId, newest, isArchived }: MediumView): Html {
  if (newest === null) return html``
  const at = (what: string) => `/media/${mediaId}/${what}`
  const needsPerson = [
    'waiting',
    'missing',
    'held',
    'rejected',
    'withdrawn',
    'source_differs',
    'lost',
  ]
  return html`
${newest.state === 'waiting' || newest.state === 'missing' ? button(context, { action: at('retry'), label: 'Retry now' }) : ''}
${isArchived || newest.state === 'lost' ? button(context, { action: at('verify'), label: 'Read again' }) : ''}
${needsPerson.includes(newest.state) && newest.acknowledgedAt === null ? button(context, { action: at('acknowledge'), label: 'Acknowledge' }) : ''}
${isArchived ? mintForm(context, at('link')) : ''}`
}

function mintForm({ session }: PageContext, action: string): Html {
  return html`<form class="mint" method="post" action="${action}">${csrf(session)}
<label for="ttl">Link for</label>
<select id="ttl" name="ttl"><option value="3600">1 hour</option><option value="86400">1 day</option><option value="604800">7 days</option></select>
<button>Mint a link</button></form>`
}

/** Streamed by this port under the session of the page: no link leaves the server for it, and no other site has to let it in. */
function previewOf({ preview, mediaId, newest }: MediumView): Html | string {
  if (preview === null) return ''
  const source = `/media/${mediaId}/file`
  const name = shown(newest?.title ?? newest?.filename ?? null, 80) || `media ${mediaId}`
  if (preview.kind === 'image')
    return html`<figure class="preview"><img src="${source}" alt="${name}" loading="lazy"></figure>`
  if (preview.kind === 'audio')
    return html`<figure class="preview"><audio controls preload="metadata" src="${source}" aria-label="${name}"></audio></figure>`
  return html`<figure class="preview"><video controls preload="metadata" playsinline src="${source}" aria-label="${name}"></video></figure>`
}

function versionOf(item: ItemHistory): Html {
  const { source, size, proof, reason } = versionTexts(item)
  const facts: [string, string | null][] = [
    ['Source', source],
    ['ETag', item.etag],
    ['Archive path', item.archivePath],
    ['Size', size],
    ['SHA-256', item.sha256],
    ['Proof', proof],
    ['Archived', item.archivedAt && timeText(item.archivedAt)],
    ['Read again', item.verifiedAt && timeText(item.verifiedAt)],
    ['Source deleted', item.releasedAt && timeText(item.releasedAt)],
    ['Source due', item.releasedAt === null && item.releaseDue ? timeText(item.releaseDue) : null],
    ['Attempts', item.attempts === 0 ? null : String(item.attempts)],
    ['Damage', item.damage],
    ['Reason', reason],
  ]
  return html`<h2>Version ${item.generation} ${stateBadge(item.state)}</h2>
<dl class="proof">${facts.map(([name, value]) => (value === null ? '' : html`<div><dt>${name}</dt><dd>${bdi(value, 400)}</dd></div>`))}</dl>`
}

function probeOf({ probe }: ListedItem): Html {
  if (probe === null || probe.streams === undefined) return html``
  const streams = probe.streams.map(({ type, codec, width, height, channels }) =>
    [
      type,
      codec,
      width !== null && height !== null ? `${width}×${height}` : null,
      channels !== null ? `${channels} channels` : null,
    ]
      .filter((part) => part !== null)
      .join(' '),
  )
  return html`<h2>Probe</h2><dl class="proof"><div><dt>Container</dt><dd>${probe.container}</dd></div><div><dt>Type</dt><dd>${probe.mimeType}</dd></div>${probe.durationSeconds === null ? '' : html`<div><dt>Duration</dt><dd>${probe.durationSeconds} s</dd></div>`}${streams.map((text, n) => html`<div><dt>Stream ${n}</dt><dd>${shown(text, 200)}</dd></div>`)}</dl>`
}
