// The charts: what ECharts is told, from the rows of the panels. Colours come from page.css, so that a theme is told once.

const charts = new Map()
const fontFamily = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
const still = matchMedia('(prefers-reduced-motion: reduce)')

const number = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const percent = (part) => `${(part * 100).toFixed(1)} %`

/** More names than these are one colour: nobody tells a seventh from the others. */
const COLOURED_NAMES = 6
/** More variants than these are in the table only. */
const MOST_VARIANTS = 8

/** The value of a colour of page.css in the theme that is on: `light-dark()` is only resolved where it is used. */
function colours() {
  const probe = document.createElement('i')
  document.body.append(probe)
  const read = (name) => {
    probe.style.color = `var(--${name})`
    return getComputedStyle(probe).color
  }
  const found = {
    ink: read('ink'),
    soft: read('soft'),
    line: read('line'),
    sheet: read('sheet'),
    other: read('series-other'),
    series: [1, 2, 3, 4, 5, 6].map((at) => read(`series-${at}`)),
  }
  probe.remove()
  return found
}

/** A tooltip as nodes: what a page or an event is called is a stranger's text, and never becomes HTML. */
function tip(title, lines) {
  const head = document.createElement('b')
  head.textContent = title
  const rows = lines.map(([colour, name, value]) => {
    const row = document.createElement('div')
    const label = document.createElement('span')
    if (colour) {
      const mark = document.createElement('i')
      mark.style.background = colour
      label.append(mark)
    }
    label.append(name)
    const figure = document.createElement('span')
    figure.textContent = value
    row.append(label, figure)
    return row
  })
  return [head, ...rows]
}

function base(colour, own) {
  return {
    animation: false,
    textStyle: { fontFamily, fontSize: 12, color: colour.soft },
    grid: { left: 4, right: 12, top: 34, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    ...own,
    // Confined, or it is cut off on a phone.
    tooltip: { className: 'tip', confine: true, transitionDuration: still.matches ? 0 : 0.15, ...own.tooltip },
  }
}

const axisText = (colour) => ({ color: colour.soft, fontFamily, fontSize: 12, hideOverlap: true })

function valueAxis(colour, own) {
  return {
    type: 'value',
    minInterval: 1,
    splitNumber: 4,
    axisLabel: { ...axisText(colour), formatter: (value) => short.format(value) },
    splitLine: { lineStyle: { color: colour.line } },
    ...own,
  }
}

function categoryAxis(colour, data, own) {
  return {
    type: 'category',
    data,
    axisLabel: axisText(colour),
    axisLine: { lineStyle: { color: colour.soft } },
    axisTick: { show: false },
    ...own,
  }
}

const legend = (colour, own) => ({
  left: 0,
  top: 0,
  type: 'scroll',
  itemGap: 16,
  itemHeight: 10,
  pageIconColor: colour.ink,
  pageTextStyle: { color: colour.soft },
  textStyle: { color: colour.ink, fontFamily, fontSize: 12 },
  ...own,
})

/** A day as it is said. */
export const day = (date) =>
  new Date(`${date}T00:00:00Z`).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })

/** Three lines over every day of the range; a day that the mart does not hold is a gap. They differ by their dashes too. */
function activity({ days, rows }, colour) {
  const at = new Map(rows.map((row) => [row.date, row]))
  const lines = [
    ['Daily', 'dau', 'solid'],
    ['Weekly', 'wau', [7, 4]],
    ['Monthly', 'mau', [2, 3]],
  ]
  return base(colour, {
    legend: legend(colour, { itemWidth: 28 }),
    tooltip: {
      trigger: 'axis',
      formatter: (points) =>
        tip(
          points[0].axisValue,
          points.map((it) => [it.color, it.seriesName, it.value == null ? 'no figure' : number.format(it.value)]),
        ),
    },
    xAxis: categoryAxis(colour, days, {
      boundaryGap: false,
      axisLabel: { ...axisText(colour), formatter: day, alignMinLabel: 'left', alignMaxLabel: 'right' },
    }),
    yAxis: valueAxis(colour),
    series: lines.map(([name, key, dashes], which) => ({
      name,
      type: 'line',
      data: days.map((date) => at.get(date)?.[key] ?? null),
      // A day between two gaps has no line, so that it needs a symbol.
      showSymbol: rows.length < 3,
      symbolSize: 6,
      symbol: 'circle',
      color: colour.series[which],
      lineStyle: { width: 2.25, type: dashes },
    })),
  })
}

