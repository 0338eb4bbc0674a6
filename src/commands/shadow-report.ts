import { writeFile } from 'node:fs/promises'
import type { Config } from '../config.ts'
import { AppError } from '../errors.ts'
import type { Host, Session } from '../host.ts'
import { openShadowReport } from '../open/shadow-report.ts'
import { openLinks } from '../open.ts'
import type { DifferenceKind } from '../shadow/evidence.ts'
import { report } from '../shadow/report.ts'
import { reportHtml } from '../shadow/report-html.ts'
import { reportLines, reportText } from '../shadow/report-text.ts'
import { EXIT_UNFINISHED } from './sync.ts'

/** `strongroom shadow report`. @returns 0 when it is safe to cut over, else 75 */
export async function shadowReport(
  host: Host,
  config: Config,
  {
    program,
    drain: signal,
    ...wish
  }: Pick<Session, 'program' | 'drain'> & {
    html: string | null
    json: boolean
    accepted: readonly DifferenceKind[]
  },
): Promise<number> {
  const links = openLinks(config, program)
  const { accepted } = wish
  const found = await report(
    await openShadowReport(config, program, { ...links, accepted, signal }),
  )
  if (wish.html !== null) await writePage(wish.html, await reportHtml(found))
  if (wish.json) for (const line of reportLines(found)) host.out(`${line}\n`)
  else host.out(`${reportText(found)}\n`)
  return found.safe ? 0 : EXIT_UNFINISHED
}

async function writePage(path: string, page: string): Promise<void> {
  try {
    await writeFile(path, page)
  } catch (cause) {
    throw new AppError('DISK_DENIED', `${path} cannot be written`, {
      cause,
      hint: 'choose another place for the page, in a folder that this user may write to',
    })
  }
}
