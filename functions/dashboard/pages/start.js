// Starts the page: its range, theme and key, and what is asked for when.

import { redraw } from './charts.js'
import { element, failed, keyLive, keyUsers, loading, show } from './panels.js'

const POLL_MS = 10_000
/** The marts change with dbt's runs only. */
const DATA_EVERY_MS = 5 * 60_000
const TIMEOUT_MS = 30_000
const DEFAULT_DAYS = 30
const DATA = ['activity', 'pages', 'funnel', 'experiments']
const LIVE = ['minutes', 'health']
const DAY_MS = 86_400_000

const at = (id) => document.getElementById(id)
const shown = {
  /** The panels' last errors by name, `undefined` for none: they decide about the banner. */
  errors: new Map(),
  /** What the two addresses last failed with, when they did not answer with panels. */
  broken: { data: null, live: null },
  paused: false,
  /** While the key is asked for nothing is fetched. */
  locked: false,
  /** The panel of active users with its range, and the last live answer: the key figures need both. */
  activity: null,
  live: null,
  /** When the two addresses last gave figures. */
  at: { data: null, live: null },
  /** When the marts were last asked for, and how long to wait until they are asked again while they are in trouble. */
  dataAt: 0,
  dataDelay: 0,
}
const dateOf = (ms) => new Date(ms).toISOString().slice(0, 10)

/** A browser may forbid a page to keep anything; the page then works without. */
const store = {
  read(area, key) {
    try {
      return window[area].getItem(key)
    } catch {
      return null
    }
  },
  write(area, key, value) {
    try {
      if (value == null) window[area].removeItem(key)
      else window[area].setItem(key, value)
    } catch {
      // Then it lasts as long as the page.
    }
  },
}
let readKey = store.read('sessionStorage', 'weir-read-key')

/** An answer that is no panels: `code` as the function says it, or `offline`; `field` is the one of the range that is wrong. */
class Refused extends Error {
  constructor(code, detail, field = null) {
    super(detail)
    this.code = code
    this.field = field
  }
}

/** The field of the range that a refusal is about. */
const wrongField = (detail) =>
  Array.isArray(detail) ? (detail.map((it) => it.loc?.at(-1)).find((name) => name === 'from' || name === 'to') ?? null) : null

async function ask(path, signal) {
  const headers = readKey ? { authorization: `Bearer ${readKey}` } : {}
  const signals = [AbortSignal.timeout(TIMEOUT_MS), signal].filter(Boolean)
  let response
  let body
  try {
    response = await fetch(path, { headers, signal: AbortSignal.any(signals) })
    body = (await response.json()) ?? {}
  } catch (error) {
    if (signal?.aborted) throw error
    if (!response) throw new Refused('offline', 'Weir does not answer')
    throw new Refused('garbled', `Weir answered with status ${response.status}`)
  }
  if (response.ok) return body
  const { detail } = body
  const said = Array.isArray(detail) ? detail.map((it) => `${it.loc?.at(-1) ?? ''}: ${it.msg}`).join('. ') : detail
  const code = response.status === 422 ? 'invalid_parameters' : (body.code ?? 'garbled')
  throw new Refused(code, String(said ?? `Weir answered with status ${response.status}`), wrongField(detail))
}

// The range: in the address, so that it can be shared and gone back from.

function readRange() {
  const query = new URLSearchParams(location.search)
  if (query.has('from') || query.has('to')) return { from: query.get('from') ?? '', to: query.get('to') ?? '', days: null }
  const asked = Number(query.get('days'))
  const days = [7, 30, 90].includes(asked) ? asked : DEFAULT_DAYS
  // From one instant, so that midnight does not come between.
  const now = Date.now()
  return { from: dateOf(now - (days - 1) * DAY_MS), to: dateOf(now), days }
}

/** Why a range cannot be asked for, or nothing. */
function wrongRange({ from, to }) {
  const day = (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text))
  if (!day(from)) return ['from', 'Give the first day as a date']
  if (!day(to)) return ['to', 'Give the last day as a date']
  if (from > to) return ['to', 'The last day is before the first: swap them']
  return null
}

function sayRange(field, message) {
  const form = at('range')
  for (const name of ['from', 'to']) form[name].ariaInvalid = String(field === name)
  at('range-message').textContent = message
}

// What is under way at each address. A newer request takes the place of the one before.
const asking = { data: null, live: null }

function began(which) {
  asking[which]?.abort()
  asking[which] = new AbortController()
  return asking[which]
}

function ended(which, own) {
  if (asking[which] === own) asking[which] = null
}

/** What was asked with another key says nothing any more. */
function abortAll() {
  for (const which of ['data', 'live']) {
    asking[which]?.abort()
    asking[which] = null
  }
}

function showRange(range) {
  const form = at('range')
  form.from.value = range.from
  form.to.value = range.to
  for (const link of form.querySelectorAll('[data-days]')) {
    link.ariaCurrent = Number(link.dataset.days) === range.days ? 'true' : null
  }
}