/** Stacked bars of the last sixty minutes by name. */
function minutes({ slots, rows }, colour, width) {
  const totals = new Map()
  for (const row of rows) totals.set(row.name, (totals.get(row.name) ?? 0) + row.events)
  const named = [...totals]
    .filter(([name]) => name !== 'other')
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .map(([name]) => name)
  const shown = named.slice(0, COLOURED_NAMES)
  const rest = totals.size > shown.length ? ['other'] : []
  const sums = new Map()
  for (const row of rows) {
    const name = shown.includes(row.name) ? row.name : 'other'
    const key = `${name} ${row.minute}`
    sums.set(key, (sums.get(key) ?? 0) + row.events)
  }
  return base(colour, {
    legend: legend(colour, { itemWidth: 10, icon: 'roundRect' }),
    tooltip: {
      trigger: 'axis',
      axisPointer: { type: 'shadow' },
      formatter: (points) =>
        tip(
          `${points[0].axisValue} UTC`,
          points.filter((it) => it.value).map((it) => [it.color, it.seriesName, number.format(it.value)]),
        ),
    },
    xAxis: categoryAxis(
      colour,
      slots.map((slot) => slot.slice(11, 16)),
      { axisLabel: { ...axisText(colour), interval: (at) => (slots.length - 1 - at) % 10 === 0 } },
    ),
    yAxis: valueAxis(colour),
    series: [...shown, ...rest].map((name, which) => ({
      name,
      type: 'bar',
      stack: 'events',
      barCategoryGap: '20%',
      color: name === 'other' ? colour.other : colour.series[which],
      // A line of the ground between the parts, so that they are told apart without their colours, if there is room.
      itemStyle: { borderColor: colour.sheet, borderWidth: width < 500 ? 0 : 0.5 },
      data: slots.map((slot) => sums.get(`${name} ${slot}`) ?? 0),
    })),
  })
}

/** A bar a step, with how many of the step before it got there. */
function funnel({ rows }, colour) {
  const most = Math.max(1, ...rows.map((row) => row.users))
  return base(colour, {
    grid: { left: 0, right: 0, top: 4, bottom: 4, containLabel: false },
    tooltip: {
      trigger: 'item',
      formatter: ({ dataIndex }) => {
        const row = rows[dataIndex]
        const lines = [[null, 'Users a day, added up', number.format(row.users)]]
        if (row.conversion_from_first != null) lines.push([null, 'Of the first step', percent(row.conversion_from_first)])
        if (row.conversion_from_previous != null) {
          lines.push([null, 'Of the step before', percent(row.conversion_from_previous)])
        }
        return tip(row.step_name, lines)
      },
    },
    xAxis: { type: 'value', max: most, show: false },
    yAxis: categoryAxis(
      colour,
      rows.map((row) => row.step_name),
      { inverse: true, axisLabel: { show: false }, axisLine: { show: false } },
    ),
    series: [
      {
        type: 'bar',
        barWidth: 14,
        showBackground: true,
        backgroundStyle: { color: colour.line, borderRadius: 4 },
        itemStyle: { borderRadius: 4 },
        color: colour.series[0],
        data: rows.map((row) => row.users),
        // Above its bar, so that a long name has the whole width.
        label: {
          show: true,
          position: [0, -20],
          color: colour.ink,
          fontFamily,
          fontSize: 13,
          rich: { rate: { color: colour.soft, fontSize: 12, fontFamily } },
          formatter: ({ dataIndex }) => {
            const row = rows[dataIndex]
            const before = row.conversion_from_previous
            // Braces would start a style of ECharts.
            const name = row.step_name.replace(/[{}|]/g, ' ')
            const rate = before == null ? '' : `{rate|   ${percent(before)} of the step before}`
            return `${name}   ${number.format(row.users)}${rate}`
          },
        },
      },
    ],
  })
}

