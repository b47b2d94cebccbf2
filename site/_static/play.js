// The page to play with: a network lin, relu, lin, mse for one example, small enough to see.
// First the arithmetic, pure functions on plain numbers and arrays; then the page that shows it.
(() => {
'use strict'

// ---- Arithmetic ---------------------------------------------------------------------------
// A network is {x: [d], y, w1: [d][m], b1: [m], w2: [m], b2}. A number of it has a name as in
// Python: 'x[0]', 'w1[1,0]', 'b2'. Gradients come in the same shape, under the same names.
const START = {x: [2, -1], y: 2, w1: [[.5, 1], [-1, 1.5]], b1: [-.5, .5], w2: [1, -1.2], b2: .2}
const PARAMS = ['w1', 'b1', 'w2', 'b2']

/** Names of all numbers in the array or number `t` that is called `name`. */
function names(name, t) {
  if (!Array.isArray(t)) return [name]
  if (!Array.isArray(t[0])) return t.map((_, i) => `${name}[${i}]`)
  return t.flatMap((row, j) => row.map((_, k) => `${name}[${j},${k}]`))
}
const split = name => [name.split('[')[0], ...(name.match(/\d+(?=[,\]])/g) ?? []).map(Number)]

function get(net, name) {
  const [key, ...at] = split(name)
  return at.reduce((t, i) => t[i], net[key])
}
/** A copy of `net` in which the number `name` is `value`. */
function set(net, name, value) {
  const [key, ...at] = split(name), copy = structuredClone(net)
  if (!at.length) copy[key] = value
  else at.slice(0, -1).reduce((t, i) => t[i], copy[key])[at.at(-1)] = value
  return copy
}

function forward({x, y, w1, b1, w2, b2}) {
  const z1 = b1.map((b, k) => x.reduce((sum, xj, j) => sum + xj * w1[j][k], b))   // lin
  const a = z1.map(z => Math.max(0, z))                                           // relu
  const z2 = a.reduce((sum, ak, k) => sum + ak * w2[k], b2)                       // lin
  return {z1, a, z2, L: (z2 - y) ** 2}                                            // mse
}

/** The gradient of L for every number of `net`, and for z1, a, z2 and L on the way. */
function backward(net, {z1, a, z2} = forward(net)) {
  const {x, y, w1, w2} = net, L = 1
  const g2 = 2 * (z2 - y) * L                                                     // mse
  const ga = w2.map(w => w * g2)                                                  // lin
  const g1 = ga.map((g, k) => z1[k] > 0 ? g : 0)                                  // relu
  return {L, z2: g2, y: -g2, w2: a.map(ak => ak * g2), b2: g2, a: ga,
          z1: g1, w1: x.map(xj => g1.map(g => xj * g)), b1: g1,                   // lin
          x: w1.map(row => row.reduce((sum, w, k) => sum + w * g1[k], 0))}
}

/** Every arrow of the graph with its local derivative, as a number and as it is written. */
function arrows(net, {z1, a, z2} = forward(net)) {
  const list = [], add = (from, to, rate, says) => list.push({from, to, rate, says})
  net.b1.forEach((_, k) => {
    net.x.forEach((xj, j) => {
      add(`w1[${j},${k}]`, `z1[${k}]`, xj, `x[${j}]`)
      add(`x[${j}]`, `z1[${k}]`, net.w1[j][k], `w1[${j},${k}]`)
    })
    add(`b1[${k}]`, `z1[${k}]`, 1, '1')
    add(`z1[${k}]`, `a[${k}]`, z1[k] > 0 ? 1 : 0,
        z1[k] > 0 ? `1, as z1[${k}] > 0` : `0, as z1[${k}] ≤ 0`)
    add(`a[${k}]`, 'z2', net.w2[k], `w2[${k}]`)
    add(`w2[${k}]`, 'z2', a[k], `a[${k}]`)
  })
  add('b2', 'z2', 1, '1')
  add('z2', 'L', 2 * (z2 - net.y), '2 (z2 − y)')
  add('y', 'L', -2 * (z2 - net.y), '−2 (z2 − y)')
  return list
}

/** All ways from the number `name` to L: lists of arrows, the one at the loss first. */
function paths(list, name) {
  if (name === 'L') return [[]]
  return list.filter(e => e.from === name).flatMap(e => paths(list, e.to).map(p => [...p, e]))
}
const product = path => path.reduce((total, e) => total * e.rate, 1)
const sum = numbers => numbers.reduce((total, n) => total + n, 0)

/** Centred difference for one number: L on both sides, its slope, units that switch between. */
function slope(net, name, h) {
  const [dn, up] = [-h, h].map(d => set(net, name, get(net, name) + d))
  const [below, above] = [dn, up].map(forward)
  const kinks = net.b1.map((_, k) => k).filter(k => (below.z1[k] > 0) !== (above.z1[k] > 0))
  return {below, above, kinks, slope: (above.L - below.L) / (get(up, name) - get(dn, name))}
}

/** One step of gradient descent for weights and biases; the example stays as it is. */
function step(net, lr) {
  const g = backward(net)
  const less = (t, gt) => Array.isArray(t) ? t.map((ti, i) => less(ti, gt[i])) : t - lr * gt
  return {...net, ...Object.fromEntries(PARAMS.map(key => [key, less(net[key], g[key])]))}
}

/** A number with at most so many digits, with a real minus sign. */
function num(x, digits = 4) {
  const size = Math.abs(x), s = size && (size < 1e-4 || size >= 1e6)
    ? x.toExponential(digits - 1).replace(/\.?0*e/, 'e') : `${Number(x.toPrecision(digits)) + 0}`
  return s.replaceAll('-', '−')
}

window.play = {START, names, get, set, forward, backward, arrows, paths, product, slope, step, num}

// ---- The page -----------------------------------------------------------------------------
const page = document.getElementById('play')
if (!page) return
const $ = id => document.getElementById(`play-${id}`)
const NAMES = Object.keys(START).flatMap(key => names(key, START[key]))
let net = START, chosen = 'w1[0,0]', losses = []

/** An HTML element, or an SVG one when `svg` is its parent. */
function make(tag, attrs = {}, parent, text) {
  const el = parent instanceof SVGElement || tag === 'svg'
    ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag)
  for (const [key, value] of Object.entries(attrs)) el.setAttribute(key, value)
  if (text !== undefined) el.textContent = text
  parent?.append(el)
  return el
}

