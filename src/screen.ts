import { visible } from './visible.ts'

/** Some lines at the bottom of a terminal that are drawn again and again, below whatever is written meanwhile. */
export interface Screen {
  /** Puts `lines` in the place of those drawn before. */
  draw(lines: readonly string[]): void
  /** Takes them away and lets `text` stand there for good; the next drawing comes below it. */
  write(text: string): void
}

export interface Terminal {
  /** As it is now: windows are resized. */
  size(): { columns: number; rows: number }
  write(text: string): void
}

/** @returns null where standard error is no terminal, or one that cannot move its cursor (TERM=dumb) */
export function openScreen({
  terminal,
  env,
}: {
  terminal: Terminal | null
  env: Readonly<Record<string, string | undefined>>
}): Screen | null {
  if (terminal === null || (env.TERM ?? 'dumb') === 'dumb') return null
  let drawn: readonly string[] = []
  const wiped = () => (drawn.length === 0 ? '' : `\r\x1b[${drawn.length}A\x1b[J`)
  return {
    draw(lines) {
      const { columns, rows } = terminal.size()
      // A line that wrapped, or one above the top, could not be taken away again.
      const fitting = lines.slice(-Math.max(rows - 1, 1))
      const cut = fitting.map((line) => [...visible(line)].slice(0, columns - 1).join(''))
      if (cut.join('\n') === drawn.join('\n')) return
      // Wide characters may make a line longer than it has letters: it is cut, not wrapped, while we draw.
      terminal.write(`${wiped()}\x1b[?7l${cut.map((line) => `${line}\n`).join('')}\x1b[?7h`)
      drawn = cut
    },
    write(text) {
      terminal.write(`${wiped()}${text}`)
      drawn = []
    },
  }
}
