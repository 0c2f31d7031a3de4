// The panels: figures in words and numbers, tables, and what is said when there is nothing to show. All text of answers is set
// as text: names of pages and events are strangers'.

import { bounded, day, draw } from './charts.js'

const number = new Intl.NumberFormat('en')
const none = '–'
/** More variants are in the table only, as in the chart. */
const MOST_VERDICTS = 8

/** A count. */
export const count = (value) => (value == null ? none : number.format(value))

/** A part of one as a percentage. */
export const percent = (part) => (part == null ? none : `${(part * 100).toFixed(1)} %`)

const signed = (part) => (part == null ? none : `${part > 0 ? '+' : part < 0 ? '−' : ''}${percent(Math.abs(part))}`)

const chance = (value) => (value == null ? none : value < 0.001 ? '< 0.001' : value.toFixed(3))

/** A time span in its largest fitting unit, from seconds. */
export function span(seconds) {
  if (seconds == null) return none
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86400)} days`
}

/** An element with text or other elements in it. */
export function element(tag, own, ...content) {
  const made = Object.assign(document.createElement(tag), own)
  made.append(...content)
  return made
}

const panelOf = (name) => document.querySelector(`section[data-panel="${name}"]`)

/** Fills a panel's table. The first cell of a row is its heading; `words` are columns of text. */
function table(name, caption, columns, rows, words = []) {
  const heads = columns.map((text, at) =>
    element('th', { scope: 'col', className: words.includes(at) ? 'words' : '' }, text),
  )
  const lines = rows.map((cells) => {
    const made = cells.map((cell, at) =>
      at === 0 ? element('th', { scope: 'row' }, cell) : element('td', { className: words.includes(at) ? 'words' : '' }, cell),
    )
    return element('tr', {}, ...made)
  })
  document
    .querySelector(`table[data-panel="${name}"]`)
    .replaceChildren(
      element('caption', {}, caption),
      element('thead', {}, element('tr', {}, ...heads)),
      element('tbody', {}, ...lines),
    )
}

/** Panels that a shorter range helps. */
const RANGED = ['activity', 'pages', 'funnel']
/** What to do about an error, by its code; a third part is for those only. */
const ADVICE = {
  mart_missing: ['Not built yet', ['Run dbt once: it builds this mart. ', element('code', {}, 'cargo weir dbt')]],
  warehouse_unreachable: ['ClickHouse cannot be reached', ['This panel comes back by itself when ClickHouse does.']],
  warehouse_timeout: ['ClickHouse took too long', ['It is tried again.'], ' A shorter range is answered sooner.'],
  invalid_parameters: ['No such range', ['Correct the dates above.']],
  answer_too_large: ['Too much to show', ['It has more rows than an answer may hold.'], ' Choose a shorter range.'],
  undrawable: ['This panel cannot be drawn', ['The others go on. It is tried again.']],
}

function state(name, now) {
  const panel = panelOf(name)
  panel.dataset.state = now
  panel.querySelector('.notice').hidden = now === 'ready' || now === 'loading'
}

function notice(name, now, title, advice) {
  // Nodes of the constants are copied: two panels may say the same.
  const copies = advice.map((part) => (part instanceof Node ? part.cloneNode(true) : part))
  panelOf(name).querySelector('.notice').replaceChildren(element('b', {}, title), element('span', {}, ...copies))
  // What was in the table is no longer so.
  if (now !== 'ready') document.querySelector(`table[data-panel="${name}"]`).replaceChildren()
  state(name, now)
}

/** Shows that a panel waits for its first answer, at the height that it will have. */
export function loading(name) {
  state(name, 'loading')
}

/** Shows a panel's error: what is wrong, and what to do. */
export function failed(name, error) {
  const [title, advice, ranged] = ADVICE[error.code] ?? ['This cannot be shown', [`${error.detail || error.code}. It is tried again.`]]
  notice(name, 'error', title, ranged && RANGED.includes(name) ? [...advice, ranged] : advice)
}

const NO_EVENTS = ['Post one: ', element('code', {}, 'POST /events')]
const EMPTY = {
  activity: ['No users in these days', ['Choose other days, or run dbt after events have come.']],
  pages: ['No views in these days', ['A view is an event with the name view of an object page.']],
  funnel: ['Nobody in the funnel in these days', ['Choose other days, or run dbt after events have come.']],
  experiments: ['No experiment yet', ['Events with an experiment and a variant begin one.']],
  minutes: ['No events in the last hour', NO_EVENTS],
}

/** The panels by name: each draws its rows and gives nothing; `more` is what rows alone do not say. */
const SHOW = {
  activity(rows, { from, to }) {
    table(
      'activity',
      `Active users from ${from} to ${to}, UTC days, newest first`,
      ['Date', 'DAU', 'WAU', 'MAU', 'New', 'Returning', 'Resurrected', 'DAU/MAU'],
      rows
        .toReversed()
        .map((row) => [
          row.date,
          ...[row.dau, row.wau, row.mau, row.new_users, row.returning_users, row.resurrected_users].map(count),
          percent(row.stickiness),
        ]),
    )
    const last = rows.at(-1)
    const label =
      `Active users from ${from} to ${to}. On ${last.date}: ${count(last.dau)} on the day, ` +
      `${count(last.wau)} in seven days, ${count(last.mau)} in thirty days.`
    draw('activity', chartOf('activity'), { days: daysBetween(from, to), rows }, label)
  },

  pages(rows, { from, to }) {
    table('pages', `Most viewed pages from ${from} to ${to}`, ['Page', 'Views'], rows.map((row) => ['', count(row.views)]))
    const most = Math.max(1, ...rows.map((row) => row.views))
    const heads = document.querySelectorAll('table[data-panel="pages"] tbody th')
    for (const [at, row] of rows.entries()) {
      const fill = element('span', { className: 'fill' })
      fill.style.width = `${(row.views / most) * 100}%`
      heads[at].append(element('span', { className: 'bar', title: row.page }, fill, row.page))
    }
  },

  funnel(rows, { from, to }) {
    table(
      'funnel',
      `Users a day by step of the funnel, added up from ${from} to ${to}: who began on two days counts twice`,
      ['Step', 'Users a day, added up', 'Of first', 'Of step before'],
      rows.map((row) => [
        row.step_name,
        count(row.users),
        percent(row.conversion_from_first),
        percent(row.conversion_from_previous),
      ]),
    )
    const steps = rows.map((row) => `${row.step_name} ${count(row.users)}`).join(', ')
    const label = `Funnel, users a day, added up over the range: ${steps}. ${percent(rows.at(-1).conversion_from_first)} of the first step reach the last.`
    draw('funnel', chartOf('funnel'), { rows }, label)
  },

  experiments(rows) {
    table(
      'experiments',
      'Experiments by variant; the control comes first',
      ['Experiment', 'Variant', 'Users', 'Conversions', 'Rate', 'Uplift', 'From', 'To', 'p', 'Sample ratio p'],
      rows.map((row) => [
        row.experiment,
        row.is_control ? `${row.variant} (control)` : row.variant,
        count(row.users),
        count(row.conversions),
        percent(row.conversion_rate),
        signed(row.uplift),
        signed(row.uplift_low),
        signed(row.uplift_high),
        chance(row.p_value),
        row.srm_detected ? `⚠ ${chance(row.srm_p_value)}` : chance(row.srm_p_value),
      ]),
      [1],
    )
    const compared = rows.filter((row) => row.uplift != null)
    const nobody = 'No variant can be compared yet: nobody who saw a control has bought anything.'
    const verdicts = compared.map((row) => {
      const between = bounded(row) ? `, confidence interval ${signed(row.uplift_low)} to ${signed(row.uplift_high)}` : ''
      return `${row.experiment}, ${row.variant}: ${signed(row.uplift)}${between}, p ${chance(row.p_value)}`
    })
    if (!verdicts.length) verdicts.push(nobody)
    const broken = [...new Map(rows.filter((row) => row.srm_detected).map((row) => [row.experiment, row])).values()]
    const warnings = broken.map((row) =>
      element(
        'li',
        { className: 'warning' },
        element('b', {}, `⚠ ${row.experiment}: sample ratio mismatch`),
        ` (p ${chance(row.srm_p_value)}). The variants' numbers of users are not as planned: do not trust this result.`,
      ),
    )
    panelOf('experiments')
      .querySelector('.verdicts')
      .replaceChildren(...warnings, ...verdicts.slice(0, MOST_VERDICTS).map((text) => element('li', {}, text)))
    const label = `Uplift of conversion against the control. ${verdicts.join('. ')}`
    draw('experiments', chartOf('experiments'), { rows }, label)
  },

  minutes(rows, { now }) {
    const slots = lastHour(now)
    table(
      'minutes',
      'Events by minute and name in the last hour, UTC, newest first',
      ['Minute', 'Name', 'Events'],
      rows.toSorted((a, b) => (a.minute < b.minute ? 1 : a.minute > b.minute ? -1 : b.events - a.events)).map((row) => [
        row.minute.slice(11, 16),
        row.name,
        count(row.events),
      ]),
      [1],
    )
    const total = rows.reduce((sum, row) => sum + row.events, 0)
    const label = `Events per minute in the last hour: ${count(total)} events of ${namesTold(rows)}.`
    draw('minutes', chartOf('minutes'), { slots, rows }, label)
  },

  health([row]) {
    const checks = healthOf(row)
    table(
      'health',
      'State of the pipeline',
      ['Check', 'Figure', 'State'],
      checks.map((it) => [it.title, it.figure, it.level]),
      [2],
    )
    const lines = checks.map((it) => {
      const sign = element('span', { className: 'sign' }, { good: '✓', warn: '!', unknown: '–' }[it.level])
      sign.ariaHidden = 'true'
      const word = { good: 'Good', warn: 'Look at it', unknown: 'Nothing yet' }[it.level]
      const line = element(
        'div',
        { className: 'check' },
        sign,
        element('span', {}, it.title),
        element('span', { className: 'figure' }, it.figure),
        element('span', { className: 'told' }, element('span', { className: 'level' }, word), ` · ${it.told}`),
      )
      line.dataset.level = it.level
      line.dataset.check = it.name
      return line
    })
    panelOf('health').querySelector('.checks').replaceChildren(...lines)
  },
}