// Places of the boxes: sources with their names, operations with their results. On a narrow page
// the units stand one below the other, and what was there before is taken up 'again'.
const OPS = {'z1[0]': 'lin', 'z1[1]': 'lin', 'a[0]': 'relu', 'a[1]': 'relu', z2: 'lin', L: 'mse'}
const column = (x, top, gap, list) => Object.fromEntries(list.map((n, i) => [n, [x, top + gap*i]]))
const WIDE = {size: [760, 510], at: {
  ...column(38, 24, 58, ['w1[0,0]', 'w1[1,0]', 'b1[0]']), ...column(38, 210, 90, ['x[0]', 'x[1]']),
  ...column(38, 370, 58, ['w1[0,1]', 'w1[1,1]', 'b1[1]']), 'z1[0]': [240, 140],
  'z1[1]': [240, 370], 'a[0]': [355, 90], 'a[1]': [355, 420],
  ...column(375, 183, 72, ['w2[0]', 'b2', 'w2[1]']), z2: [535, 255], L: [645, 255],
  y: [645, 345], end: [733, 255]}}
const NARROW = {size: [350, 930], at: {
  ...column(34, 24, 58, ['x[0]', 'x[1]', 'w1[0,0]', 'w1[1,0]', 'b1[0]']), 'z1[0]': [152, 140],
  'a[0]': [244, 140], 'end a[0]': [334, 140],
  ...column(34, 338, 58, ['again x[0]', 'again x[1]', 'w1[0,1]', 'w1[1,1]', 'b1[1]']),
  'z1[1]': [152, 454], 'a[1]': [244, 454], 'end a[1]': [334, 454],
  ...column(34, 652, 58, ['again a[0]', 'again a[1]', 'w2[0]', 'w2[1]', 'b2']),
  z2: [152, 768], L: [244, 768], y: [244, 858], end: [334, 768]}}

