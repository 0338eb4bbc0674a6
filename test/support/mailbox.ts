/** A mail server on a real socket: as much of RFC 5321, 3207 and 4954 as it takes to be sent a message, and to refuse one. */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Scope } from './scopes.ts'

export interface Mail {
  from: string
  to: string[]
  /** Headers and text, as it was sent. */
  text: string
  encrypted: boolean
  /** What AUTH PLAIN gave, decoded: `\0user\0password`. */
  login: string | null
}

export interface Mailbox {
  port: number
  mails: Mail[]
  received(count: number): Promise<readonly Mail[]>
  /** An answer to RCPT instead of 250, for example `550 no such user`. */
  refuseRecipients: string | null
}

export async function withMailbox(
  t: Scope,
  tls: { key: string; cert: string } | null = null,
): Promise<Mailbox> {
  const sockets = new Set<Socket>()
  const heard = new Set<() => void>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    converse(socket, {
      tls,
      mailbox,
      encrypted: false,
      greets: true,
      done: () => {
        for (const look of heard) look()
      },
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const mailbox: Mailbox = {
    port: (server.address() as AddressInfo).port,
    mails: [],
    refuseRecipients: null,
    received: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (mailbox.mails.length < count) return
          heard.delete(look)
          resolve(mailbox.mails)
        }
        heard.add(look)
        look()
      }),
  }
  return mailbox
}

interface Conversation {
  tls: { key: string; cert: string } | null
  mailbox: Mailbox
  encrypted: boolean
  greets: boolean
  done: () => void
}

function converse(socket: Socket, on: Conversation): void {
  const { tls, mailbox, encrypted, greets, done } = on
  const mail: Mail = { from: '', to: [], text: '', encrypted, login: null }
  let pending = ''
  let isText = false
  const say = (line: string) => socket.write(`${line}\r\n`)
  const addressIn = (line: string) => /<([^>]*)>/.exec(line)?.[1] ?? ''

  const command = (line: string): void => {
    const [verb = ''] = line.toUpperCase().split(' ')
    if (verb === 'EHLO') {
      const offers = [...(tls !== null && !encrypted ? ['STARTTLS'] : []), 'AUTH PLAIN']
      for (const offer of ['mailbox.test', ...offers.slice(0, -1)]) say(`250-${offer}`)
      say(`250 ${offers.at(-1)}`)
    } else if (verb === 'STARTTLS' && tls !== null) {
      say('220 go ahead')
      socket.removeAllListeners('data')
      converse(new TLSSocket(socket, { isServer: true, ...tls }), {
        ...on,
        encrypted: true,
        greets: false,
      })
    } else if (verb === 'AUTH') {
      mail.login = Buffer.from(line.split(' ')[2] ?? '', 'base64').toString()
      say(mail.login.endsWith('\0wrong') ? '535 no such login' : '235 welcome')
    } else if (verb === 'MAIL') {
      mail.from = addressIn(line)
      say('250 ok')
    } else if (verb === 'RCPT') {
      if (mailbox.refuseRecipients === null) mail.to.push(addressIn(line))
      say(mailbox.refuseRecipients ?? '250 ok')
    } else if (verb === 'DATA') {
      isText = true
      say('354 go on')
    } else if (verb === 'QUIT') {
      socket.end('221 bye\r\n')
    } else {
      say('502 unknown')
    }
  }
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    pending += chunk.toString()
    for (;;) {
      const end = pending.indexOf(isText ? '\r\n.\r\n' : '\r\n')
      if (end < 0) return
      const part = pending.slice(0, end)
      pending = pending.slice(end + (isText ? 5 : 2))
      if (!isText) {
        command(part)
        continue
      }
      isText = false
      mailbox.mails.push({ ...mail, to: [...mail.to], text: part })
      say('250 taken')
      done()
    }
  })
  if (greets) say('220 mailbox.test')
}
