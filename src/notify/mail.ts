import { systemCode } from '../errors.ts'
import type { Delivery } from './delivery.ts'
import { clip, type Message, plainText, printable } from './message.ts'
import type { Reach } from './reach.ts'

export interface MailRoute {
  /** smtp:// or smtps://, with user and password where the server asks for them. */
  server: URL
  from: string
  to: readonly string[]
}

const STEP_MS = 15_000
/** Beyond that a subject is cut by programs anyway (RFC 5322 2.1.1 advises lines of 78). */
const SUBJECT_LENGTH = 150

/** Sends the message as plain text over one connection, to an address that `reach` allows. */
export async function sendMail(
  route: MailRoute,
  message: Message,
  { reach, signal }: { reach: Reach; signal: AbortSignal },
): Promise<Delivery> {
  const { server } = route
  const host = server.hostname.replace(/^\[|\]$/g, '')
  // Without TLS from the first byte STARTTLS is demanded, so it is encrypted either way; in one's own network it may not be.
  const way = await reach({ host, encrypted: true })
  if (way.kind !== 'open') return way
  const address = way.addresses.find(({ family }) => family === 4) ?? way.addresses[0]
  const secure = server.protocol === 'smtps:'
  // It takes 23 MiB of memory, which who sends no mail need not have.
  const { createTransport } = await import('nodemailer')
  const transport = createTransport({
    host: address?.address ?? host,
    servername: host,
    port: server.port === '' ? (secure ? 465 : 587) : Number(server.port),
    secure,
    requireTLS: !secure && !way.isOwnNetwork,
    opportunisticTLS: way.isOwnNetwork,
    ...(server.username === '' ? {} : { auth: credentials(server) }),
    connectionTimeout: STEP_MS,
    greetingTimeout: STEP_MS,
    socketTimeout: STEP_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  const stop = (): void => transport.close()
  signal.addEventListener('abort', stop, { once: true })
  try {
    await transport.sendMail(mailOf(route, message))
    return { kind: 'delivered' }
  } catch (error) {
    return failed(host, error)
  } finally {
    signal.removeEventListener('abort', stop)
    transport.close()
  }
}

function credentials({ username, password }: URL): { user: string; pass: string } {
  return { user: decodeURIComponent(username), pass: decodeURIComponent(password) }
}

/** RFC 3834: what a program wrote of its own accord is answered by no other program. */
function mailOf({ from, to }: MailRoute, message: Message) {
  return {
    from,
    to: [...to],
    subject: clip(`Strongroom: ${message.title}`, SUBJECT_LENGTH),
    text: `${plainText(message) || message.title}\n`,
    date: message.at,
    messageId: `<${message.id}@${domainOf(from)}>`,
    headers: { 'Auto-Submitted': 'auto-generated' },
  }
}

function domainOf(address: string): string {
  return /@([^>]+)>?$/.exec(address)?.[1] ?? 'localhost'
}

function failed(host: string, error: unknown): Delivery {
  const code = systemCode(error) ?? 'no code'
  const answer = answerOf(error)
  const why = `the mail server ${host} refused it (${clip(printable(answer ?? code), 200)})`
  if (code === 'EAUTH')
    return { kind: 'refused', why, remedy: 'check user and password in NOTIFY_SMTP_URL' }
  if (code === 'ETLS')
    return {
      kind: 'refused',
      why: `the mail server ${host} does not encrypt (${clip(printable(answer ?? code), 200)})`,
      remedy:
        'use smtps:// in NOTIFY_SMTP_URL; if the server is your own, add its host to NOTIFY_ALLOW_PRIVATE',
    }
  // RFC 5321 4.2.1: 5xx is final, 4xx may pass.
  if (answer !== null && /^5/.test(answer))
    return { kind: 'refused', why, remedy: 'check NOTIFY_EMAIL_FROM and NOTIFY_EMAIL_TO' }
  if (answer !== null) return { kind: 'failed', why, remedy: 'nothing to do: it is sent again' }
  const message = error instanceof Error ? printable(error.message) : code
  return {
    kind: 'failed',
    why: `the mail server ${host} could not be used (${clip(message, 200)})`,
    remedy: 'check host, port and kind of NOTIFY_SMTP_URL: smtps:// for port 465, smtp:// for 587',
  }
}

/** What the server said, if it came so far. */
function answerOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('response' in error)) return null
  return typeof error.response === 'string' ? error.response : null
}