/** Arrows as they are drawn, from box to box: {from, to, value, g, on}. */
function lines(at, list, values, g, on) {
  const again = e => `again ${e.from}` in at && e.to !== 'z1[0]' ? 'again ' : ''
  const out = list.map(e => ({from: again(e) + e.from, to: e.to, value: get(values, e.from),
    g: e.rate * get(g, e.to), on: on.has(e)}))
  for (const a of Object.keys(at).filter(n => n.startsWith('end ')).map(n => n.slice(4)))
    out.push({from: a, to: `end ${a}`, value: get(values, a), g: get(g, a),
              on: list.some(e => e.to === a && on.has(e))})
  return [...out, {from: 'L', to: 'end', value: values.L, g: 1, on: on.size > 0}]
}

/** Half the width and height of a box. */
function half(n) {
  if (OPS[n]) return [20, n.startsWith('z') ? 55 : 22]
  return n.startsWith('end') ? [14, 9] : [33, 17]
}

function drawArrow(svg, [x1, y1], [x2, y2], e, spot) {
  const angle = Math.atan2(y2 - y1, x2 - x1) * 180 / Math.PI
  const [x, y] = [x1 + spot * (x2 - x1), y1 + spot * (y2 - y1)]
  const g = make('g', {class: e.on ? 'arrow on' : 'arrow', 'data-arrow': `${e.from} ${e.to}`}, svg)
  make('path', {d: `M${x1},${y1} L${x2},${y2}`, 'marker-end': 'url(#play-head)'}, g)
  const above = {transform: `translate(${x},${y}) rotate(${angle})`, y: -5}
  const below = {...above, y: 15}, beside = dx => ({x: x + dx, y: y + 8})
  make('text', {class: 'value', ...(x1 === x2 ? beside(-22) : above)}, g, num(e.value, 3))
  make('text', {class: 'grad', ...(x1 === x2 ? beside(22) : below)}, g, num(e.g, 3))
}

function drawBox(svg, n, [x, y], values, g, shared) {
  const name = n.replace(/^(end|again) ?/, '') || 'L', [w, h] = half(n)
  const shut = n.startsWith('a[') && get(values, name.replace('a', 'z1')) <= 0
  const kind = OPS[n] ? `op${shut ? ' closed' : ''}` : n.startsWith('end') ? 'end' : 'source'
  const box = make('g', {class: `box ${kind}`, 'data-box': n}, svg)
  if (NAMES.includes(name)) box.dataset.choose = name
  if (name === chosen) box.classList.add('on')
  if (kind !== 'end') make('rect', {x: x - w, y: y - h, width: 2*w, height: 2*h,
                                    rx: OPS[n] ? 12 : 4}, box)
  const two = OPS[n] || shared
  make('text', {x, y: y + (two ? -2 : 5)}, box, OPS[n] ?? name)
  if (two) make('text', {x, y: y + 13, class: OPS[n] ? 'small' : 'grad'}, box,
                OPS[n] ? shut ? 'closed' : name : `g = ${num(get(g, name), 3)}`)
}

