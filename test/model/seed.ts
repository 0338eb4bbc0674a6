/** Decides what is sampled, and nothing else. Another seed looks at other moments of the same stories. */
export const seed = Number(process.env.MODEL_SEED ?? 1)

/** The line that repeats a test exactly. */
export function replay({ name }: { name: string }): string {
  const pattern = name.replace(/[^\w ,:]/g, '.')
  return `replay: MODEL_SEED=${seed} node --test --test-name-pattern="^${pattern}$" test/model/*.test.ts`
}