/** Firehose waits for a minute and a file for a minute more: what takes longer waits for something else. */
const SLOW_SECONDS = 150
/** A stream that was busy in the last day and has been silent so long. */
const SILENT_SECONDS = 15 * 60
/** dbt runs every quarter of an hour on AWS: four runs were missed. */
const DBT_LATE_SECONDS = 3600
/** Events since dbt's last run are counted this far back. */
const COUNTED_SECONDS = 86_400

/** Rows know the second that they were stored in, no more: what took less was stored within one. */
const within = (seconds) => (seconds < 1 ? '1 s' : span(seconds))

function dbtTold({ dbt_finished_seconds_ago: ago, events_since_dbt: events }) {
  if (ago == null) return 'run dbt to build the marts'
  return `${count(events)} events since${ago < COUNTED_SECONDS ? '' : ', of the last day'}`
}

function healthOf(row) {
  const level = (value, limit) => (value == null ? 'unknown' : value > limit ? 'warn' : 'good')
  const p50 = row.stored_within_seconds_p50
  const p95 = row.stored_within_seconds_p95
  const late = level(row.dbt_finished_seconds_ago, DBT_LATE_SECONDS)
  // Old marts are no fault while there is nothing new to build them from, which is only known of a day.
  const nothingNew = row.events_since_dbt === 0 && row.dbt_finished_seconds_ago < COUNTED_SECONDS
  return [
    {
      name: 'newest',
      title: 'Newest event',
      figure: row.newest_event_age_seconds == null ? none : `${span(row.newest_event_age_seconds)} ago`,
      level: level(row.newest_event_age_seconds, SILENT_SECONDS),
      told: row.newest_event_age_seconds == null ? 'none received in the last day' : 'received and stored',
    },
    {
      name: 'stored',
      title: 'Stored within',
      figure: p95 == null ? none : `${within(p50)} / ${within(p95)}`,
      level: level(p95, SLOW_SECONDS),
      told: 'half / 95 % of the last hour',
    },
    {
      name: 'quarantine',
      title: 'Quarantine',
      figure: count(row.quarantine_open),
      level: level(row.quarantine_open, 0),
      told: row.quarantine_open ? 'lines wait to be replayed' : 'no line waits to be replayed',
    },
    {
      name: 'dbt',
      title: 'Last dbt run',
      figure: row.dbt_finished_seconds_ago == null ? none : `${span(row.dbt_finished_seconds_ago)} ago`,
      level: late === 'warn' && nothingNew ? 'good' : late,
      told: dbtTold(row),
    },
  ]
}

