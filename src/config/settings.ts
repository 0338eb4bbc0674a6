import { backendSettings } from './backend.ts'
import type { Settings, ValuesOf } from './setting.ts'
import { adminSettings } from './settings/admin.ts'
import { archiveSettings } from './settings/archive.ts'
import { bucketSettings } from './settings/bucket.ts'
import { databaseSettings } from './settings/database.ts'
import { healthSettings } from './settings/health.ts'
import { hookSettings } from './settings/hooks.ts'
import { notifySettings } from './settings/notify.ts'
import { programSettings } from './settings/program.ts'
import { secondSettings } from './settings/second.ts'
import { serveSettings } from './settings/serve.ts'
import { shadowSettings } from './settings/shadow.ts'
import { spaceSettings } from './settings/space.ts'
import { syncSettings } from './settings/sync.ts'

export const settings = {
  ...databaseSettings,
  ...bucketSettings,
  ...syncSettings,
  ...archiveSettings,
  ...spaceSettings,
  ...secondSettings,
  ...shadowSettings,
  ...serveSettings,
  ...notifySettings,
  ...hookSettings,
  ...healthSettings,
  ...adminSettings,
  ...programSettings,
  ...backendSettings,
}

/** The table's parts under their headings, in the order of the documentation. */
export const settingGroups: readonly (readonly [heading: string, group: Settings])[] = [
  ['Database', databaseSettings],
  ['Bucket', bucketSettings],
  ['Sync and release', syncSettings],
  ['Archive', archiveSettings],
  ['Free space', spaceSettings],
  ['Second bucket', secondSettings],
  ['Shadow mode', shadowSettings],
  ['File server', serveSettings],
  ['Notifications', notifySettings],
  ['Hooks', hookSettings],
  ['Monitoring', healthSettings],
  ['Console and API', adminSettings],
  ['Program', programSettings],
  ['The backend’s names', backendSettings],
]

export type SettingName = keyof typeof settings

/** Every setting's value; null where it is not set and has no default. */
export type SettingValues = ValuesOf<typeof settings>