/** The graph as an SVG: values above the arrows, gradients below them. */
function draw(values, g, list, on) {
  const {size, at} = $('graph').clientWidth < 600 ? NARROW : WIDE
  const svg = make('svg', {viewBox: `0 0 ${size.join(' ')}`, role: 'img',
                           'aria-labelledby': 'play-title', 'aria-describedby': 'play-desc'})
  make('title', {id: 'play-title'}, svg, 'The network as a graph')
  make('desc', {id: 'play-desc'}, svg, NAMES.map(n => `${n} is ${num(get(values, n))}, gradient `
    + num(get(g, n))).join('; ') + `; the loss is ${num(values.L)}.`)
  const head = make('marker', {id: 'play-head', viewBox: '0 0 10 10', refX: 9, refY: 5,
    markerWidth: 9, markerHeight: 9, markerUnits: 'userSpaceOnUse', orient: 'auto'},
    make('defs', {}, svg))
  make('path', {d: 'M0,1 L10,5 L0,9 z'}, head)
  const all = lines(at, list, values, g, on)
  for (const e of all) {
    const [[x1, y1], [x2, y2]] = [at[e.from], at[e.to]], up = x1 === x2
    const ports = all.filter(o => o.to === e.to && at[o.from][0] !== x2)
      .sort((p, q) => at[p.from][1] - at[q.from][1])
    const port = y2 + 20 * (ports.indexOf(e) - (ports.length - 1) / 2)
    const from = up ? [x1, y1 - half(e.from)[1]] : [x1 + half(e.from)[0], y1]
    const to = up ? [x2, y2 + half(e.to)[1]] : [x2 - half(e.to)[0] - 2, port]
    const cross = ['x[0] z1[1]', 'x[1] z1[0]'].includes(`${e.from} ${e.to}`) && at === WIDE.at
    const steep = at === NARROW.at && Math.abs(to[1] - from[1]) > 60
    drawArrow(svg, from, to, e, cross ? .66 : steep ? .36 : .47)
  }
  for (const n of Object.keys(at)) drawBox(svg, n, at[n], values, g, /x/.test(n))
  $('graph').replaceChildren(svg)
}

/** Whether the numbers on show give the result on show, or only nearly. */
const sign = (shown, exact) => num(shown) === num(exact) ? '=' : '≈'
const rounded = n => Number(n.toPrecision(4))

/** One path as a table: every factor with its name, its formula and its number. */
function showPath(path, i, many) {
  const table = make('table', {class: 'path'}, $('chain')), exact = product(path)
  const way = [...path].reverse().map(e => e.from).concat('L').join(' → ')
  make('caption', {}, table, many > 1 ? `Path ${i + 1} of ${many}: ${way}` : way)
  for (const e of path) {
    const row = make('tr', e.to.startsWith('a[') && !e.rate ? {class: 'closed'} : {}, table)
    make('th', {scope: 'row'}, row, `∂${e.to}/∂${e.from}`)
    make('td', {}, row, e.says)
    make('td', {}, row, num(e.rate))
  }
  const factors = path.map(e => num(e.rate)).join(' · ').replace(/· (−[^ ]+)/g, '· ($1)')
  const about = sign(path.reduce((total, e) => total * rounded(e.rate), 1), exact)
  const last = make('tr', {class: 'product'}, table)
  make('th', {scope: 'row', colspan: 2}, last, `${factors} ${about}`)
  make('td', {}, last, num(exact))
  if (table.querySelector('.closed'))
    make('p', {class: 'note'}, $('chain'), '0: the rectifier is closed')
}

function showChain(list) {
  const ways = paths(list, chosen), parts = ways.map(product), total = sum(parts)
  $('chain').replaceChildren()
  ways.forEach((path, i) => showPath(path, i, ways.length))
  const shares = parts.map(n => num(n)).join(' + ').replace(/\+ −/g, '− ')
  make('p', {class: 'total', id: 'play-total'}, $('chain'), `∂L/∂${chosen} = `
    + (parts.length > 1 ? `${shares} ${sign(sum(parts.map(rounded)), total)} ` : '') + num(total))
  return total
}