/** Whether an interval can be told: without any spread in a variant there is none. */
export const bounded = (row) => row.uplift_low != null && row.uplift_high != null

/** A dot and an interval for each variant that is compared with a control, around a line at zero. */
function experiments({ rows }, colour) {
  const compared = rows.filter((row) => row.uplift != null).slice(0, MOST_VARIANTS)
  const names = compared.map((row) => `${row.experiment}\n${row.variant}`)
  const shades = [colour.series[0], colour.series[1]]
  // Zero is within: what is beyond it is the difference.
  const sure = (row) => bounded(row) && (row.uplift_low > 0 || row.uplift_high < 0)
  const signed = (part) => `${part > 0 ? '+' : part < 0 ? '−' : ''}${Math.round(Math.abs(part) * 100)} %`
  return base(colour, {
    grid: { left: 0, right: 20, top: 8, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: {
      trigger: 'item',
      formatter: ({ data }) => {
        const row = compared[data.at]
        const lines = [[null, 'Uplift', percent(row.uplift)]]
        if (bounded(row)) {
          lines.push([null, 'Confidence interval', `${percent(row.uplift_low)} to ${percent(row.uplift_high)}`])
        }
        lines.push([null, 'Users', number.format(row.users)])
        return tip(`${row.experiment}: ${row.variant}`, lines)
      },
    },
    xAxis: valueAxis(colour, {
      minInterval: 0.01,
      min: ({ min }) => Math.min(min * 1.1, -0.02),
      max: ({ max }) => Math.max(max * 1.1, 0.02),
      axisLabel: { ...axisText(colour), formatter: signed, showMinLabel: false, showMaxLabel: false },
    }),
    yAxis: categoryAxis(colour, names, {
      inverse: true,
      axisLine: { show: false },
      axisLabel: { ...axisText(colour), width: 130, overflow: 'truncate', lineHeight: 15, interval: 0, hideOverlap: false },
    }),
    series: [
      ...compared
        .map((row, at) => ({ row, at }))
        .filter(({ row }) => bounded(row))
        .map(({ row, at }) => ({
          type: 'line',
          symbol: 'rect',
          symbolSize: [2.5, 14],
          color: sure(row) ? shades[0] : colour.other,
          lineStyle: { width: 2.5 },
          data: [
            { value: [row.uplift_low, at], at },
            { value: [row.uplift_high, at], at },
          ],
        })),
      {
        type: 'scatter',
        symbolSize: 12,
        z: 5,
        data: compared.map((row, at) => ({
          value: [row.uplift, at],
          at,
          // Filled when the interval leaves zero out, hollow when it does not.
          itemStyle: {
            color: sure(row) ? shades[0] : colour.sheet,
            borderColor: sure(row) ? shades[0] : colour.other,
            borderWidth: 2.5,
            opacity: 1,
          },
        })),
        markLine: {
          silent: true,
          symbol: 'none',
          label: { show: false },
          lineStyle: { color: colour.ink, type: 'solid', width: 1 },
          data: [{ xAxis: 0 }],
        },
      },
    ],
  })
}

const OPTIONS = { activity, minutes, funnel, experiments }

/** Draws a panel's chart, and again whenever its size or the theme changes. `label` says its gist to those who do not see it. */
export function draw(name, element, data, label) {
  element.setAttribute('aria-label', label)
  let known = charts.get(name)
  if (!known) {
    const chart = window.echarts.init(element, null, { renderer: 'canvas' })
    new ResizeObserver(() => element.clientWidth && chart.resize()).observe(element)
    known = { chart, selected: {} }
    // What somebody has switched off in the legend stays off.
    chart.on('legendselectchanged', ({ selected }) => Object.assign(charts.get(name).selected, selected))
    charts.set(name, known)
  }
  known.data = data
  paint(name, known, colours(), element.clientWidth)
}

function paint(name, { chart, data, selected }, colour, width) {
  const option = OPTIONS[name](data, colour, width)
  if (option.legend) option.legend.selected = selected
  chart.setOption(option, { notMerge: true })
}

/** Draws all charts in the theme that is on now. */
export function redraw() {
  const now = colours()
  for (const [name, known] of charts) paint(name, known, now, known.chart.getWidth())
}