/** How many names there are; those that are summed up are not one. */
function namesTold(rows) {
  const names = new Set(rows.map((row) => row.name))
  const others = names.delete('other') ? ' and others' : ''
  return `${names.size} ${names.size === 1 ? 'name' : 'names'}${others}`
}

const chartOf = (name) => panelOf(name).querySelector('.chart')

/** Each day of a range as `YYYY-MM-DD`. */
function daysBetween(from, to) {
  const days = []
  for (let at = Date.parse(from); at <= Date.parse(to); at += 86_400_000) days.push(new Date(at).toISOString().slice(0, 10))
  return days
}

/** The sixty minutes that end with the one of `now`, as the answer writes them. */
function lastHour(now) {
  const end = Math.floor(Date.parse(now) / 60_000) * 60_000
  return Array.from({ length: 60 }, (_, at) => new Date(end - (59 - at) * 60_000).toISOString().replace('.000Z', 'Z'))
}

/** Shows one panel of an answer: its rows, that there are none, or its error. */
export function show(name, panel, more) {
  if (panel.error) return failed(name, panel.error)
  if (!panel.rows.length || (name === 'funnel' && !panel.rows.some((row) => row.users))) {
    return notice(name, 'empty', ...(EMPTY[name] ?? ['No events yet', NO_EVENTS]))
  }
  // Before it is drawn: a chart takes the size of its place.
  state(name, 'ready')
  SHOW[name](panel.rows, more)
}