/** A range that cannot be asked for: nothing of the one before is left. */
function emptied(field, message) {
  for (const name of DATA) {
    failed(name, { code: 'invalid_parameters' })
    shown.errors.delete(name)
  }
  shown.broken.data = null
  shown.activity = { why: 'no such range' }
  drawUsers()
  sayRange(field, message)
  banner()
}

/** Asks for the marts. Quietly the range's fields and what is said of them stay: somebody may be typing. */
async function loadData({ quiet }) {
  // One that somebody waits for goes before.
  if (quiet && asking.data) return
  const range = readRange()
  if (!quiet) {
    asking.data?.abort()
    asking.data = null
    showRange(range)
    const wrong = wrongRange(range)
    if (wrong) return emptied(...wrong)
    sayRange(null, '')
  }
  if (shown.locked) return
  if (!quiet) DATA.forEach(loading)
  shown.dataAt = Date.now()
  const own = began('data')
  try {
    const query = new URLSearchParams({ from: range.from, to: range.to })
    const answer = await ask(`/dashboard/data?${query}`, own.signal)
    if (own.signal.aborted) return
    shown.broken.data = null
    shown.activity = { panel: answer.activity ?? {}, range }
    for (const name of DATA) showPanel(name, answer[name], range)
    drawUsers()
    mark('data', DATA.map((name) => answer[name]))
  } catch (error) {
    if (own.signal.aborted) return
    refused('data', error, DATA)
    if (!quiet && error.code === 'invalid_parameters') emptied(error.field, error.message)
  } finally {
    ended('data', own)
  }
  // Each time in vain it is left alone for longer.
  shown.dataDelay = dataTrouble() ? Math.min(shown.dataDelay * 2 || POLL_MS, DATA_EVERY_MS) : 0
  banner()
}

async function loadLive() {
  const own = began('live')
  try {
    const answer = await ask('/dashboard/live', own.signal)
    if (own.signal.aborted) return
    const before = liveTrouble()
    shown.broken.live = null
    for (const name of LIVE) showPanel(name, answer[name], answer)
    shown.live = answer
    drawUsers()
    drawNow(answer)
    mark('live', LIVE.map((name) => answer[name]))
    // What was away is back: the marts are as well, most likely.
    if (before && !liveTrouble()) shown.dataDelay = 0
  } catch (error) {
    if (own.signal.aborted) return
    refused('live', error, LIVE)
  } finally {
    ended('live', own)
  }
  banner()
}

/** Draws a part of the page. One that cannot be drawn is told in the console and stops neither the others nor the poll. */
function attempt(work, otherwise) {
  try {
    work()
  } catch (error) {
    console.error(error)
    otherwise?.()
  }
}

function showPanel(name, panel, more) {
  shown.errors.set(name, panel?.error)
  attempt(
    () => show(name, panel, more),
    () => {
      failed(name, { code: 'undrawable' })
      if (name === 'activity') shown.activity = { why: 'not known' }
    },
  )
}

const drawUsers = () => attempt(() => keyUsers(shown.activity, shown.live))

const drawNow = (answer) =>
  attempt(() => {
    const told = keyLive(answer)
    // Read aloud once a minute, not with each poll.
    if (at('spoken').textContent !== told) at('spoken').textContent = told
  })

function refused(which, error, names) {
  if (!(error instanceof Refused)) throw error
  if (error.code === 'read_key_missing' || error.code === 'read_key_invalid') return askKey(error.code)
  shown.broken[which] = error
  // What was shown before stays; the banner says how old it is.
  for (const name of names) {
    const { state } = document.querySelector(`section[data-panel="${name}"]`).dataset
    if (state !== 'loading') continue
    failed(name, { code: error.code, detail: error.message })
    if (name === 'activity') shown.activity = { why: 'not known' }
  }
  drawUsers()
}

/** Notes when there last were figures. */
function mark(which, panels) {
  if (panels.some((panel) => panel?.rows)) shown.at[which] = Date.now()
}

/** Whose figures are the oldest: of an address that fails, else of the one that was asked longer ago. */
function oldest() {
  const { data, live } = shown.at
  if (Boolean(shown.broken.data) !== Boolean(shown.broken.live)) return shown.broken.data ? data : live
  return data == null || live == null ? (data ?? live) : Math.min(data, live)
}

/** An instant of today by its time, another with its date. */
function instant(ms) {
  const text = new Date(ms).toISOString()
  return `${dateOf(Date.now()) === dateOf(ms) ? '' : `${text.slice(0, 10)} `}${text.slice(11, 19)} UTC`
}

// One banner for what all panels have in common.

function bannerText(since) {
  const broken = shown.broken.live ?? shown.broken.data
  const told = since == null ? '' : ` The figures are of ${instant(since)}.`
  if (broken?.code === 'offline') return `Weir does not answer.${told} It is tried again by itself.`
  if (broken && broken.code !== 'invalid_parameters') return `${broken.message}.${told} It is tried again by itself.`
  const errors = [...shown.errors.values()]
  if (errors.length && errors.every((error) => error?.code?.startsWith('warehouse_'))) {
    return 'ClickHouse cannot be reached or fails. Events are still accepted and kept; the figures come back by themselves.'
  }
  return null
}

