import { html, raw } from 'hono/html'
import type { Session } from '../sessions.ts'
import { shown, timeText } from '../text.ts'

/** A piece of a page; whatever is put into one is escaped unless it is one itself. */
export type Html = ReturnType<typeof html>

export { html, raw }

/** What a page knows of its visit. */
export interface PageContext {
  session: Session
  now: Date
}

/** Text of a stranger, kept from turning the text around it. */
export function bdi(text: string | null, most?: number): Html {
  return html`<bdi>${shown(text, most)}</bdi>`
}

export function time(at: Date, text: string): Html {
  return html`<time datetime="${at.toISOString()}" title="${timeText(at)}">${text}</time>`
}

/** A button that changes something: a form of its own, which no page of a stranger can send. */
export function button(
  { session }: Pick<PageContext, 'session'>,
  { action, label, kind = '' }: { action: string; label: string; kind?: '' | 'main' },
): Html {
  return html`<form method="post" action="${action}">${csrf(session)}<button class="${kind}">${label}</button></form>`
}

export function csrf(session: Session): Html {
  return html`<input type="hidden" name="csrf" value="${session.csrf}">`
}

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'calm'

/** A word with a colour; the word alone says it all. */
export function badge(word: string, tone: Tone): Html {
  return html`<span class="badge ${tone}">${word}</span>`
}

export function empty(text: string): Html {
  return html`<p class="empty">${text}</p>`
}
