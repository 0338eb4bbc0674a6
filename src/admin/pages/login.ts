import { type Html, html } from './html.ts'
import { shell } from './layout.ts'

/** @param wrong what was wrong with the last try */
export function loginPage({ wrong, next }: { wrong: string | null; next: string }): Html {
  return shell({
    title: 'Sign in',
    body: html`
<main id="main" class="login">
  <h1>Strongroom</h1>
  <form method="post" action="/login">
    <input type="hidden" name="next" value="${next}">
    <label for="token">Admin token</label>
    <input id="token" name="token" type="password" autocomplete="current-password" required autofocus${wrong === null ? '' : html` aria-describedby="wrong" aria-invalid="true"`}>
    ${wrong === null ? '' : html`<p id="wrong" class="wrong" role="alert">${wrong}</p>`}
    <button class="main">Sign in</button>
  </form>
  <p class="hint">It is the value of <code>ADMIN_TOKEN</code> that this service was started with. You stay signed in for twelve hours, or until it restarts.</p>
</main>`,
  })
}

export function messagePage({
  title,
  text,
  next,
}: {
  title: string
  text: string
  next: string
}): Html {
  return shell({
    title,
    body: html`
<main id="main" class="login">
  <h1>${title}</h1>
  <p>${text}</p>
  <p class="next">${next}</p>
  <p><a href="/">To the first page</a></p>
</main>`,
  })
}
