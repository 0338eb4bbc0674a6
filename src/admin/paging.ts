/** Where the page after one of `limit` rows at most begins: at the id of its last row; null where there is none. */
export function nextOf<T>(
  rows: readonly T[],
  limit: number,
  idOf: (row: T) => number | null,
): number | null {
  const last = rows.at(-1)
  return last === undefined || rows.length < limit ? null : idOf(last)
}
