import { settings } from './settings.ts'
import {
  type Environment,
  findSettings,
  isSecret,
  type ReadFile,
  secretTexts,
  settingNames,
  type ValueSource,
} from './source.ts'

/** One line of `strongroom config`. */
export interface EffectiveSetting {
  name: string
  /** As text, masked where secret; null when it is not set. */
  value: string | null
  source: ValueSource
}

const mask = '********'

/**
 * Lists what is in effect and where it came from, right or wrong; throws nothing and shows no secret.
 *
 * @param options.exact what is no secret is given as it is, also where a part of it equals one
 */
export function effectiveConfig(
  env: Environment,
  options: { readFile: ReadFile; exact?: boolean },
): EffectiveSetting[] {
  const { found } = findSettings(env, options.readFile)
  const secrets = secretTexts(found)
  return settingNames.map((name) => {
    const setting = settings[name]
    const entry = found.get(name)
    if (!entry) {
      return { name, value: 'fallback' in setting ? setting.fallback : null, source: 'default' }
    }
    const shown = options.exact ? entry.text : withoutSecrets(entry.text, secrets)
    const value = isSecret(name) ? mask : shown
    return { name, value: entry.text === '' ? null : value, source: entry.source }
  })
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  const hidden = secrets.reduce((rest, secret) => rest.replaceAll(secret, mask), text)
  return hidden.replace(/(\/\/)[^/?#]*@/g, `$1${mask}@`)
}
