import { positiveInteger, ttlSeconds } from '../commands/options.ts'
import type { Need } from '../config/setting.ts'
import type { Host } from '../host.ts'
import { type AddCommand, session, withOwnHelp } from './session.ts'

interface TokenOptions {
  media?: number
  file?: string
  user?: number
  ttl: number
  ip?: string
  maxDownloads?: number
}

export function addToken(host: Host, command: AddCommand): void {
  const token = command('token', 'mint a link to one archived file')
    .option('--media <id>', 'media id, looked up in the database', positiveInteger)
    .option('--file <path>', 'or its path in the archive: its sidecar tells the rest')
    .option('--user <id>', 'user id in the token (default: the media row’s)', positiveInteger)
    .option('--ttl <duration>', 'how long it opens the file', ttlSeconds, 3_600)
    .option('--max-downloads <n>', 'how many visitors’ downloads it allows', positiveInteger)
    .option('--ip <address>', 'the only address, or range of addresses, that it works from')
    .action(async (options: TokenOptions) => {
      const { media, file, user, ttl, ip, maxDownloads } = options
      // A required option would be required of "token revoke" as well.
      if ((media === undefined) === (file === undefined))
        return token.error("error: one of the options '--media <id>' and '--file <path>' is needed")
      const { tokenCommand } = await import('../commands/token.ts')
      const needs: Need[] = media === undefined ? ['tokens'] : ['database', 'tokens']
      await session(host, { needs }, ({ config, program }) =>
        tokenCommand(host, config, {
          program,
          of: media ?? file ?? '',
          userId: user ?? null,
          ttlSeconds: ttl,
          ip: ip ?? null,
          maxDownloads: maxDownloads ?? null,
        }),
      )
    })
  withOwnHelp(token.command('revoke'), 'token revoke')
    .description('take a link back: no server of this database opens a file for it any more')
    .argument('<token>', 'the link, its token, or a jti, which stands for all tokens with it')
    .option(
      '--keep <duration>',
      'for a jti: how long its tokens can be valid (default: for ever)',
      ttlSeconds,
    )
    .action(async (named: string, { keep }: { keep?: number }) => {
      const { revokeCommand } = await import('../commands/revocations.ts')
      await session(host, { needs: ['database', 'tokens'] }, ({ config, program }) => {
        const keepMs = keep === undefined ? null : keep * 1_000
        return revokeCommand(host, config, { program, named, keepMs })
      })
    })
}
