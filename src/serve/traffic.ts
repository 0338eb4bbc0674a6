/** What visitors ask for and are given, counted where it happens; whoever wants to know looks at it. */
export interface Traffic {
  /**
   * Answers of files under way. A set of them would keep each for long: as it fills up it moves, and what it leaves behind
   * still refers to them, and to its next place, until the heap is collected as a whole.
   */
  underWay: number
  /** Answers that have ended, by their status. */
  readonly ended: Map<number, number>
  /** Requests that were refused for their token, by the one word that the log has for it. */
  readonly refused: Map<string, number>
  /** Bytes of files that visitors took. */
  bytes: number
  /** Answers that broke off before their end. */
  cut: number
}

export function createTraffic(): Traffic {
  return { underWay: 0, ended: new Map(), refused: new Map(), bytes: 0, cut: 0 }
}
