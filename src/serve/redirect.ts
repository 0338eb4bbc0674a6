import type { Sidecar } from '../sidecar.ts'
import {
  commonHeaders,
  contentDisposition,
  type HeaderList,
  mediaTypeOf,
  neverStored,
} from './file-headers.ts'
import { invalidToken } from './token-form.ts'
import type { Visit } from './visit.ts'

/** Makes an address under which a moved file can be read for so long, where it lies. */
export type AddressOf = (
  archivePath: string,
  wanted: {
    method: 'GET' | 'HEAD'
    expiresInSeconds: number
    contentType: string
    disposition: string
    now: Date
  },
) => string

/** A link that was passed on is of use for no longer. */
const LONGEST_SECONDS = 60

/**
 * Sends a visitor whose token was believed to where the file lies now (RFC 9110 15.4.8: the method stays the same).
 *
 * @throws TOKEN_INVALID where the token ends within this second
 */
export function redirect(
  { incoming, outgoing }: Visit,
  addressOf: AddressOf,
  wish: { sidecar: Sidecar; expiresAt: number; inline: boolean; embeddable: boolean; now: Date },
): void {
  const { sidecar, expiresAt, inline, embeddable, now } = wish
  const rest = Math.floor(expiresAt - now.getTime() / 1000)
  if (rest < 1) throw invalidToken('expired')
  const address = addressOf(sidecar.archive_path, {
    method: incoming.method === 'HEAD' ? 'HEAD' : 'GET',
    expiresInSeconds: Math.min(rest, LONGEST_SECONDS),
    contentType: mediaTypeOf(sidecar),
    disposition: contentDisposition(sidecar, inline),
    now,
  })
  const lasting: HeaderList = Object.entries({
    ...commonHeaders,
    ...(embeddable && { 'Cross-Origin-Resource-Policy': 'cross-origin' }),
    ...neverStored,
  }).flat()
  outgoing.writeHead(307, [...lasting, 'Location', address, 'Content-Length', '0']).end()
}
