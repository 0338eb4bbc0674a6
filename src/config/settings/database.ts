import { databaseUrl } from '../database-url.ts'
import type { Settings } from '../setting.ts'
import * as read from '../values.ts'

export const databaseSettings = {
  DATABASE_URL: {
    secret: true,
    reader: databaseUrl,
    help: 'The database in one URL; what it names wins over the DB_ settings, which supply the rest (sslmode is read from its query).',
    example: 'postgres://strongroom:PASSWORD@db:5432/app?sslmode=require',
  },
  DB_HOST: {
    requiredFor: 'database',
    reader: read.databaseHost,
    help: 'Host of the backend’s PostgreSQL, or the folder of its Unix socket.',
    example: 'db.internal',
  },
  DB_PORT: {
    fallback: '5432',
    reader: read.wholeNumber(1, 65_535),
    help: 'Port of PostgreSQL.',
    example: '5432',
  },
  DB_NAME: {
    requiredFor: 'database',
    reader: read.text,
    help: 'Name of the database that holds the media table.',
    example: 'app',
  },
  DB_USER: {
    requiredFor: 'database',
    reader: read.text,
    help: 'Role to connect as.',
    example: 'strongroom',
  },
  DB_PASSWORD: {
    aliases: ['DB_PASS'],
    secret: true,
    reader: read.secretText,
    help: 'Password of that role; without it the server must trust the connection.',
    example: '"$(cat db-password)"',
  },
  DB_SSLMODE: {
    fallback: 'prefer',
    reader: read.oneOf('disable', 'prefer', 'require', 'verify-full'),
    help: 'TLS to the database: disable, prefer, require (encrypted, certificate not checked) or verify-full.',
    example: 'require',
  },
  DB_POOLER: {
    fallback: 'false',
    reader: read.yesNo,
    help: 'True behind pgbouncer in transaction mode: no prepared statements, no start-up parameters.',
    example: 'true',
  },
} as const satisfies Settings
