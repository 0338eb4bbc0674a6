import { Option } from 'commander'
import type { Host } from '../host.ts'
import { type ChannelName, channelNames } from '../notify/channels.ts'
import { type AddCommand, session, withOwnHelp } from './session.ts'

export function addNotify(host: Host, command: AddCommand, done: (code: number) => void): void {
  const notify = command('notify', 'try out who is told when something fails')
  withOwnHelp(notify.command('test'), 'notify test')
    .description('send a test message through every channel, and say what became of each')
    .addOption(new Option('--channel <name>', 'only this one').choices(channelNames))
    .action(async ({ channel }: { channel?: ChannelName }) => {
      const { notifyTest } = await import('../commands/notify.ts')
      await session(host, { needs: [] }, async ({ config, drain }) =>
        done(await notifyTest(host, config, { only: channel ?? null, drain })),
      )
    })
}
