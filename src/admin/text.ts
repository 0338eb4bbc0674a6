import { bytesText, clockText, timeText } from '../units.ts'

const MOST_SHOWN = 160

/**
 * What strangers wrote, fit to be shown: what controls terminals or the direction of text becomes visible, and it is cut to
 * a length that a page can bear. It is escaped where it is put into a page.
 */
export function shown(text: string | null, most = MOST_SHOWN): string {
  if (text === null) return ''
  const points = [...text.slice(0, most * 2 + 2).toWellFormed()]
  const cut = points.length > most ? [...points.slice(0, most), '…'] : points
  return cut.join('').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{FFFD}')
}

/** The same for a text of many lines. */
export function shownLines(text: string): string {
  return text
    .slice(0, 40_000)
    .split(/\r?\n/)
    .map((line) => shown(line, 2_000))
    .join('\n')
}

/** What is wrong and what to do about it, as messages say it. */
export function shownProblem({ message, hint }: { message: string; hint: string | null }): string {
  const wrong = shown(message, 400).replace(/\.$/, '')
  return hint === null ? wrong : `${wrong}. Next: ${shown(hint, 400)}`
}

/** `3 min`, `5 h`, `12 days`. */
export function spanText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.round(whole / 60)} min`
  if (whole < 48 * 3600) return `${Math.round(whole / 3600)} h`
  return `${Math.round(whole / 86_400)} days`
}

/** `3 min ago`, `in 5 h` */
export function agoText(time: Date, now: Date): string {
  const seconds = (now.getTime() - time.getTime()) / 1000
  return seconds >= 0 ? `${spanText(seconds)} ago` : `in ${spanText(-seconds)}`
}

/** What is counted no further than to `most`. */
export function countText(count: number, most: number): string {
  return count >= most ? `${most.toLocaleString('en')}+` : count.toLocaleString('en')
}

export { bytesText, clockText, timeText }
