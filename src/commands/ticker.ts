import type { Log } from '../log.ts'
import type { Screen } from '../screen.ts'
import { clockText } from '../units.ts'

/** Shows how far a walk over the archive is: one redrawn line on a terminal, otherwise a line of the log now and then. */
export interface Ticker {
  /** So many more were settled, and so much of the whole lies behind, from 0 to 1. */
  settled(count: number, done: number): void
  /** Takes the line away; nothing is shown any more. */
  end(): void
}

const REDRAW_MS = 200
const LINE_MS = 10_000

/** @param what the plural of what is counted, for people */
export function createTicker({
  screen,
  log,
  what,
  now = () => performance.now(),
}: {
  screen: Screen | null
  log: Log
  what: string
  now?: () => number
}): Ticker {
  const startedMs = now()
  let count = 0
  let done = 0
  const facts = () => {
    const seconds = (now() - startedMs) / 1_000
    const percent = Math.floor(done * 100)
    // All folders are taken for alike until they are seen: at the very beginning that says nothing.
    return { count, percent, etaSeconds: percent < 1 ? null : (seconds * (1 - done)) / done }
  }
  const draw = (on: Screen) => {
    const { percent, etaSeconds } = facts()
    const eta = etaSeconds === null ? '' : `, about ${clockText(etaSeconds)} left`
    on.draw([`${count} ${what}, ${percent}% of the archive${eta}`])
  }
  const tell = () => {
    const { etaSeconds, ...rest } = facts()
    const rounded = etaSeconds === null ? null : Math.ceil(etaSeconds)
    log.info({ ...rest, etaSeconds: rounded }, `${what} settled`)
  }
  const timer = screen === null ? setInterval(tell, LINE_MS) : setInterval(draw, REDRAW_MS, screen)
  timer.unref()
  return {
    settled(more, soFar) {
      count += more
      done = soFar
    },
    end() {
      clearInterval(timer)
      screen?.draw([])
    },
  }
}
