// Chromium opens the documentation as a person would: Swagger UI, where it sends the first example of POST /events, then
// ReDoc. Usage: open_docs.mjs URL EVENTS_URL [FOLDER]. Prints what was answered, then `ok` when every assertion held. With a
// folder it leaves a picture of each page there.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
const puppeteer = createRequire(process.env.WEIR_CLIENTS_NODE + '/')('puppeteer-core')

const [, , docs, events, pictures] = process.argv
const { origin } = new URL(docs)
const args = ['--disable-dev-shm-usage']
// Chromium's sandbox does not work for root.
if (process.getuid() === 0) args.push('--no-sandbox')
const browser = await puppeteer.launch({ executablePath: process.env.WEIR_CHROMIUM, args })
const timeout = 60_000

async function open(path) {
  const page = await browser.newPage()
  await page.setViewport({ width: 1400, height: 1000 })
  page.setDefaultTimeout(timeout)
  const seen = { requests: [], problems: [], unanswered: new Set() }
  // A test that waits for something in vain should say what went wrong before.
  process.on('exit', (code) => code && console.error(path, seen.problems, 'unanswered:', [...seen.unanswered]))
  page.on('request', (request) => {
    seen.requests.push(request.url())
    seen.unanswered.add(request.url())
  })
  page.on('response', (response) => {
    seen.unanswered.delete(response.url())
    if (response.status() >= 400) seen.problems.push(`${response.url()}: ${response.status()}`)
  })
  page.on('requestfailed', (request) => seen.problems.push(`${request.url()}: ${request.failure()?.errorText}`))
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) seen.problems.push(message.text())
  })
  page.on('pageerror', (error) => seen.problems.push(String(error)))
  const response = await page.goto(origin + path)
  assert.equal(response.status(), 200, path)
  return { page, seen }
}

async function close({ page, seen }, name) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true })
  assert.deepEqual(seen.problems, [], `${name} has problems`)
  const elsewhere = seen.requests.filter((url) => /^[a-z]+:\/\//.test(url) && new URL(url).origin !== origin && url !== events)
  assert.deepEqual(elsewhere, [], `${name} loads from elsewhere`)
  assert.ok(seen.requests.some((url) => url === `${origin}/openapi.json`), `${name} reads the document`)
  await page.close()
}

const swagger = await open('/docs')
const { page } = swagger
const operation = await page.waitForSelector('#operations-Events-storeEvents')
assert.match(await operation.evaluate((it) => it.textContent), /POST\s*\/events\s*Send events/)
for (const name of ['validateEvents', 'readActivity']) await page.waitForSelector(`[id$="-${name}"]`)
assert.match(await page.$eval('.info', (it) => it.textContent), /stream_unavailable\s*503/)
await (await operation.waitForSelector('.opblock-summary-control')).click()
await (await operation.waitForSelector('.try-out__btn')).click()
await operation.waitForSelector('textarea.body-param__text')
await (await operation.waitForSelector('.execute')).click()
const answered = await operation.waitForSelector('.live-responses-table .response')
const status = await answered.$eval('.response-col_status', (it) => it.textContent.trim())
assert.match(status, /^200/)
const body = await answered.$eval('.response-col_description code', (it) => JSON.parse(it.textContent))
assert.deepEqual(body, { accepted: 1 })
await close(swagger, 'docs')

const redoc = await open('/redoc')
const titles = ['Send events', 'Check events, store nothing', 'Daily, weekly and monthly active users']
await redoc.page.waitForFunction(
  (titles) => {
    const shown = [...document.querySelectorAll('h2')].map((it) => it.textContent.trim())
    return titles.every((title) => shown.includes(title))
  },
  {},
  titles,
)
assert.match(await redoc.page.$eval('#redoc', (it) => it.textContent), /\/events\/validate/)
await close(redoc, 'redoc')

await browser.close()
console.log(JSON.stringify(body))
console.log('ok')
