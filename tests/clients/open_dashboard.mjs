// Chromium opens the dashboard as a person would. Usage: open_dashboard.mjs MODE URL [FOLDER]. MODE is one of
//   figures  waits until all panels have figures, reads the tables, in light, dark and on a phone, and walks by keyboard
//   empty    waits until no panel waits, then prints what each says
//   key      is asked for a read key: a wrong one, then WEIR_READ_KEY
//   outage   waits for the banner, prints `down`, waits for a line on stdin, then until no panel misses ClickHouse, without a reload
// Prints one line of JSON, then `ok` when every assertion held. With a folder it leaves pictures there.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
const clients = createRequire(process.env.WEIR_CLIENTS_NODE + '/')
const puppeteer = clients('puppeteer-core')
const axe = readFileSync(clients.resolve('axe-core/axe.min.js'), 'utf8')

const [, , mode, url, pictures] = process.argv
const { origin } = new URL(url)
const args = ['--disable-dev-shm-usage']
// Chromium's sandbox does not work for root.
if (process.getuid() === 0) args.push('--no-sandbox')
const browser = await puppeteer.launch({ executablePath: process.env.WEIR_CHROMIUM, args })
const timeout = 60_000
const desk = { width: 1400, height: 1000 }
const phone = { width: 360, height: 740 }

/** Opens the page; what goes wrong in it is noted. `expected` are statuses that are no problem. */
async function open({ path = '', size = desk, theme = 'light', expected = [] } = {}) {
  const page = await browser.newPage()
  page.setDefaultTimeout(timeout)
  await page.setViewport(size)
  await page.emulateMediaFeatures([
    { name: 'prefers-color-scheme', value: theme },
    { name: 'prefers-reduced-motion', value: 'reduce' },
  ])
  const seen = { requests: [], problems: [] }
  // A test that waits for something in vain should say what went wrong before.
  process.on('exit', (code) => code && console.error(mode, theme, size.width, seen.problems))
  page.on('request', (request) => seen.requests.push(request.url()))
  page.on('response', (response) => {
    if (response.status() >= 400 && !expected.includes(response.status())) {
      seen.problems.push(`${response.url()}: ${response.status()}`)
    }
  })
  page.on('console', (message) => {
    // Chromium notes each refusal in the console too.
    const refusal = expected.some((status) => message.text().includes(`status of ${status} `))
    if (['error', 'warn', 'warning'].includes(message.type()) && !refusal) seen.problems.push(message.text())
  })
  page.on('pageerror', (error) => seen.problems.push(String(error)))
  const response = await page.goto(url + path)
  // Opened again, it is asked whether it changed.
  assert.ok([200, 304].includes(response.status()), `the page is answered ${response.status()}`)
  return { page, seen }
}

const states = (page) =>
  page.$$eval('section[data-panel]', (all) => Object.fromEntries(all.map((it) => [it.dataset.panel, it.dataset.state])))

/** Waits until each panel is in one of these states. */
const settled = (page, ...wanted) =>
  page.waitForFunction(
    (wanted) => [...document.querySelectorAll('section[data-panel]')].every((it) => wanted.includes(it.dataset.state)),
    {},
    wanted,
  )

/** Each table as a list of objects by the heads of its columns. */
const tables = (page) =>
  page.$$eval('table[data-panel]', (all) =>
    Object.fromEntries(
      all.map((table) => {
        const heads = [...table.querySelectorAll('thead th')].map((it) => it.textContent)
        const rows = [...table.querySelectorAll('tbody tr')].map((row) =>
          Object.fromEntries([...row.cells].map((cell, at) => [heads[at], cell.textContent])),
        )
        return [table.dataset.panel, rows]
      }),
    ),
  )

const figures = (page) =>
  page.$$eval('[data-figure]', (all) =>
    Object.fromEntries(all.map((it) => [it.dataset.figure, it.querySelector('.value').textContent])),
  )

