// Chromium shows a page of one origin, which sends events to another: by fetch, which asks for leave first (a preflight),
// and by a beacon, which does not. Usage: send_from_page.mjs EVENTS_URL KEY USER. Prints `ok` when every assertion held.
import assert from 'node:assert/strict'
import http from 'node:http'
import { createRequire } from 'node:module'
const puppeteer = createRequire(process.env.WEIR_CLIENTS_NODE + '/')('puppeteer-core')

const [, , events, key, user] = process.argv
const site = http.createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<title>Shop</title>'))
// The origin that the function was told of.
await new Promise((listening) => site.listen(Number(process.env.SITE_PORT), '127.0.0.1', listening))
const args = ['--disable-dev-shm-usage']
// Chromium's sandbox does not work for root.
if (process.getuid() === 0) args.push('--no-sandbox')
const browser = await puppeteer.launch({ executablePath: process.env.WEIR_CHROMIUM, args })

const event = (name) => ({
  dt: new Date().toISOString(), name, user_id: Number(user), url: 'http://shop.example/main', obj: 'page',
})

/** Sends from a page at that host, and tells what the page saw. */
async function sendFrom(host) {
  const page = await browser.newPage()
  await page.goto(`http://${host}:${site.address().port}/`)
  const seen = await page.evaluate(
    async (events, key, viewed, left) => {
      let fetched
      try {
        const headers = { 'content-type': 'application/json', 'x-write-key': key, 'idempotency-key': 'page-1' }
        const answer = await fetch(events, { method: 'POST', headers, body: JSON.stringify([viewed, {}]) })
        fetched = { status: answer.status, body: await answer.json() }
      } catch (error) {
        fetched = String(error)
      }
      return { fetched, queued: navigator.sendBeacon(`${events}?key=${key}`, JSON.stringify(left)) }
    },
    events, key, event('view'), event('leave'),
  )
  // The page goes away, the beacon must not.
  await page.close()
  return seen
}

const ours = await sendFrom('127.0.0.1')
assert.equal(ours.fetched.status, 200)
assert.equal(ours.fetched.body.accepted, 1)
assert.deepEqual(ours.fetched.body.rejected[0], { index: 1, loc: ['body', 'dt'], type: 'missing', msg: 'Field required' })
assert.equal(ours.queued, true)
// The same server by another name is another origin, and may not.
const theirs = await sendFrom('localhost')
assert.match(theirs.fetched, /Failed to fetch/)

await browser.close()
site.close()
console.log('ok')
