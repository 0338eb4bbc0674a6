/** `releaseDue` as the API writes it: `release_due`, like the columns and the sidecars. */
type SnakeKey<Key> = Key extends `${infer First}${infer Rest}`
  ? Rest extends Uncapitalize<Rest>
    ? `${Uncapitalize<First>}${SnakeKey<Rest>}`
    : `${Uncapitalize<First>}_${SnakeKey<Rest>}`
  : Key

/** What {@link toJson} makes of a value. */
export type Json<Value> = Value extends Date
  ? string
  : Value extends readonly (infer Element)[]
    ? Json<Element>[]
    : Value extends object
      ? { [Key in keyof Value as SnakeKey<Key>]: Json<Value[Key]> }
      : Value

/** Plain values as the API writes them: names with underscores, times in ISO 8601 (UTC). */
export function toJson<Value>(value: Value): Json<Value> {
  return plain(value) as Json<Value>
}

function plain(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [snake(key), plain(inner)]))
}

function snake(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
