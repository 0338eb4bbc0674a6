import type { ListedItem } from '../../db/item-list.ts'
import { type ItemState, itemStates } from '../../item-states.ts'
import { whyLine } from '../../why.ts'
import type { Found } from '../search.ts'
import { agoText, bytesText, shown } from '../text.ts'
import { badge, bdi, empty, type Html, html, type PageContext, type Tone, time } from './html.ts'
import { page } from './layout.ts'

const tones: Record<ItemState, Tone> = {
  claimed: 'busy',
  publishing: 'busy',
  waiting: 'warn',
  missing: 'bad',
  held: 'bad',
  rejected: 'bad',
  withdrawing: 'busy',
  withdrawn: 'calm',
  archived: 'good',
  releasing: 'busy',
  released: 'good',
  moved: 'good',
  source_differs: 'bad',
  lost: 'bad',
  kept: 'good',
}

export function stateBadge(state: ItemState): Html {
  return badge(state.replace('_', ' '), tones[state])
}

export function nameOf({ title, filename, objectKey }: ListedItem): Html {
  return bdi(title?.trim() || filename?.trim() || objectKey, 90)
}

/** Whether all is done, so that nothing needs to be explained. */
export function isSettled({ state, damage }: ListedItem): boolean {
  return damage === null && (state === 'released' || state === 'kept')
}

export function itemRow(
  item: ListedItem,
  { approved, now }: { approved: string; now: Date },
): Html {
  // The state itself is beside the name.
  const line = whyLine({ row: item.row, items: [item] }, approved)
  const why = isSettled(item) ? '' : line.slice(`${item.state}. `.length)
  return html`<li class="item">
  <div class="head"><a href="/media/${item.mediaId}">${nameOf(item)}</a> ${stateBadge(item.state)}${item.damage === null ? '' : badge('damaged', 'bad')}${item.acknowledgedAt === null ? '' : badge('seen', 'calm')}</div>
  <div class="facts"><span>media ${item.mediaId}</span>${item.sizeBytes === null ? '' : html`<span>${bytesText(item.sizeBytes)}</span>`}${time(item.updatedAt, agoText(item.updatedAt, now))}</div>
  ${why === '' ? '' : html`<p class="why">${shown(why, 600)}</p>`}
</li>`
}

export function itemsPage(
  context: PageContext,
  options: {
    found: Found
    text: string
    state: ItemState | null
    /** Only what nobody has acknowledged. */
    unseen: boolean
    approved: string
  },
): Html {
  const { found, text, state, approved } = options
  const heading = text === '' ? 'Media' : html`Search for “${bdi(text, 60)}”`
  return page(context, {
    title: 'Media',
    place: '/items',
    body: html`
<h1>${heading}</h1>
<form class="filter" action="/items">
  <label for="state">State</label>
  <select id="state" name="state">
    <option value="">all</option>
    ${itemStates.map((one) => html`<option${one === state ? html` selected` : ''}>${one}</option>`)}
  </select>
  <button>Show</button>
</form>
${found.items.length === 0 ? nothing(options) : html`<ul class="items">${found.items.map((item) => itemRow(item, { approved, now: context.now }))}</ul>`}
${found.next === null ? '' : html`<p class="pager"><a rel="next" href="/items?${query(options, found.next)}">Older</a></p>`}`,
  })
}

function query(
  { text, state, unseen }: { text: string; state: string | null; unseen: boolean },
  before: number,
): string {
  const wish = new URLSearchParams({ before: String(before) })
  if (text !== '') wish.set('q', text)
  if (state !== null) wish.set('state', state)
  if (unseen) wish.set('unseen', 'true')
  return wish.toString()
}

function nothing({ text, state }: { text: string; state: string | null }): Html {
  if (text !== '')
    return empty(
      'Nothing is called that. Words are found from their beginning, in titles and file names; a number is a media id.',
    )
  if (state !== null) return empty(`Nothing is ${state} now.`)
  return empty(
    'Nothing was archived yet. What the backend approves appears here with the next run.',
  )
}
