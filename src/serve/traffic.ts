import type { Visit } from './visit.ts'

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

/** @param bytes of the file that the socket has taken so far */
export function countBytes(visit: Visit, bytes: number): void {
  visit.traffic.bytes += bytes - visit.bytes
  visit.bytes = bytes
}

/** Counts an answer that has ended. What it is counted by are our own words, so no visitor can make the maps grow. */
export function countVisit(visit: Visit): void {
  const { traffic } = visit
  const { statusCode } = visit.outgoing
  traffic.ended.set(statusCode, (traffic.ended.get(statusCode) ?? 0) + 1)
  if (!visit.complete && statusCode < 400) traffic.cut += 1
  const refusal = refusalOf(statusCode, visit.reason)
  if (refusal !== null) traffic.refused.set(refusal, (traffic.refused.get(refusal) ?? 0) + 1)
}

function refusalOf(status: number, reason: string | null): string | null {
  if (status === 403) return 'another_file'
  return [401, 410, 429].includes(status) ? reason : null
}