function figure(name, value, ...change) {
  const box = document.querySelector(`[data-figure="${name}"]`)
  box.querySelector('.value').textContent = value
  box.querySelector('.change').replaceChildren(...change)
}

const DAY_MS = 86_400_000
const dateOf = (ms) => new Date(ms).toISOString().slice(0, 10)

/** The last day that was over when dbt last finished, or why it is not known. Later days are in the mart too, but not whole. */
function lastFullDay(live) {
  const row = live?.health?.rows?.[0]
  if (!row) return { why: 'not known yet' }
  if (row.dbt_finished_seconds_ago == null) return { why: 'dbt never ran' }
  const finished = Date.parse(live.now) - row.dbt_finished_seconds_ago * 1000
  return { date: dateOf(Math.floor(finished / DAY_MS) * DAY_MS - DAY_MS) }
}

/** How a figure changed since the day a week before. */
function changeOf(now, then) {
  if (then == null) return ['no day a week before in range']
  // Nothing is a percentage of nobody.
  if (then === 0) return ['0 a week before']
  const change = now / then - 1
  const sign = change > 0 ? '▲ +' : change < 0 ? '▼ −' : '= '
  return [element('b', {}, sign + percent(Math.abs(change))), ' vs. week before']
}

/** Why there is no row of that day. */
function missingDay({ panel, range }, date) {
  if (panel.error) return 'not known'
  return date < range.from || date > range.to ? 'this day is not in range' : 'no figures of this day'
}

/** The last full day's users. `activity` is that panel with its range, or `why` there is none; `live` the answer that knows dbt's last run. */
export function keyUsers(activity, live) {
  const { date, why } = lastFullDay(live)
  const rows = activity?.panel?.rows ?? []
  const last = rows.find((row) => row.date === date)
  const then = date && rows.find((row) => row.date === dateOf(Date.parse(date) - 7 * DAY_MS))
  const reason = activity?.why ?? why ?? (activity ? missingDay(activity, date) : 'not known yet')
  for (const when of document.querySelectorAll('[data-figure] .when')) when.textContent = date ? day(date) : ''
  for (const key of ['dau', 'wau', 'mau']) {
    if (last) figure(key, count(last[key]), ...changeOf(last[key], then?.[key]))
    else figure(key, none, reason)
  }
}

/** How many of the sixty minutes have surely arrived: an event counts in the minute of its own time, and the stream keeps it back a while. */
const settledMinutes = (now, slots) => slots.filter((slot) => Date.parse(slot) + 60_000 + SLOW_SECONDS * 1000 <= Date.parse(now)).length

/** The figures of now; gives what is read aloud. */
export function keyLive({ now, minutes, health }) {
  const age = health.rows?.[0]?.newest_event_age_seconds
  figure('age', span(age), age == null ? (health.error ? 'not known' : 'no events in the last day') : 'since the newest event')
  if (!minutes.rows) {
    figure('rate', none, 'not known')
    return 'Figures of now are not known.'
  }
  const all = lastHour(now)
  const slots = all.slice(0, settledMinutes(now, all))
  const newest = slots.at(-1)
  const full = minutes.rows.filter((row) => row.minute <= newest)
  const last = full.filter((row) => row.minute === newest).reduce((sum, row) => sum + row.events, 0)
  const mean = full.reduce((sum, row) => sum + row.events, 0) / slots.length
  const when = `${newest.slice(11, 16)} UTC`
  figure('rate', count(last), `at ${when}; mean ${mean < 10 ? mean.toFixed(1) : count(Math.round(mean))}`)
  return `${when}: ${count(last)} events in the minute.`
}
