/**
 * Several who ask for the same while one turn is under way share the next one: it begins after all of them asked, so it sees, or
 * makes durable, whatever each of them did before. A turn that fails fails for all who share it, and for nobody else.
 *
 * @param turn what is done, and of what
 */
export function inSharedTurns<T>(turn: (of: string) => Promise<T>): (of: string) => Promise<T> {
  const underWay = new Map<string, Promise<unknown>>()
  const next = new Map<string, Promise<T>>()

  const begin = (of: string): Promise<T> => {
    next.delete(of)
    const begun = turn(of)
    const over = begun
      .catch(() => {}) // told to those who asked for it
      .then(() => {
        if (underWay.get(of) === over) underWay.delete(of)
      })
    underWay.set(of, over)
    return begun
  }
  return (of) => {
    const asked = next.get(of) ?? (underWay.get(of) ?? Promise.resolve()).then(() => begin(of))
    next.set(of, asked)
    return asked
  }
}
