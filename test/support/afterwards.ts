/** The part of a test context that a scope needs. */
export interface Scope {
  after(fn: () => Promise<void>): void
}

const stacks = new WeakMap<Scope, (() => Promise<void> | void)[]>()

/**
 * Cleans up in reverse order of opening, as `t.after` does not: a leak check made after its server is gone sees
 * nothing. Every step runs even when an earlier one failed; the first failure is the test's.
 */
export function afterwards(t: Scope, step: () => Promise<void> | void): void {
  const known = stacks.get(t)
  if (known !== undefined) {
    known.push(step)
    return
  }
  const steps = [step]
  stacks.set(t, steps)
  t.after(async () => {
    const failures: unknown[] = []
    for (const step of steps.reverse()) {
      try {
        await step()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  })
}
