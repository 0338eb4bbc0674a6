/** Lets so many at a time begin, the others in the order in which they came. */
export interface Turns {
  /** Calls `begin` once it is its turn, which may be at once. */
  wait(begin: () => void): void
  /** Ends a turn that has begun. */
  done(): void
}

/** @param most turns at one time */
export function createTurns(most: number): Turns {
  const waiting: (() => void)[] = []
  let underWay = 0
  return {
    wait(begin) {
      if (underWay === most) waiting.push(begin)
      else {
        underWay += 1
        begin()
      }
    },
    done() {
      const next = waiting.shift()
      if (next === undefined) underWay -= 1
      else next()
    },
  }
}
