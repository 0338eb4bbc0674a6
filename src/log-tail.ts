/** The newest warnings and errors of the log, for whoever wants to know what was said during some work. */
export interface LogTail {
  /** Takes a line of JSON, as the log writes them. */
  add(line: string): void
  /** Marks this moment. @returns gives the lines since then, the newest ones if there are many; null for none */
  since(): () => string | null
}

const KEPT_LINES = 200
const SHOWN_LINES = 50
const LONGEST_LINE = 2_000

export function createLogTail(): LogTail {
  let lines: { number: number; text: string }[] = []
  let count = 0
  return {
    add(line) {
      if (!/^\{"level":"(warn|error)"/.test(line)) return
      count += 1
      lines.push({ number: count, text: line.trimEnd().slice(0, LONGEST_LINE) })
      if (lines.length >= 2 * KEPT_LINES) lines = lines.slice(-KEPT_LINES)
    },
    since() {
      const from = count
      return () => {
        const fresh = lines.filter(({ number }) => number > from).slice(-SHOWN_LINES)
        return fresh.length === 0 ? null : fresh.map(({ text }) => text).join('\n')
      }
    },
  }
}
