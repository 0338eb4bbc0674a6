import type { AdminActionRow } from '../../db/admin-actions.ts'
import { shown, timeText } from '../text.ts'
import { badge, empty, type Html, html, type PageContext, time } from './html.ts'
import { page } from './layout.ts'

export function actionsPage(
  context: PageContext,
  { actions, next }: { actions: readonly AdminActionRow[]; next: number | null },
): Html {
  return page(context, {
    title: 'Actions',
    place: '/actions',
    body: html`
<h1>What people did</h1>
<p class="hint">Each change that was asked for here, by the API, or by the commands retry, acknowledge and token revoke; entered before it was done.</p>
${actions.length === 0 ? empty('Nothing yet.') : html`<ul class="items">${actions.map(actionRow)}</ul>`}
${next === null ? '' : html`<p class="pager"><a rel="next" href="/actions?before=${next}">Older</a></p>`}`,
  })
}

export function actionRow(row: AdminActionRow): Html {
  const { action, outcome, at, actor, client, mediaId, details } = row
  const more = Object.entries(details).filter(([, value]) => value !== null)
  return html`<li class="item">
  <div class="head">${action} ${mediaId === null ? '' : html`<a href="/media/${mediaId}">media ${mediaId}</a>`} ${badge(outcome ?? 'unknown', outcome === 'done' ? 'good' : 'warn')}</div>
  <div class="facts">${time(at, timeText(at))}<span>${actor}</span>${client === null ? '' : html`<span>${client}</span>`}${more.map(([name, value]) => html`<span>${name} <bdi>${shown(String(value), 100)}</bdi></span>`)}</div>
</li>`
}
