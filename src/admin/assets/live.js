// Puts the parts of the page that have changed in their places. All of them were made, and escaped, by the server.
const places = document.querySelectorAll('[data-live]')
if (places.length > 0) {
  const source = new EventSource('/events')
  source.addEventListener('part', ({ data }) => {
    const { name, html } = JSON.parse(data)
    const place = document.getElementById(`part-${name}`)
    if (place === null || place.contains(document.activeElement)) return
    place.innerHTML = html
  })
  source.addEventListener('open', () => document.documentElement.setAttribute('data-connected', ''))
  source.addEventListener('error', () => document.documentElement.removeAttribute('data-connected'))
}
