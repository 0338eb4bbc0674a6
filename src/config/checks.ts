import { distinctNames } from './backend.ts'
import { notifyFaults } from './notify.ts'
import { secondFaults } from './second.ts'
import { type SettingName, type SettingValues, settings } from './settings.ts'
import { shadowProblem } from './shadow.ts'
import { isLess } from './sizes.ts'
import type { Found, Problem } from './source.ts'

/** HS256 asks for a key as long as its hash (RFC 7518 3.2); a shorter one can be guessed from a single token. */
const SECRET_MIN_BYTES = 32

export function isShortSecret(secret: string | null): boolean {
  return secret !== null && Buffer.byteLength(secret) < SECRET_MIN_BYTES
}

/** What no setting can be judged on alone. */
export function checkTogether(
  values: SettingValues,
  found: ReadonlyMap<SettingName, Found>,
): Problem[] {
  const name = (setting: SettingName) => found.get(setting)?.variable ?? setting
  const problems: Problem[] = []
  const complain = (setting: SettingName, wrong: string, example = settings[setting].example) => {
    const same = example === found.get(setting)?.text
    problems.push({
      variable: name(setting),
      wrong,
      example: same ? null : `${setting}=${example}`,
    })
  }

  const endpointFault = endpointProblem(values, name('R2_BUCKET'))
  if (endpointFault !== null) complain('R2_ENDPOINT', endpointFault)
  if (values.SERVER_PORT === values.ADMIN_PORT && values.SERVER_PORT !== 0) {
    complain(
      'ADMIN_PORT',
      `must differ from ${name('SERVER_PORT')}`,
      `${values.SERVER_PORT === 8081 ? 8082 : 8081}`,
    )
  }
  if (values.ERROR_DIR === values.ARCHIVE_DIR) {
    complain('ERROR_DIR', `must differ from ${name('ARCHIVE_DIR')}`)
  } else if (`${values.ERROR_DIR}/`.startsWith(`${values.ARCHIVE_DIR}/.strongroom/`)) {
    complain('ERROR_DIR', `must not lie in .strongroom inside ${name('ARCHIVE_DIR')}`)
  }
  const { FREE_SPACE_MIN: least, FREE_SPACE_TARGET: target } = values
  if (target !== null && isLess(target, least))
    complain('FREE_SPACE_TARGET', `must not be less than ${name('FREE_SPACE_MIN')}`)
  for (const { setting, wrong } of secondFaults(values, (one) => found.has(one)))
    complain(setting, wrong)
  const shadowFault = shadowProblem(values)
  if (shadowFault !== null) complain('SHADOW_DIR', shadowFault)
  if (isShortSecret(values.ADMIN_TOKEN))
    complain('ADMIN_TOKEN', `must have at least ${SECRET_MIN_BYTES} bytes`)
  for (const secret of ['UNRAID_TUNNEL_SECRET', 'UNRAID_TUNNEL_SECRET_PREVIOUS'] as const) {
    if (isShortSecret(values[secret]) && !values.ALLOW_SHORT_SECRET)
      complain(
        secret,
        `must have at least ${SECRET_MIN_BYTES} bytes (RFC 7518 §3.2), unless ALLOW_SHORT_SECRET=true`,
      )
  }
  if (values.SENDFILE_HEADER !== null && values.TRUSTED_PROXIES === null)
    complain('TRUSTED_PROXIES', `must name the front that ${name('SENDFILE_HEADER')} is for`)
  if (values.SENDFILE_HEADER === 'X-Accel-Redirect' && values.SENDFILE_PREFIX === null)
    complain('SENDFILE_PREFIX', 'must name the internal location of nginx for X-Accel-Redirect')
  for (const { setting, wrong } of notifyFaults(values)) complain(setting, wrong)
  for (const clash of clashes(values)) {
    complain(clash.later, `must differ from ${name(clash.earlier)}`)
  }
  return problems
}

function endpointProblem(values: SettingValues, bucketVariable: string): string | null {
  const path = values.R2_ENDPOINT?.pathname.replace(/\/+$/, '') ?? ''
  if (path === '') return null
  if (values.R2_BUCKET !== null && path === `/${values.R2_BUCKET}`) {
    return `must not end with the bucket’s name; ${bucketVariable} already says it, so remove that last part`
  }
  return `must not have a path; the bucket’s name belongs in ${bucketVariable}`
}

interface Clash {
  later: SettingName
  earlier: SettingName
}

function clashes(values: SettingValues): Clash[] {
  const seen = new Map<string, Clash>()
  for (const group of distinctNames) {
    for (const [index, later] of group.entries()) {
      const earlier = group.slice(0, index).find((other) => values[other] === values[later])
      if (earlier && values[later] !== null) seen.set(`${earlier} ${later}`, { later, earlier })
    }
  }
  return [...seen.values()]
}
