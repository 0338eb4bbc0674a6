import type { documentOf } from '../api.ts'
import { type Html, html, type PageContext } from './html.ts'
import { page } from './layout.ts'

export type ApiDocument = ReturnType<typeof documentOf>
type PathItem = NonNullable<ApiDocument['paths']>[string]
type Operation = NonNullable<PathItem['get']>

/** Made of the very document that the API gives out. */
export function docsPage(context: PageContext, { paths = {} }: ApiDocument): Html {
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    (['get', 'post'] as const).flatMap((method) => {
      const operation = item[method]
      return operation === undefined ? [] : [operationPart(`${method} ${path}`, operation)]
    }),
  )
  return page(context, {
    title: 'API',
    place: '/docs',
    body: html`
<h1>API</h1>
<p>For other programs: it does the same as the commands. Send <code>Authorization: Bearer</code> with <code>ADMIN_TOKEN</code>.</p>
<pre tabindex="0">curl -H "Authorization: Bearer $ADMIN_TOKEN" 'http://127.0.0.1:8081/api/v1/items?state=rejected'</pre>
<p>All of it as OpenAPI 3.1: <code>/api/v1/openapi.json</code>.</p>
${operations}`,
  })
}

function operationPart(name: string, operation: Operation): Html {
  const { summary, description, parameters = [], responses } = operation
  const [method = '', path = ''] = name.split(' ')
  return html`<section class="operation"><h2><code>${method.toUpperCase()} /api/v1${path}</code></h2>
<p>${summary}.${description === undefined ? '' : ` ${description}`}</p>
<dl class="proof">
${parameters.map((one) => ('name' in one ? row(one.name, [one.required === true ? 'required' : null, one.description ?? null]) : ''))}
${bodyOf(operation)}
${Object.entries(responses ?? {}).map(([status, one]) => row(status, ['description' in one ? (one.description ?? null) : null]))}
</dl></section>`
}

function row(name: string, says: readonly (string | null)[]): Html {
  return html`<div><dt><code>${name}</code></dt><dd>${says.filter((part) => part !== null).join(': ')}</dd></div>`
}

function bodyOf({ requestBody }: Operation): Html | string {
  if (requestBody === undefined || !('content' in requestBody)) return ''
  const schema = requestBody.content['application/json']?.schema
  if (schema === undefined || !('$ref' in schema)) return ''
  return row('body', [`JSON, ${String(schema.$ref).split('/').at(-1)} of the document`])
}
