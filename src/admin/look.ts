import { type AppError, toAppError } from '../errors.ts'

/** What somebody found who went through archive and items. */
export interface LookFinding {
  kind: string
  path: string | null
  mediaId: number | null
  reason: string
}

/** What goes through archive and items; told of what it looked at, and of what it found. */
export type LookAround = (told: {
  looked: (what: 'items' | 'files', count: number) => void
  found: (finding: LookFinding, next: string) => void
}) => Promise<void>

export type Look =
  | { state: 'never' }
  | { state: 'running'; items: number; files: number }
  | {
      state: 'ended'
      items: number
      files: number
      endedAt: Date
      /** What broke it off. */
      problem: AppError | null
      /** The first of them. */
      findings: readonly LookFinding[]
      /** How many of each kind, and what to do about them. */
      counts: Readonly<Record<string, { count: number; next: string }>>
    }

export interface Looker {
  latest(): Look
  /** One at a time: does nothing while one is under way. */
  start(): void
}

const MOST_KEPT = 200

/** Keeps what the last look found, in memory; it reads names and sizes, and nothing of it can write. */
export function createLooker(lookAround: LookAround): Looker {
  let look: Look = { state: 'never' }
  const run = async () => {
    const findings: LookFinding[] = []
    const counts: Record<string, { count: number; next: string }> = {}
    const sum = { items: 0, files: 0 }
    let problem: AppError | null = null
    const running = () => {
      look = { state: 'running', ...sum }
    }
    running()
    try {
      await lookAround({
        looked(what, count) {
          sum[what] += count
          running()
        },
        found(finding, next) {
          const known = counts[finding.kind]
          counts[finding.kind] = { count: (known?.count ?? 0) + 1, next }
          if (findings.length < MOST_KEPT) findings.push(finding)
        },
      })
    } catch (error) {
      problem = toAppError(error)
    }
    look = { state: 'ended', ...sum, endedAt: new Date(), problem, findings, counts }
  }
  return {
    latest: () => look,
    start() {
      if (look.state !== 'running') void run()
    },
  }
}
