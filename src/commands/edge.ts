import type { Config } from '../config.ts'
import { AppError } from '../errors.ts'
import type { Host, Session } from '../host.ts'
import { openAdoption } from '../open.ts'
import { requireArchive } from '../serve/locate.ts'
import { createReport, type Report } from './doctor-report.ts'
import { askEdge, type EdgeAnswers, type EdgeQuestion } from './edge-answers.ts'
import { type EdgeFinding, judgeEdge } from './edge-checks.ts'
import { createEdgeProbe, type EdgeProbe, sweepProbes } from './edge-probe.ts'
import { judgeFound, judgeReach, unreachable } from './edge-reach.ts'
import { requireLive } from './require-live.ts'
import { linkTo } from './token.ts'

const TTL_SECONDS = 600

/**
 * `strongroom doctor --public-url`: puts a file into the archive, asks for it as a visitor would, through edge and tunnel,
 * and takes it out again. Each failure names the setting that is wrong. @returns the exit code
 */
export async function doctorOfEdge(
  host: Host,
  config: Config,
  { program, drain, publicUrl }: Pick<Session, 'program' | 'drain'> & { publicUrl: string | null },
): Promise<number> {
  requireLive(config, 'this puts a file into the archive for a moment')
  const url = publicUrl ?? config.serve.publicUrl
  if (url === null)
    throw new AppError('USAGE', 'which address is to be examined?', {
      hint: 'strongroom doctor --public-url https://media.example.org, or set PUBLIC_URL',
    })
  await requireArchive(config.archive.dir)
  const parts = await openAdoption(config, program)
  await sweepProbes(parts, new Date())
  const probe = createEdgeProbe(parts)
  const report = createReport(host.out)
  // It goes even if this process is told to stop meanwhile.
  program.stops.push('probe file', () => probe.remove(), 5_000)
  await report.section('edge', () => examine(report, { config, probe, url, drain }))
  await probe.remove()
  host.out(ending(report))
  return report.exit()
}

interface Examination {
  config: Config
  probe: EdgeProbe
  url: string
  drain: AbortSignal
}

/** What does not answer, or answers for another, is not examined further: all else would follow from it. */
async function examine(report: Report, examination: Examination): Promise<void> {
  const { probe, url, drain } = examination
  const links = await linksOf(examination)
  const ask = (link: string, how: Omit<EdgeQuestion, 'signal'> = {}) =>
    askEdge(link, { ...how, signal: drain }).catch((cause: unknown) => {
      if (!drain.aborted) throw unreachable(url, cause)
      throw new AppError('CANCELLED', 'the examination was stopped', { cause })
    })
  const early = await ask(links.early)
  const obstacle = judgeReach(url, early)
  if (obstacle !== null) return tell(report, [obstacle], 69)
  await probe.place()
  const late = await ask(links.early)
  const whole = await ask(links.link)
  const astray = judgeFound(url, whole)
  if (astray !== null) return tell(report, [astray], 69)
  const answers: EdgeAnswers = {
    early,
    late,
    whole,
    again: await ask(links.link),
    range: await ask(links.link, { range: true }),
    head: await ask(links.link, { method: 'HEAD' }),
    plain: await ask(links.plain, { range: true }),
    plainAgain: await ask(links.plain, { range: true }),
  }
  tell(report, judgeEdge(answers, probe), 78)
}

/** Each check has a link of its own where one answer, kept somewhere, would spoil another check. */
async function linksOf({ config, probe, url }: Examination) {
  const { mediaId, archivePath } = probe
  const publicConfig = { ...config, serve: { ...config.serve, publicUrl: url } }
  const most = config.serve.tokens?.maxTtlSeconds ?? TTL_SECONDS
  const ttlSeconds = Math.min(TTL_SECONDS, most)
  const file = { mediaId, archivePath, ttlSeconds, inline: false }
  const [early, link] = await Promise.all([
    linkTo(publicConfig, { ...file, userId: probe.userId }),
    linkTo(publicConfig, { ...file, userId: probe.userId + 1 }),
  ])
  return { early, link, plain: link.replace('/-?', '?') }
}

function tell(report: Report, findings: readonly EdgeFinding[], exit: number): void {
  for (const { verdict, what, setting } of findings) {
    if (verdict === 'ok') report.ok(what)
    else if (verdict === 'note') report.advise(what, setting)
    else report.fail(what, { remedy: setting, exit })
  }
}

function ending(report: Report): string {
  const steps = report.nextSteps()
  if (steps.length === 0) return 'everything arrives as it was sent\n'
  const list = steps.map((step, n) => `  ${n + 1}. ${step}\n`).join('')
  return `next, then run it again:\n${list}`
}
