import type { Settings } from '../setting.ts'
import * as read from '../values.ts'

export const adminSettings = {
  ADMIN_TOKEN: {
    secret: true,
    reader: read.secretText,
    help: 'Opens the console and the API on ADMIN_PORT: at least 32 bytes. Without it both are off; /health, /health/deep and /metrics are there.',
    example: '"$(openssl rand -hex 32)"',
  },
  ADMIN_HOSTS: {
    reader: read.hostNames,
    help: 'Names under which the console is reached, separated by commas, where they have dots and are no addresses; any other such name is refused, because a page of a stranger may have it point here.',
    example: 'strongroom.example.org,nas.home.arpa',
  },
} as const satisfies Settings
