// What the pages of attention and of convolution share: tables in which every number has its
// gradient below it. One number is chosen; it can be moved, and its gradient is written out as a
// sum and held against a finite difference. The page itself brings the arithmetic.
window.playTables = (() => {
'use strict'
const H = .001  // by how much the finite difference pushes

/** A number with at most so many digits, with a real minus sign. */
function num(x, digits = 4) {
  const size = Math.abs(x), s = size && (size < 1e-4 || size >= 1e6)
    ? x.toExponential(digits - 1).replace(/\.?0*e/, 'e') : `${Number(x.toPrecision(digits)) + 0}`
  return s.replaceAll('-', '−').replace('Infinity', '∞')
}
/** The same for a small place: three decimals. 0 is written for 0 alone, up to rounding errors. */
function short(x) {
  if (!Number.isFinite(x)) return num(x)
  const s = x.toFixed(3)
  return Math.abs(x) < 1e-12 ? '0' : (Number(s) ? `${Number(s)}` : s).replace('-', '−')
}
const sum = numbers => numbers.reduce((total, n) => total + n, 0)

/** An HTML element, or an SVG one when its parent is one. */
function make(tag, attrs = {}, parent, text) {
  const el = parent instanceof SVGElement || tag === 'svg'
    ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag)
  for (const [key, value] of Object.entries(attrs)) el.setAttribute(key, value)
  if (text !== undefined) el.textContent = text
  parent?.append(el)
  return el
}

// A number is called as in Python: 'q[2,0]', its gradient 'q.g[2,0]'; a table of one is 'b'.
const split = name => [name.split('[')[0], ...(name.match(/\d+/g) ?? [0, 0]).map(Number)]
const get = (tables, name) => { const [key, i, j] = split(name); return tables[key][i][j] }
const graded = name => name.includes('[') ? name.replace('[', '.g[') : `${name}.g`
/** A copy of `tables` in which the number `name` is `value`. */
function set(tables, name, value) {
  const [key, i, j] = split(name), copy = structuredClone(tables)
  copy[key][i][j] = value
  return copy
}
/** The table under `key`, with the push that a finite difference gives to one of its numbers. */
const pushed = (key, table, push) => push && split(push.name)[0] === key
  ? set({[key]: table}, push.name, get({[key]: table}, push.name) + push.by)[key] : table
const name = (key, i, j, table) => table.length * table[0].length > 1 ? `${key}[${i},${j}]` : key

const WIGGLE = `<div class="wiggle"><span id="play-name"></span>
    <input type="range" id="play-wiggle" min="-3" max="3" step="0.1">
    <output id="play-value" class="value" for="play-wiggle" aria-live="off" aria-label="its value"></output>
    <output id="play-grad" class="grad" for="play-wiggle" aria-label="its gradient"></output></div>`
const PROOF = `<div class="proof">
    <section aria-labelledby="play-h-sum"><h2 id="play-h-sum">Written out</h2>
      <div class="terms" tabindex="0" role="group" aria-labelledby="play-h-sum">
        <table id="play-terms"></table></div>
      <p id="play-note"></p></section>
    <section aria-labelledby="play-h-slope"><h2 id="play-h-slope">The finite difference</h2>
      <p>Push <span id="play-pushed" class="name"></span> by h = ${H} up and down, and watch L.</p>
      <table class="digits">
        <tr class="seen"><th scope="row">L, pushed up</th><td id="play-above"></td></tr>
        <tr class="seen"><th scope="row">L, pushed down</th><td id="play-below"></td></tr>
        <tr><th scope="row">difference / 2h</th><td id="play-slope"></td></tr>
        <tr><th scope="row">gradient</th><td id="play-exact"></td></tr></table>
      <p id="play-agree"></p></section>
  </div>`

/** The page. `forward(state, push)` gives all tables and L, `backward(state, values)` the gradients
    under the names of the tables, `terms(name, state, values, g)` the sum: lists of factors
    [what it is, number], and a note. A table of `tables` is {key, title}; `right` or `below` give
    a further column or row, {head, cells(values, g)} with [above, below] in each cell; `bar`
    draws one in each cell, the value as a 'part' of 1 or the gradient to 'both' sides; `tags` leave
    a line for the page to write in. */
function tablesPage({start, chosen, tables, forward, backward, terms, shown = () => {},
                     lights = () => {}}) {
  const page = document.getElementById('play'), $ = id => document.getElementById(`play-${id}`)
  const first = chosen
  let state = start, values, g, spots
  $('tables').insertAdjacentHTML('afterend', WIGGLE + PROOF)

  /** The element that shows a number: a field, if it can be set, else a button or plain text. */
  function spot(cell, n, own, kind) {
    const [key] = split(n), field = key in state
    const el = make(field ? 'input' : kind === 'value' ? 'button' : 'span', {class: kind, ...field
      ? {type: 'number', step: .1, min: -9, max: 9, 'aria-label': n, autocomplete: 'off'}
      : kind === 'value' ? {type: 'button', tabindex: own === chosen ? 0 : -1} : {}}, cell)
    if (field) el.addEventListener('input', () => Number.isFinite(el.valueAsNumber)
      && put(n, Math.min(9, Math.max(-9, el.valueAsNumber))))
    el.addEventListener(field ? 'focus' : 'click', () => choose(own))
    spots[n] = el
  }
  function build() {
    spots = {}
    $('tables').replaceChildren()
    for (const {key, title, right, below, bar, tags} of tables) {
      const t = values[key], table = make('table', {'data-table': key}, $('tables'))
      make('caption', {}, table, title)
      const head = make('tr', {}, make('thead', {}, table)), body = make('tbody', {}, table)
      make('td', {}, head)
      const many = t.length * t[0].length > 1
      t[0].forEach((_, j) => make('th', {scope: 'col'}, head, many ? j : ''))
      if (right) make('th', {scope: 'col', class: 'extra'}, head, right.head)
      t.forEach((row, i) => {
        const tr = make('tr', {}, body)
        make('th', {scope: 'row'}, tr, many ? i : '')
        row.forEach((_, j) => {
          const n = name(key, i, j, t), cell = make('td', {'data-cell': n}, tr)
          spot(cell, n, n, 'value')
          spot(cell, graded(n), n, 'grad')
          if (tags) make('span', {class: 'tag'}, cell)
          if (bar) make('i', {class: `bar ${bar}`}, cell)
        })
        if (right) make('td', {class: 'extra'}, tr)
      })
      if (!below) continue
      const last = make('tr', {}, make('tfoot', {}, table))
      make('th', {scope: 'row', class: 'extra'}, last, below.head)
      t[0].forEach(() => make('td', {class: 'extra'}, last))
    }
  }
  function fill() {
    for (const [n, el] of Object.entries(spots)) {
      const key = split(n)[0], x = n.includes('.g') ? get(g, n.replace('.g', '')) : get(values, n)
      if (el.tagName !== 'INPUT') el.textContent = short(x)
      else if (el.valueAsNumber !== x) el.value = Number(x.toFixed(6))
      if (el.tagName === 'BUTTON') {
        el.setAttribute('aria-label', `${n} is ${short(x)}, gradient ${short(get(g, n))}`)
        el.parentElement.classList.toggle('masked', x === -Infinity)
      }
    }
    for (const {key, right, below, bar} of tables) {
      for (const [extra, where] of [[right, 'tbody'], [below, 'tfoot']]) {
        const cells = [...page.querySelectorAll(`[data-table="${key}"] ${where} td.extra`)]
        extra?.cells(values, g).forEach(([over, under], i) => {
          cells[i].replaceChildren()
          make('span', {class: 'value'}, cells[i], over)
          make('span', {class: 'grad'}, cells[i], under)
        })
      }
      if (bar) for (const el of page.querySelectorAll(`[data-table="${key}"] .bar`)) {
        const n = el.parentElement.dataset.cell, most = Math.max(...g[key].flat().map(Math.abs))
        const size = bar === 'both' ? 50 * get(g, n) / (most || 1) : 100 * get(values, n)
        el.style.left = `${bar === 'both' ? 50 + Math.min(0, size) : 0}%`
        el.style.width = `${Math.abs(size)}%`
      }
    }
  }

  /** Frame the numbers in the sum for `n`, and mark its own cell. */
  function light(n) {
    const list = terms(n, state, values, g).factors, said = list.flat().map(f => f[0]).join(' ')
    const lit = new Set(said.match(/[A-Za-z]+(?:\.g)?\[\d+,\d+\]/g))
    for (const [m, el] of Object.entries(spots)) el.classList.toggle('lit', lit.has(m))
    for (const el of page.querySelectorAll('[data-cell]'))
      el.classList.toggle('on', el.dataset.cell === n)
    lights(n, list, m => spots[m].parentElement)
  }
  const product = factors => factors.reduce((p, f) => p * f[1], 1)
  function writeOut() {
    const {of = graded(chosen), factors, note = ''} = terms(chosen, state, values, g)
    const joined = list => list.join(' · ').replace(/· \//g, '/')
    const number = ([says, x]) => says.startsWith('/') ? says : x < 0 ? `(${num(x)})` : num(x)
    const rows = factors.map(f =>
      [joined(f.map(([says]) => says)), joined(f.map(number)), product(f)])
    const total = sum(factors.map(product))
    $('terms').className = of === graded(chosen) ? '' : 'seen'
    $('terms').replaceChildren(...[...rows, [of, '', total]].map(([says, numbers, x], k) => {
      const tr = make('tr', k < rows.length ? x ? {} : {class: 'zero'} : {class: 'total'})
      make('th', {scope: 'row'}, tr, says)
      if (k < rows.length) make('td', {}, tr, numbers)
      make('td', {colspan: k < rows.length ? 1 : 2}, tr, k && k < rows.length && x >= 0
        ? `+ ${num(x)}` : `${k < rows.length ? '' : '= '}${num(Math.abs(x) < 1e-12 ? 0 : x)}`)
      return tr
    }))
    $('note').textContent = note
  }
  function slope() {
    const [up, down] = [H, -H].map(by => forward(state, {name: chosen, by}).L)
    const diff = (up - down) / (2 * H), exact = get(g, chosen)
    const shows = {above: up, below: down, slope: diff, exact}
    for (const [id, x] of Object.entries(shows)) $(id).textContent = num(x, 9)
    $('agree').textContent = `They are ${num(Math.abs(diff - exact), 2)} apart.`
    $('pushed').textContent = chosen
  }
  function bar() {
    const n = moved(), slider = $('wiggle')
    $('name').textContent = n ?? chosen
    $('value').textContent = short(get(values, chosen))
    $('grad').textContent = short(get(g, chosen))
    slider.disabled = !n
    slider.setAttribute('aria-label', `slider for ${n ?? chosen}`)
    slider.value = n ? get(state, n) : 0
    slider.setAttribute('aria-valuetext', n ? num(get(state, n)) : 'computed')
  }
  /** What the slider moves: the chosen number, or its gradient where that is what is given. */
  const moved = () => [chosen, graded(chosen)].find(n => split(n)[0] in state)

  function show() {
    values = forward(state)
    g = backward(state, values)
    const old = $('tables').querySelectorAll('[data-cell]').length
    if (old !== sum(tables.map(({key}) => values[key].flat().length))) build()
    if (!(chosen in spots)) chosen = first
    $('loss').textContent = `L = ${num(values.L)}`
    fill()
    light(chosen)
    writeOut()
    slope()
    bar()
    shown({state, values, g, chosen})
  }
  function choose(n) {
    if (spots[chosen]?.tagName === 'BUTTON') spots[chosen].tabIndex = -1
    chosen = n
    const [key] = split(n)
    for (const el of page.querySelectorAll(`[data-table="${key}"] button`)) el.tabIndex = -1
    if (spots[n].tagName === 'BUTTON') spots[n].tabIndex = 0
    show()
  }
  function put(n, x) { state = set(state, n, x); show() }
  function renew(next) { state = {...state, ...next}; show() }
  const inputs = () => Object.keys(start).filter(key => Array.isArray(start[key]))
  const filled = (keys, f) => renew(Object.fromEntries(keys.map(key =>
    [key, state[key].map(row => row.map(f))])))

  $('wiggle').addEventListener('input', () => put(moved(), $('wiggle').valueAsNumber))
  $('reset').addEventListener('click', () => { state = start; show() })
  $('random').addEventListener('click', () => filled(inputs(), () =>
    Math.round(Math.random() * 40 - 20) / 10))
  $('clear').addEventListener('click', () => filled(['out.g'], () => 0))
  // a pointer shows what belongs to a number before it is chosen
  $('tables').addEventListener('pointerover', ev => light(
    ev.target.closest('[data-cell]')?.dataset.cell ?? chosen))
  $('tables').addEventListener('pointerleave', () => light(chosen))
  $('tables').addEventListener('click', ev => {
    const n = ev.target.closest('[data-cell]')?.dataset.cell
    if (n && n !== chosen) choose(n)
  })
  const MOVES = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}
  $('tables').addEventListener('keydown', ev => {
    if (ev.target.tagName !== 'BUTTON' || !MOVES[ev.key]) return
    const [key, i, j] = split(ev.target.parentElement.dataset.cell), [di, dj] = MOVES[ev.key]
    const next = spots[`${key}[${i + di},${j + dj}]`]
    if (!next) return
    ev.preventDefault()
    next.focus()
    next.click()
  })
  page.hidden = false
  show()
  return {choose, put, renew, state: () => state}
}
return {num, short, sum, make, split, pushed, tablesPage}
})()
