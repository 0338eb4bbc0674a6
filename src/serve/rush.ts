/** So many connections at one time are a rush; it is over when three quarters of them have gone. */
const rush = 256
const calmMs = 5_000

/** To be told of each connection that came or went. */
export interface RushWatch {
  came(): void
  went(): void
}

/**
 * Notices that a rush of connections is over.
 *
 * @param connections those that are open, with their answers under way
 * @param onCalm called once for each rush, five seconds after its end, as soon as nobody waits for an answer
 */
export function watchRushes(
  connections: ReadonlyMap<unknown, { answers: readonly unknown[] }>,
  onCalm: () => void,
): RushWatch {
  let highest = 0
  let waiting = false

  const isOver = () => highest >= rush && connections.size <= highest / 4
  const went = () => {
    if (waiting || !isOver()) return
    waiting = true
    setTimeout(look, calmMs).unref()
  }
  const look = () => {
    waiting = false
    if (!isOver()) return
    if ([...connections.values()].some(({ answers }) => answers.length > 0)) return went()
    highest = connections.size
    onCalm()
  }
  return {
    came() {
      highest = Math.max(highest, connections.size)
    },
    went,
  }
}

/**
 * V8 collects when it is asked for memory, and keeps the pages of what it collected: after a rush some 50 MiB until the next
 * one. This is a pause of about 0.1 s.
 */
export function giveBackMemory(): void {
  globalThis.gc?.({ type: 'major', flavor: 'last-resort' })
}
