import {
  findItem,
  type ItemPage,
  type ListedItem,
  listItems,
  searchItems,
  wordsOf,
} from '../db/item-list.ts'
import { nextOf } from './paging.ts'
import type { AdminParts } from './parts.ts'

/** A page of items, and where the next one begins; null where there is none. */
export interface Found {
  items: ListedItem[]
  next: number | null
}

/** Items of a page, or what `text` finds: a media id, a whole archive path, beginnings of words of title and file name. */
export async function findItems(
  { database, backend }: Pick<AdminParts, 'database' | 'backend'>,
  page: ItemPage & { text: string | null },
): Promise<Found> {
  const tables = await backend()
  // No text in PostgreSQL holds NUL, so with one in it nothing is found.
  const text = page.text?.replaceAll('\0', '\u{FFFD}').trim() ?? ''
  if (text === '') return paged(await listItems(database, tables, page), page.limit)
  const isId = /^\d{1,15}$/.test(text)
  const exact = isId
    ? await findItem(database, tables, { mediaId: Number(text) })
    : await findItem(database, tables, { archivePath: text })
  if (exact !== null && page.before === null) return { items: [exact], next: null }
  const words = wordsOf(text)
  return paged(await searchItems(database, tables, { ...page, words }), page.limit)
}

function paged(items: ListedItem[], limit: number): Found {
  return { items, next: nextOf(items, limit, ({ item }) => item) }
}
