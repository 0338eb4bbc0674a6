import { type Html, html, type PageContext } from './html.ts'

const places = [
  ['/', 'Now'],
  ['/items', 'Media'],
  ['/runs', 'Runs'],
  ['/integrity', 'Integrity'],
  ['/actions', 'Actions'],
  ['/docs', 'API'],
] as const

export type Place = (typeof places)[number][0]

/** A whole page. */
export function page(
  context: PageContext,
  { title, place, body, live = false }: { title: string; place: Place; body: Html; live?: boolean },
): Html {
  return shell({
    title,
    script: live,
    body: html`
<a class="skip" href="#main">Skip to the page</a>
<header>
  <a class="brand" href="/">${mark()}<span>Strongroom</span></a>
  <nav aria-label="Pages">
    ${places.map(([href, name]) => html`<a href="${href}"${href === place ? html` aria-current="page"` : ''}>${name}</a>`)}
  </nav>
  <form class="search" role="search" action="/items">
    <label class="hidden" for="q">Search by media id, name or path</label>
    <input id="q" name="q" type="search" placeholder="Media id, name or path" maxlength="200" autocomplete="off">
  </form>
  <form class="out" method="post" action="/logout"><input type="hidden" name="csrf" value="${context.session.csrf}"><button class="plain">Sign out</button></form>
</header>
<main id="main" tabindex="-1">
  ${notice(context)}
  ${body}
</main>`,
  })
}

/** @param options.script whether the page changes while it is looked at */
export function shell({
  title,
  body,
  script = false,
}: {
  title: string
  body: Html
  script?: boolean
}): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · Strongroom</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/style.css">
${script ? html`<script src="/assets/live.js" defer></script>` : ''}
</head>
<body>${body}</body>
</html>`
}

/** What the last button did; said once. */
function notice({ session }: PageContext): Html | string {
  const said = session.notice
  if (said === null) return ''
  session.notice = null
  return html`<div class="notice ${said.tone}" role="status"><p>${said.text}</p>${said.more === null ? '' : moreOf(said.more)}</div>`
}

function moreOf(more: string): Html {
  if (!/^https?:\/\//.test(more)) return html`<p class="next">${more}</p>`
  return html`<p class="link"><a href="${more}" rel="noreferrer" data-minted>${more}</a></p>`
}

function mark(): Html {
  return html`<svg aria-hidden="true" viewBox="0 0 24 24" width="22" height="22"><rect x="2.5" y="3.5" width="19" height="17" rx="3" fill="none" stroke="currentColor" stroke-width="2"/><circle cx="12" cy="12" r="4" fill="none" stroke="currentColor" stroke-width="2"/><path d="M12 8v-2M12 18v-2M8 12H6M18 12h-2" stroke="currentColor" stroke-width="2" stroke-linecap="round"/></svg>`
}