function banner() {
  const since = oldest()
  at('updated').textContent = since == null ? 'Days are UTC' : `Days are UTC · updated ${instant(since)}`
  const box = at('banner')
  const text = shown.locked ? null : bannerText(since)
  if (box.dataset.text === (text ?? '')) return
  box.dataset.text = text ?? ''
  box.hidden = !text
  box.replaceChildren()
  if (!text) return
  const again = element('button', { type: 'button' }, 'Try again now')
  again.addEventListener('click', () => {
    shown.dataDelay = 0
    poll()
  })
  const sign = element('b', {}, '⚠')
  sign.ariaHidden = 'true'
  box.append(sign, element('span', {}, text), again)
}

// Wrong parameters stay wrong.
const troubled = (which, names) =>
  (shown.broken[which] && shown.broken[which].code !== 'invalid_parameters') ||
  names.some((name) => shown.errors.get(name)?.code?.startsWith('warehouse_'))
const dataTrouble = () => troubled('data', DATA)
const liveTrouble = () => troubled('live', LIVE)

/** The marts are asked for now and then, and sooner after trouble. A wrong range is not asked for. */
function dataIsDue() {
  if (wrongRange(readRange())) return false
  return Date.now() - shown.dataAt >= (dataTrouble() ? shown.dataDelay : DATA_EVERY_MS)
}

// The poll: one at a time, only while somebody looks.

let timer = 0

async function poll() {
  clearTimeout(timer)
  try {
    if (shown.locked || document.hidden) return
    // A pause stops the live figures, not the coming back from an outage.
    const live = shown.paused && !liveTrouble() ? null : loadLive()
    await Promise.all([live, dataIsDue() ? loadData({ quiet: true }) : null])
  } finally {
    // Whatever goes wrong, it goes on.
    clearTimeout(timer)
    timer = setTimeout(poll, POLL_MS)
  }
}

document.addEventListener('visibilitychange', () => document.hidden || poll())
at('pause').addEventListener('click', () => {
  shown.paused = !shown.paused
  at('pause').ariaPressed = String(shown.paused)
  if (!shown.paused) poll()
})

// The key.

function askKey(code) {
  shown.locked = true
  abortAll()
  at('figures').hidden = true
  at('key').hidden = false
  banner()
  // Said of a key that was sent, not of a first visit.
  at('key-message').textContent = code === 'read_key_invalid' ? 'This key is not valid. Check it and try again.' : ''
  at('read-key').ariaInvalid = String(code === 'read_key_invalid')
  if (code === 'read_key_invalid') store.write('sessionStorage', 'weir-read-key', null)
  at('read-key').focus()
}

at('key').addEventListener('submit', async (event) => {
  event.preventDefault()
  const field = at('read-key')
  readKey = field.value.trim()
  // Headers take nothing else, and no key has it.
  if (!/^[\x21-\x7e]+$/.test(readKey)) return askKey('read_key_invalid')
  abortAll()
  const button = event.submitter ?? at('key').querySelector('button')
  button.disabled = true
  try {
    await ask('/dashboard/live')
  } catch (error) {
    if (error instanceof Refused && error.code.startsWith('read_key_')) return askKey('read_key_invalid')
    // Whether the key is right is not known, the page behind says what is wrong.
  } finally {
    button.disabled = false
  }
  store.write('sessionStorage', 'weir-read-key', readKey)
  field.value = ''
  shown.locked = false
  at('key').hidden = true
  at('figures').hidden = false
  at('main').focus()
  loadData({ quiet: false })
  poll()
})

// The range's controls.

function go(query) {
  history.pushState(null, '', query)
  loadData({ quiet: false })
}

at('range').addEventListener('submit', (event) => {
  event.preventDefault()
  const { from, to } = event.target
  const range = { from: from.value, to: to.value }
  const wrong = wrongRange(range)
  // A range that nobody can ask for does not go into the address, and the fields stay as they were typed.
  if (wrong) return sayRange(...wrong)
  go(`?${new URLSearchParams(range)}`)
})
at('range').addEventListener('click', (event) => {
  const link = event.target.closest('[data-days]')
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  go(link.getAttribute('href'))
})
window.addEventListener('popstate', () => loadData({ quiet: false }))

// The theme. `auto` is what the system says: page.css knows by itself.

function theme(choice) {
  if (choice === 'auto') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = choice
  redraw()
}

const kept = store.read('localStorage', 'weir-theme')
if (kept === 'light' || kept === 'dark') {
  document.querySelector(`[name="theme"][value="${kept}"]`).checked = true
  theme(kept)
}
document.querySelector('.theme').addEventListener('change', ({ target }) => {
  store.write('localStorage', 'weir-theme', target.value === 'auto' ? null : target.value)
  theme(target.value)
})
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw)

loadData({ quiet: false })
poll()