/** Looks at the page as it is: axe finds nothing, it is not wider than its window. Leaves a picture. */
async function look(page, name) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true })
  // Against the width that it was opened with: on a phone the window grows with what does not fit.
  const { scroll, beyond } = await page.evaluate((width) => {
    const shown = [...document.querySelectorAll('main *, .top *')].filter((it) => it.checkVisibility() && !it.closest('.scroll'))
    const beyond = shown.filter((it) => it.getBoundingClientRect().right > width + 1).map((it) => it.outerHTML.slice(0, 80))
    return { scroll: document.documentElement.scrollWidth, beyond }
  }, page.viewport().width)
  assert.ok(scroll <= page.viewport().width, `${name} scrolls sideways`)
  assert.deepEqual(beyond, [], `${name} does not fit`)
  // Not by a script element: the page's policy forbids that.
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => window.axe.run())
  const told = violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html).join(' ')}`)
  assert.deepEqual(told, [], `axe on ${name}`)
}

async function close({ page, seen }, name) {
  assert.deepEqual(seen.problems, [], `${name} has problems`)
  const elsewhere = seen.requests.filter((it) => /^[a-z]+:\/\//.test(it) && new URL(it).origin !== origin)
  assert.deepEqual(elsewhere, [], `${name} loads from elsewhere`)
  await page.close()
}

/** Where a chart's first dot is, from its left edge; without dots a tenth of its width. */
const acrossOf = (chart) =>
  chart.evaluate((it) => {
    const drawn = window.echarts.getInstanceByDom(it)
    const seriesIndex = drawn.getOption().series.findIndex((series) => series.type === 'scatter')
    if (seriesIndex < 0) return it.clientWidth * 0.1
    return drawn.convertToPixel({ seriesIndex }, drawn.getOption().series[seriesIndex].data[0].value)[0]
  })

/** Moves the mouse down a chart until it shows its tooltip. */
async function point(page, name) {
  const chart = await page.$(`section[data-panel="${name}"] .chart`)
  await chart.scrollIntoView()
  const { x, y, height } = await chart.boundingBox()
  const across = await acrossOf(chart)
  for (let down = 5; down < height; down += 5) {
    await page.mouse.move(x + across, y + down)
    const told = await chart.$eval('.tip', (it) => it.textContent).catch(() => '')
    if (!told) continue
    assert.doesNotMatch(told, /NaN|undefined|null/, name)
    return
  }
  assert.fail(`${name} shows no tooltip`)
}

/** A name that was switched off in the legend stays off when the chart is drawn again. */
async function unselects(page) {
  const off = () =>
    page.$eval('section[data-panel="minutes"] .chart', (it) => {
      const chart = window.echarts.getInstanceByDom(it)
      const { legend, series } = chart.getOption()
      return legend[0].selected[series[0].name] === false
    })
  await page.$eval('section[data-panel="minutes"] .chart', (it) => {
    const chart = window.echarts.getInstanceByDom(it)
    chart.dispatchAction({ type: 'legendToggleSelect', name: chart.getOption().series[0].name })
  })
  assert.ok(await off())
  const answer = page.waitForResponse((response) => response.url().endsWith('/dashboard/live'))
  await page.click('#pause')
  await page.click('#pause')
  await answer
  await page.evaluate(() => new Promise((next) => setTimeout(next, 500)))
  assert.ok(await off(), 'what was switched off is shown again')
}

/** Presses Tab through the page; every stop has a name and can be seen to be there. */
async function walk(page) {
  const stops = []
  await page.evaluate(() => window.scrollTo(0, 0))
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab')
    const stop = await page.evaluate(() => {
      const it = document.activeElement
      if (!it || it === document.body) return null
      const outlined = it.matches('.segments input') ? it.nextElementSibling : it
      return {
        name: it.getAttribute('aria-label') ?? it.labels?.[0]?.textContent.trim() ?? it.textContent.trim(),
        outline: getComputedStyle(outlined).outlineStyle,
        date: it.type === 'date',
      }
    })
    if (!stop) break
    assert.ok(stop.name, `stop ${presses} has no name`)
    // Chromium draws the focus of a date's parts within the field.
    assert.ok(stop.date || stop.outline !== 'none', `${stop.name} shows no focus`)
    if (stops.at(-1) !== stop.name) stops.push(stop.name)
  }
  assert.equal(stops[0], 'Skip to the figures')
  for (const name of ['Auto', '7 days', '90 days', 'Apply', 'Pause', 'Show as table']) {
    assert.ok(stops.includes(name), `${name} cannot be reached by keyboard: ${stops}`)
  }
}

/** The range is in the address, the back button goes to the one before, and a wrong one is said by its fields. */
async function ranges(page, seen) {
  const asked = () => seen.requests.filter((it) => it.includes('/dashboard/data?')).length
  const dates = () => page.$$eval('#range input', (all) => all.map((it) => it.value))
  // Named days: those of today are others after midnight.
  const before = await dates()
  await page.goto(`${url}?${new URLSearchParams({ from: before[0], to: before[1] })}`)
  await settled(page, 'ready')
  assert.deepEqual(await dates(), before)
  assert.equal(await page.$('[data-days][aria-current]'), null)
  await page.click('[data-days="7"]')
  await page.waitForSelector('[data-days="7"][aria-current]')
  assert.equal(new URL(page.url()).search, '?days=7')
  const [from, to] = await dates()
  assert.equal((Date.parse(to) - Date.parse(from)) / 86_400_000, 6)
  await page.goBack()
  await page.waitForFunction(() => !document.querySelector('[data-days][aria-current]'))
  assert.deepEqual(await dates(), before)
  const requests = asked()
  await page.$eval('#range [name="to"]', (it) => (it.value = '2020-01-01'))
  await page.click('#range [type="submit"]')
  const message = await page.$eval('#range-message', (it) => it.textContent)
  assert.match(message, /before the first/)
  assert.equal(await page.$eval('#range [name="to"]', (it) => it.ariaInvalid), 'true')
  assert.equal(asked(), requests, 'a wrong range is asked for')
  await look(page, 'wrong-range')
  // One in the address is asked for as little.
  await page.goto(`${url}?from=2020-01-02&to=2020-01-01`)
  await page.waitForFunction(() => document.getElementById('range-message').textContent !== '')
  assert.equal((await states(page)).activity, 'error')
  assert.equal((await figures(page)).dau, '–')
  assert.equal(asked(), requests, 'a wrong range is asked for')
  await page.click('[data-days="30"]')
  await page.waitForFunction(() => document.getElementById('range-message').textContent === '')
  await settled(page, 'ready')
}

const MODES = {
  async figures() {
    const light = await open()
    const { page, seen } = light
    // What was sent and built before is there.
    await settled(page, 'ready')
    const answer = { figures: await figures(page), tables: await tables(page) }
    const labels = await page.$$eval('.chart', (all) => all.map((it) => it.ariaLabel))
    for (const label of labels) assert.doesNotMatch(label, /loading/)
    await walk(page)
    await look(page, 'light')
    await page.$$eval('details', (all) => all.forEach((it) => (it.open = true)))
    await look(page, 'light-tables')
    await page.$$eval('details', (all) => all.forEach((it) => (it.open = false)))
    await ranges(page, seen)
    // The switch is kept over a reload.
    await page.click('.theme label:nth-of-type(3)')
    await page.reload()
    await settled(page, 'ready')
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark')
    await look(page, 'switched-dark')
    await page.click('.theme label:nth-of-type(1)')
    assert.equal(await page.evaluate(() => localStorage.length), 0)
    await close(light, 'light')

    const dark = await open({ theme: 'dark' })
    await settled(dark.page, 'ready')
    await look(dark.page, 'dark')
    for (const name of ['activity', 'minutes', 'funnel', 'experiments']) await point(dark.page, name)
    await unselects(dark.page)
    await close(dark, 'dark')

    for (const theme of ['light', 'dark']) {
      const small = await open({ size: { ...phone, isMobile: true, hasTouch: true }, theme })
      await settled(small.page, 'ready')
      await look(small.page, `phone-${theme}`)
      await close(small, `phone ${theme}`)
    }
    return answer
  },

  async empty() {
    const opened = await open()
    const { page } = opened
    await settled(page, 'ready', 'empty', 'error')
    const notices = await page.$$eval('section[data-panel]', (all) =>
      Object.fromEntries(all.map((it) => [it.dataset.panel, it.querySelector('.notice').innerText])),
    )
    await look(page, 'empty')
    const answer = { states: await states(page), notices }
    await close(opened, 'empty')
    return answer
  },

  async key() {
    const opened = await open({ expected: [401] })
    const { page, seen } = opened
    const field = await page.waitForSelector('#read-key', { visible: true })
    assert.equal(await field.evaluate((it) => `${it.type} ${it.autocomplete}`), 'password off')
    assert.equal(await page.$eval('#figures', (it) => it.checkVisibility()), false)
    await look(page, 'key')
    await field.type('not-this-one')
    await page.keyboard.press('Enter')
    await page.waitForFunction(() => document.getElementById('key-message').textContent.includes('not valid'))
    await look(page, 'key-wrong')
    await field.evaluate((it) => (it.value = ''))
    await field.type(process.env.WEIR_READ_KEY)
    await page.keyboard.press('Enter')
    await page.waitForSelector('#figures', { visible: true })
    await settled(page, 'ready', 'empty', 'error')
    // It is kept for this tab, and in no address.
    await page.reload()
    await page.waitForSelector('#figures', { visible: true })
    await settled(page, 'ready', 'empty', 'error')
    assert.ok(!seen.requests.some((it) => it.includes(process.env.WEIR_READ_KEY)))
    const answer = { states: await states(page) }
    await close(opened, 'key')
    return answer
  },

  async outage() {
    const opened = await open()
    const { page } = opened
    await page.waitForSelector('#banner[role="alert"]:not([hidden])')
    const banner = await page.$eval('#banner span', (it) => it.textContent)
    await settled(page, 'error')
    await look(page, 'error')
    console.log('down')
    await once(process.stdin, 'data')
    // One answer comes before the other: each panel has to be rid of it.
    await page.waitForFunction(() =>
      [...document.querySelectorAll('.notice')].every((it) => it.hidden || !it.textContent.includes('ClickHouse')),
    )
    await page.waitForSelector('#banner[hidden]')
    const now = await states(page)
    await close(opened, 'outage')
    return { banner, states: now }
  },
}

assert.ok(MODES[mode], `no such mode: ${mode}`)
const answer = await MODES[mode]()
await browser.close()
console.log(JSON.stringify(answer))
console.log('ok')
// Standard input may be open still.
process.exit(0)
