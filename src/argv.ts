/**
 * Splits a command line into words, without a shell and without any meaning but this: blanks separate words; between
 * single quotes every character stands for itself; between double quotes too, except that a backslash takes the meaning
 * from `"` and `\`; outside of quotes a backslash takes the meaning from the next character.
 *
 * @returns null for what is no command line: no word at all, a quote or backslash that is never ended, a control character
 */
export function splitCommand(text: string): readonly [program: string, ...args: string[]] | null {
  if (/\p{Cc}/u.test(text.replaceAll('\t', ' '))) return null
  const words: string[] = []
  let rest = text.trimStart()
  while (rest !== '') {
    const word = readWord(rest)
    if (word === null) return null
    words.push(word.text)
    rest = rest.slice(word.length).trimStart()
  }
  const [program, ...args] = words
  return program === undefined || program === '' ? null : [program, ...args]
}

/** One after the other: single quotes, double quotes, an escaped character, anything else but blanks. */
const part = /'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)/uy

function readWord(text: string): { text: string; length: number } | null {
  let word = ''
  let at = 0
  while (at < text.length && !/\s/.test(text[at] ?? '')) {
    part.lastIndex = at
    const found = part.exec(text)
    if (found === null) return null
    const [whole, single, double, escaped, plain] = found
    word += single ?? double?.replace(/\\(["\\])/g, '$1') ?? escaped ?? plain ?? ''
    at += whole.length
  }
  return { text: word, length: at }
}