/** The finite difference beside the chain, digit under digit. */
function showSlope(chain) {
  const h = Number($('h').value), d = slope(net, chosen, h), off = Math.abs(chain - d.slope)
  const rel = off / Math.max(Math.abs(chain), Math.abs(d.slope))
  $('above').textContent = num(d.above.L, 12)
  $('below').textContent = num(d.below.L, 12)
  $('slope').textContent = num(d.slope, 12)
  $('product').textContent = num(chain, 12)
  $('agree').textContent = off === 0 ? 'They agree in every digit.'
    : (rel < 1e-6 ? `They agree in ${Math.floor(-Math.log10(rel))} digits`
                  : `They differ by ${num(off, 2)}`) + ` (relative error ${num(rel, 2)}).`
  $('kink').replaceChildren(...d.kinks.map(k => make('p', {class: 'note'}, null,
    `A kink lies between the two points: z1[${k}] goes from ${num(d.below.z1[k])} to `
    + `${num(d.above.z1[k])}, and the rectifier of unit ${k} switches. The difference mixes the `
    + 'slopes of both sides; the chain is the slope where we stand.')))
}

function showRows(g) {
  for (const n of NAMES) {
    const slider = $(n), value = num(get(net, n))
    slider.value = get(net, n)
    slider.setAttribute('aria-valuetext', value)
    $(`value-${n}`).textContent = value
    $(`grad-${n}`).textContent = num(get(g, n))
    slider.parentElement.classList.toggle('on', n === chosen)
  }
}

function showLosses(L) {
  const rose = losses.length && L > losses.at(-1)
  $('loss').textContent = `L = ${num(L)}`
  $('steps').textContent = !losses.length ? 'No step taken yet.'
    : `Step ${losses.length}: L ${[...losses, L].slice(-5).map(n => num(n)).join(' → ')}`
      + (rose ? '. The loss rose: the step was too long.' : '')
}

function show() {
  const values = {...net, ...forward(net)}, g = backward(net), list = arrows(net)
  draw(values, g, list, new Set(paths(list, chosen).flat()))
  showRows(g)
  showLosses(values.L)
  $('choose').value = chosen
  showSlope(showChain(list))
}
function choose(name) { chosen = name; show() }
function renew(next) { net = next; losses = []; show() }

const GROUPS = {
  'The example': ['x[0]', 'x[1]', 'y'], 'Hidden unit 0': ['w1[0,0]', 'w1[1,0]', 'b1[0]'],
  'Hidden unit 1': ['w1[0,1]', 'w1[1,1]', 'b1[1]'], 'Output': ['w2[0]', 'w2[1]', 'b2']}
for (const [title, list] of Object.entries(GROUPS)) {
  const group = make('fieldset', {}, $('rows'))
  make('legend', {}, group, title)
  for (const n of list) {
    const row = make('div', {class: 'number'}, group), id = `play-${n}`
    make('label', {for: id}, row, n)
    const slider = make('input', {type: 'range', id, min: -3, max: 3, step: .1}, row)
    make('output', {id: `play-value-${n}`, for: id, class: 'value', 'aria-live': 'off'}, row)
    make('output', {id: `play-grad-${n}`, for: id, class: 'grad', 'aria-live': 'off',
                    'aria-label': `gradient for ${n}`}, row)
    slider.addEventListener('input', () => { chosen = n; renew(set(net, n, slider.valueAsNumber)) })
    slider.addEventListener('focus', () => choose(n))
    make('option', {value: n}, $('choose'), n)
  }
}
const lr = () => $('lr').valueAsNumber
$('lr').addEventListener('input', () => { $('value-lr').textContent = num(lr()) })
$('step').addEventListener('click', () => {
  losses.push(forward(net).L)
  net = step(net, lr())
  show()
})
$('reset').addEventListener('click', () => renew(START))
$('random').addEventListener('click', () => renew(NAMES.reduce((next, n) =>
  set(next, n, Math.round(Math.random() * 40 - 20) / 10), START)))
$('choose').addEventListener('change', () => choose($('choose').value))
$('h').addEventListener('change', show)
$('graph').addEventListener('click', ev => {
  const box = ev.target.closest('[data-choose]')
  if (box) choose(box.dataset.choose)
})
new ResizeObserver(show).observe($('graph'))
page.hidden = false
show()
})()
