import type { Run } from '../runs.ts'

/**
 * `failure`: something begins to fail; `recovery`: it works again; `attention`: a run left items to a person;
 * `finished`: a run ended; `digest`: what happened since the last one; `test`: `strongroom notify test`.
 */
export type MessageKind = 'failure' | 'recovery' | 'attention' | 'finished' | 'digest' | 'test'

/** What is said to a person, before any service gives it its form. All texts are single lines of printable characters. */
export interface Message {
  /** A UUID; the same when it is sent again. */
  id: string
  at: Date
  kind: MessageKind
  /** What it is about: a job (`sync`), a part (`tunnel`), `digest` or `test`. */
  subject: string
  title: string
  lines: readonly string[]
  facts: readonly (readonly [name: string, value: string])[]
  /** Where to read more. */
  link: string | null
  /** Who sends it: the host's name. */
  node: string
  run: Run | null
}

/** Makes one line of it in which nothing can forge another line, colour a terminal or turn the direction of writing. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}\s]+/gu, ' ').trim()
}

/** At most `most` UTF-16 units, the last one an ellipsis where something was cut off. */
export function clip(text: string, most: number): string {
  if (text.length <= most) return text
  const head = text.slice(0, most - 1)
  // Half of a pair is no character.
  return `${/[\ud800-\udbff]$/.test(head) ? head.slice(0, -1) : head}…`
}

/** The same in bytes of UTF-8. */
export function clipBytes(text: string, most: number): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= most) return text
  const ellipsis = '…'
  let end = most - Buffer.byteLength(ellipsis)
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return `${bytes.toString('utf8', 0, end)}${ellipsis}`
}

/** The whole message as plain text without its title. */
export function plainText({ lines, facts, link }: Message): string {
  const parts = [
    lines.join('\n'),
    facts.map(([name, value]) => `${name}: ${value}`).join('\n'),
    link ?? '',
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}
