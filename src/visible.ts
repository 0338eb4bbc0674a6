/**
 * Text of strangers on its way to a terminal. What steers a terminal, turns the direction of writing or makes a new line
 * stands there as JSON writes it, so that a line of JSON means what it meant. The two joiners, which names in Persian and
 * many emoji need, do nothing of the kind.
 */
const unseen = /[[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]--[\u200c\u200d]]/gv
const unseenInLines = /[[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]--[\n\u200c\u200d]]/gv

/** One line, whatever the text was. */
export function visible(text: string): string {
  return text.replace(unseen, escaped)
}

/** As many lines as the text has. */
export function visibleLines(text: string): string {
  // Most lines of a log are ASCII, which is looked through ten times as fast.
  if (!/[^\n -~]/.test(text)) return text
  return text.replace(unseenInLines, escaped)
}

function escaped(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}
