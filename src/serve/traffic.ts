import type { Visit } from './visit.ts'

/** What visitors ask for and are given, counted where it happens; whoever wants to know looks at it. */
export interface Traffic {
  /** Answers of files under way; their bytes grow while they are sent. */
  readonly underWay: Set<{ readonly bytes: number }>
  /** Answers that have ended, by their status. */
  readonly ended: Map<number, number>
  /** Requests that were refused for their token, by the one word that the log has for it. */
  readonly refused: Map<string, number>
  /** Bytes of files in answers that have ended. */
  endedBytes: number
  /** Answers that broke off before their end. */
  cut: number
}

export function createTraffic(): Traffic {
  return { underWay: new Set(), ended: new Map(), refused: new Map(), endedBytes: 0, cut: 0 }
}

/** Counts an answer that has ended. What it is counted by are our own words, so no visitor can make the maps grow. */
export function countVisit(traffic: Traffic, visit: Visit): void {
  const { statusCode } = visit.outgoing
  traffic.ended.set(statusCode, (traffic.ended.get(statusCode) ?? 0) + 1)
  traffic.endedBytes += visit.bytes
  if (!visit.complete && statusCode < 400) traffic.cut += 1
  const refusal = refusalOf(statusCode, visit.reason)
  if (refusal !== null) traffic.refused.set(refusal, (traffic.refused.get(refusal) ?? 0) + 1)
}

function refusalOf(status: number, reason: string | null): string | null {
  if (status === 403) return 'another_file'
  return [401, 410, 429].includes(status) ? reason : null
}
