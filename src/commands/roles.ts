/** What a node does; all of it, unless it is told otherwise. */
export const roles = ['sync', 'serve', 'admin'] as const
export type Role = (typeof roles)[number]
