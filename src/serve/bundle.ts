/**
 * Makes a place where small writes of one turn of the event loop wait for each other, so that they go out in one row. A client
 * that the first of them wakes is still awake when the next one comes, and waking it costs the kernel more than the write.
 *
 * @param most go out without waiting for the end of the turn: whoever reads them has enough to do
 * @returns a function that makes a write within this turn, in the order of its calls
 */
export function createBundle(most: number): (write: () => void) => void {
  let waiting: (() => void)[] = []
  const writeAll = () => {
    const writes = waiting
    waiting = []
    for (const write of writes) write()
  }
  return (write) => {
    if (waiting.push(write) === most) writeAll()
    else if (waiting.length === 1) setImmediate(writeAll)
  }
}
