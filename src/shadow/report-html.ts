import { html, raw } from 'hono/html'
import { bytesText } from '../units.ts'
import type { Comparison, Side } from './compare.ts'
import { kindTitles } from './evidence.ts'
import type { General } from './general.ts'
import type { Report } from './report.ts'
import { skippedTexts, subjectOf, verdictLine } from './report-text.ts'

/** What `html` gives: escaped already. */
type Markup = ReturnType<typeof html>

/** More are in the JSON lines; a browser has enough with so many. */
const MOST_ALIKE = 2_000

/** The report as one file that needs no other: no script, no font, no request. */
export async function reportHtml(report: Report): Promise<string> {
  const { safe, since, at, comparisons } = report
  const different = comparisons.filter(({ differences }) => differences.length > 0)
  const alike = comparisons.filter(
    ({ skipped, differences }) => skipped === null && differences.length === 0,
  )
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${verdictLine(report)}</title>
<style>${raw(style)}</style>
</head>
<body>
<header class="${safe ? 'safe' : 'unsafe'}">
<h1>${verdictLine(report)}</h1>
<p>What the other service did and what Strongroom would have done,
from ${timeOf(since)} to ${timeOf(at)}.</p>
</header>
<main>
${notesOf(report)}
${report.generals.length === 0 ? '' : html`<h2>In all of them</h2>${report.generals.map(generalOf)}`}
${different.length === 0 ? '' : html`<h2>Differences</h2>${different.map(cardOf)}`}
${alike.length === 0 ? '' : alikeOf(alike)}
</main>
</body>
</html>
`
  return String(await page)
}

function timeOf(date: Date): Markup {
  const text = date.toISOString()
  return html`<time datetime="${text}">${text.slice(0, 16).replace('T', ' ')} UTC</time>`
}

function notesOf(report: Report): Markup {
  const notes = [...skippedTexts(report), ...report.notes]
  if (notes.length === 0) return html``
  return html`<ul class="notes">${notes.map((note) => html`<li>${note}</li>`)}</ul>`
}

function generalOf({ kind, count, text, hint }: General): Markup {
  return html`<article>
<h3><span class="kind">${kindTitles[kind]}</span> ${count} times: ${text}</h3>
<p>${hint}</p>
</article>`
}

function cardOf(one: Comparison): Markup {
  return html`<article>
<h3>${subjectOf(one)}</h3>
<ul>${one.differences.map(
    ({ kind, text }) => html`<li><span class="kind">${kindTitles[kind]}</span> ${text}</li>`,
  )}</ul>
<div class="sides">
${sideOf('Strongroom would', one.would)}
${sideOf('The other service did', one.did)}
</div>
${one.basis === 'old-file' && one.mediaId !== null ? html`<p class="small">Judged by the file of the other service: Strongroom had not read its source by then.</p>` : ''}
</article>`
}

function sideOf(title: string, { verdict, path, sizeBytes, sha256 }: Side): Markup {
  return html`<dl>
<dt>${title}</dt><dd>${verdict}</dd>
${path === null ? '' : html`<dt>Path</dt><dd>${path}</dd>`}
${sizeBytes === null ? '' : html`<dt>Size</dt><dd>${sizeText(sizeBytes)}</dd>`}
${sha256 === null ? '' : html`<dt>SHA-256</dt><dd><code>${sha256}</code></dd>`}
</dl>`
}

/** To the byte: a copy may lack only a few. */
function sizeText(sizeBytes: number): string {
  return sizeBytes < 1024 ? bytesText(sizeBytes) : `${bytesText(sizeBytes)} (${sizeBytes} bytes)`
}

function alikeOf(alike: readonly Comparison[]): Markup {
  const shown = alike.slice(0, MOST_ALIKE)
  const more = alike.length - shown.length
  return html`<details>
<summary>${alike.length} are alike</summary>
<ul class="alike">${shown.map(
    (one) =>
      html`<li>${subjectOf(one)}: ${one.would.verdict}${one.would.path === null ? '' : html` <code>${one.would.path}</code>`}</li>`,
  )}</ul>
${more > 0 ? html`<p>And ${more} more; --json lists all of them.</p>` : ''}
</details>`
}

const style = `
:root { --ground: #fff; --card: #f6f7f8; --ink: #1a1d20; --soft: #555c63; --line: #d8dce0; --good: #17693a; --bad: #a3231b }
@media (prefers-color-scheme: dark) {
  :root { --ground: #15181b; --card: #1e2327; --ink: #e8ebee; --soft: #a5adb5; --line: #353c43; --good: #6fd197; --bad: #ff9a90 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
header { border-left: .4rem solid; padding-left: .8rem }
header p, .small, .notes, dt { color: var(--soft) }
.safe { border-color: var(--good) } .safe h1 { color: var(--good) }
.unsafe { border-color: var(--bad) } .unsafe h1 { color: var(--bad) }
h1 { font-size: 1.35rem; margin: 0 } h2 { font-size: 1.15rem; margin: 1.6rem 0 .6rem } h3 { font-size: 1rem; margin: 0 }
header p, article p { margin: .3rem 0 0 }
article, details { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem; margin: .7rem 0 }
h3, li, dd { unicode-bidi: isolate }
ul { padding-left: 1.1rem; margin: .4rem 0 }
.kind { color: var(--bad); font-weight: 600 }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: .3rem 1.2rem }
dl { margin: .3rem 0; font-size: .9rem } dt { float: left; clear: left; margin-right: .5rem } dt::after { content: ":" } dd { margin: 0 }
code { font-size: .85em } summary { cursor: pointer } .small { font-size: .9rem }
`
