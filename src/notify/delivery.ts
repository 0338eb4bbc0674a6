/** What became of one attempt to send something. Neither text holds a secret. */
export type Delivery =
  | { kind: 'delivered' }
  /** Trying again changes nothing. */
  | { kind: 'refused'; why: string; remedy: string }
  /** It may work later; `retryAfterMs` is what the other side asked for. */
  | { kind: 'failed'; why: string; remedy: string; retryAfterMs?: number }
