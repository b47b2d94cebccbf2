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

/** Width of an arrow: by its gradient, on a scale on which large ones still fit. */
const width = g => g ? Math.min(9, 1 + 1.4 * Math.log2(1 + Math.abs(g))) : 1

window.play = {START, forward, backward, step, width}

// ---- The page -----------------------------------------------------------------------------
const page = document.getElementById('play')
if (!page) return
const $ = id => document.getElementById(`play-${id}`)
const NAMES = Object.keys(START).flatMap(key => names(key, START[key]))
const OPS = {L: 'mse', z2: 'lin', 'a[1]': 'relu', 'a[0]': 'relu', 'z1[1]': 'lin', 'z1[0]': 'lin'}
const BACK = Object.keys(OPS)  // the boxes in the order in which a gradient comes back
// What is on show. `at` is how many boxes the gradient has come back through; null: all of them,
// and none is lit.
let net = START, chosen = 'w1[0,0]', losses = [], at = null

/** An HTML element, or an SVG one when `svg` is its parent. */
function make(tag, attrs = {}, parent, text) {
  const el = parent instanceof SVGElement || tag === 'svg'
    ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag)
  change(el, attrs)
  if (text !== undefined) el.textContent = text
  parent?.append(el)
  return el
}
function change(el, attrs) {
  for (const [key, value] of Object.entries(attrs)) el.setAttribute(key, value)
}

// ---- The graph: boxes with name, value, gradient; arrows as wide as their gradient is large --
// A box stands at [along, across] the way to the loss, both from 0 to 1. The way goes to the right
// or, on a narrow page, down.
const row = (along, across) => Object.entries(across).map(([n, q]) => [n, [along, q]])
const places = (x, between, z, a, end) => Object.fromEntries([
  ...row(0, {'w1[0,0]': 0, 'w1[1,0]': .2, 'b1[0]': .4, 'w1[0,1]': .6, 'w1[1,1]': .8, 'b1[1]': 1}),
  ...row(x, {'x[0]': .5 - between, 'x[1]': .5 + between}), ...row(z, {'z1[0]': .08, 'z1[1]': .92}),
  ...row(a, {'a[0]': 0, 'w2[0]': .25, b2: .5, 'w2[1]': .75, 'a[1]': 1}), ...end])
const RIGHT = {size: 310, h: 23, at: places(.24, .1, .44, .65,
  [['z2', [.83, .5]], ['L', [1, .5]], ['y', [1, .95]]])}
const DOWN = {size: 345, h: 22, at: places(.29, .095, .5, .74,
  [['z2', [1, .36]], ['L', [1, .68]], ['y', [1, 1]]])}

let drawn  // {width, boxes: {name: its elements}, arrows: [...], curve}

function build() {
  const W = Math.max(320, $('graph').clientWidth), right = innerWidth > 600
  if (W === drawn?.width) return
  const {size, h, at: where} = right ? RIGHT : DOWN, w = W > 500 ? 29 : 26
  const svg = make('svg', {viewBox: `-2 -2 ${W} ${size + 4}`, width: W, height: size + 4,
    role: 'group', 'aria-label': 'The network as a graph. Each of its numbers is a slider.'})
  const spot = n => {
    const [along, across] = where[n], [p, q] = right ? [along, across] : [across, along]
    return [w + p * (W - 4 - 2*w), h + q * (size - 2*h)]
  }
  const start = ({from, to}) => {  // the middle of the side from which the way goes on
    const [x, y] = spot(from)
    if (from === 'y') return right ? [x, y - h] : [x - w, y]
    return right || to === 'L' ? [x + w, y] : [x, y + h]
  }
  const edge = spot('z2')[0] - w  // above and right of it there is room for the curve
  drawn = {width: W,
    arrows: arrows(START).map(e => addArrow(svg, start(e), spot(e.to), e, [w, h], right)),
    boxes: Object.fromEntries(Object.keys(where).map(n => [n, addBox(svg, n, spot(n), w, h)])),
    curve: addCurve(svg, right ? [edge, 0, W - edge - 10, 74] : [4, size - 44, 78, 42])}
  $('graph').replaceChildren(svg)
  show()
}

function addBox(svg, n, [x, y], w, h) {
  const box = make('g', {class: `box ${n in OPS ? 'op' : 'number'}`, 'data-box': n}, svg)
  if (!(n in OPS)) change(box, {role: 'slider', tabindex: 0, 'aria-label': n, 'aria-valuemin': -3,
                                'aria-valuemax': 3})
  make('rect', {x: x - w, y: y - h, width: 2*w, height: 2*h, rx: n in OPS ? 12 : 4}, box)
  make('text', {x, y: y - 8, class: 'name'}, box, n in OPS ? `${OPS[n]} ${n}` : n)
  return {box, value: make('text', {x, y: y + 5, class: 'value'}, box),
          grad: make('text', {x, y: y + 18, class: 'grad'}, box)}
}

/** An arrow to a box at (x, y); one of the two from the same x bears its share of the gradient. */
function addArrow(svg, [sx, sy], [x, y], e, [w, h], right) {
  const [dx, dy] = [x - sx, y - sy], cut = 1 - Math.min(w / Math.abs(dx), h / Math.abs(dy))
  const length = Math.hypot(dx, dy), [ux, uy] = [dx / length, dy / length]
  const [ex, ey] = [sx + cut * dx, sy + cut * dy]
  const g = make('g', {'data-arrow': `${e.from} ${e.to}`}, svg)
  const arrow = {g, line: make('path', {class: 'line'}, g), head: make('path', {class: 'head'}, g),
    draw(wide) {
      const back = 5 + wide, side = 2.5 + .75 * wide, [bx, by] = [ex - back * ux, ey - back * uy]
      change(this.line, {d: `M${sx},${sy} L${bx},${by}`, 'stroke-width': wide})
      change(this.head, {d: `M${ex},${ey} L${bx - side * uy},${by + side * ux} `
                          + `L${bx + side * uy},${by - side * ux} z`})
    }}
  if (e.from[0] === 'x') {
    const straight = e.from[2] === e.to[3], t = right ? .5 : straight ? .62 : .45
    arrow.share = make('text', {x: sx + t * (ex - sx), class: 'grad',
      y: sy + t * (ey - sy) + (right ? 4 : straight ? -4 : 14)}, g)
  }
  return arrow
}

const addCurve = (svg, [x, y, w, h]) => ({w, h, g: make('g', {class: 'curve', role: 'img',
  transform: `translate(${x},${y})`}, svg)})

/** The losses of the steps so far as a curve, from 0 up to the largest. */
function showCurve(all) {
  const {g, w, h} = drawn.curve, top = Math.max(...all), last = all.length - 1
  const point = (L, i) => [w * i / Math.max(1, last), h - (h - 16) * L / (top || 1)]
  g.replaceChildren()
  const said = all.map(L => num(L, 3)).join(', ')
  g.setAttribute('aria-label', `The loss, ${last} steps: ${said}`)
  if (!last) return
  make('path', {d: `M0,14 V${h} H${w}`, class: 'axes'}, g)
  make('path', {d: `M${all.map(point).join(' L')}`}, g)
  const [cx, cy] = point(all[last], last)
  make('circle', {cx, cy, r: 3}, g)
  make('text', {x: 0, y: 10}, g, `L, ${last} step${last > 1 ? 's' : ''}`)
}

const known = e => at === null || BACK.indexOf(e.to) < at

/** The gradient that has come back to `n` so far, as text. */
function arrived(n, list, g, digits) {
  const shares = list.filter(e => e.from === n && known(e)).map(e => e.rate * get(g, e.to))
  return n === 'L' ? '1' : shares.length ? num(sum(shares), digits) : '?'
}

function showGraph(values, g, list) {
  const on = new Set(paths(list, chosen).flat()), lit = BACK[at - 1]
  list.forEach((e, i) => {
    const arrow = drawn.arrows[i], share = e.rate * get(g, e.to)
    arrow.draw(known(e) ? width(share) : 1)
    change(arrow.g, {class: `arrow${on.has(e) ? ' on' : ''}${known(e) && !share ? ' zero' : ''}`})
    if (arrow.share) arrow.share.textContent = known(e) ? num(share, 3) : ''
  })
  for (const [n, {box, value, grad}] of Object.entries(drawn.boxes)) {
    const shut = n[0] === 'a' && get(values, n.replace('a', 'z1')) <= 0
    value.textContent = num(get(values, n), 3) + (shut ? ', closed' : '')
    grad.textContent = arrived(n, list, g, 3)
    box.classList.toggle('closed', shut)
    box.classList.toggle('on', n === chosen)
    box.classList.toggle('lit', n === lit)
    if (n in OPS) continue
    const says = `${num(get(values, n))}, gradient ${arrived(n, list, g).replace('?', 'not known yet')}`
    change(box, {'aria-valuenow': inside(get(values, n)), 'aria-valuetext': says})
    if (n === chosen) change($('slider'), {'aria-valuetext': says})
  }
}

// ---- Below the graph ----------------------------------------------------------------------
/** Whether the numbers on show give the result on show, or only nearly. */
const sign = (shown, exact) => num(shown) === num(exact) ? '=' : '≈'
const rounded = n => Number(n.toPrecision(4))
const inside = v => Math.min(3, Math.max(-3, v))  // what can be dragged, and the slider

function showStrip(list, g) {
  const value = get(net, chosen)
  $('choose').value = chosen
  $('slider').value = value
  $('value').textContent = num(value)
  $('grad').textContent = arrived(chosen, list, g)
}

function showLosses(all) {
  const rose = all.at(-1) > all.at(-2)
  $('steps').textContent = `L = ${all.slice(-5).map(n => num(n)).join(' → ')}`
    + (rose ? '. The loss rose: the step was too long.' : '')
  showCurve(all)
}

/** The box through which the gradient has just come: upstream times local, for all its inputs. */
function showWalk(list, g) {
  const to = BACK[at - 1]
  $('walk').replaceChildren()
  if (!to) return
  const table = make('table', {}, $('walk')), up = get(g, to), heads = make('tr', {}, table)
  make('caption', {}, table,
       `${OPS[to]}, box ${at} of ${BACK.length}: the gradient for ${to} is ${num(up)}.`)
  for (const t of ['for', 'upstream', '× local', '= downstream'])
    make('th', {scope: 'col'}, heads, t)
  for (const e of list.filter(e => e.to === to)) {
    const tr = make('tr', {}, table)
    make('th', {scope: 'row'}, tr, e.from)
    for (const t of [num(up), /^[01]/.test(e.says) ? e.says : `${e.says} = ${num(e.rate)}`,
                     num(e.rate * up)]) make('td', {}, tr, t)
  }
  if (at === BACK.length) make('p', {class: 'note'}, $('walk'), 'x[0] and x[1] have also had a share '
    + `from unit 1. Shares add: ${num(g.x[0])} and ${num(g.x[1])} in all.`)
}

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
  $('agree').textContent = off === 0 ? 'They agree to the last digit.'
    : (rel < 1e-6 ? `They agree to ${Math.floor(-Math.log10(rel))} digits`
                  : `They differ by ${num(off, 2)}`) + ` (relative error ${num(rel, 2)}).`
  $('kink').replaceChildren(...d.kinks.map(k => make('p', {class: 'note'}, null,
    `A kink lies between the two points: z1[${k}] goes from ${num(d.below.z1[k])} to `
    + `${num(d.above.z1[k])}, and the rectifier of unit ${k} switches. The difference mixes the `
    + 'slopes of both sides; the chain is the slope where we stand.')))
}

function show() {
  const values = {...net, ...forward(net)}, g = backward(net), list = arrows(net)
  showGraph(values, g, list)
  showStrip(list, g)
  showLosses([...losses, values.L])
  showWalk(list, g)
  showSlope(showChain(list))
  $('proof').hidden = at !== null  // it tells the gradient
}
function choose(name) { if (name !== chosen) { chosen = name; show() } }
function renew(next) { net = next; losses = []; show() }
function move(name, value) {
  chosen = name
  renew(set(net, name, inside(Math.round(value * 10) / 10)))
}
function walk(to) { at = to; show() }
function setRate(lr) { $('lr').value = lr; $('value-lr').textContent = num($('lr').valueAsNumber) }
function takeStep() {
  losses.push(forward(net).L)
  net = step(net, $('lr').valueAsNumber)
  show()
}

// ---- Hands on it: the graph by pointer and keys, the strip, the buttons ---------------------
let drag = null
const KEYS = {ArrowRight: .1, ArrowUp: .1, ArrowLeft: -.1, ArrowDown: -.1,
              PageUp: .5, PageDown: -.5, Home: -Infinity, End: Infinity}
const slider = ev => ev.target.closest('[role=slider]')
const on = (id, what, f) => $(id).addEventListener(what, f)
on('graph', 'focusin', ev => slider(ev) && choose(slider(ev).dataset.box))
on('graph', 'pointerdown', ev => {
  const box = slider(ev), name = box?.dataset.box
  if (!box || ev.button) return
  choose(name)
  box.setPointerCapture(ev.pointerId)
  drag = {id: ev.pointerId, name, x: ev.clientX, value: get(net, name)}
})
on('graph', 'pointermove', ev => {
  if (ev.pointerId !== drag?.id || !ev.buttons) return
  const by = (ev.clientX - drag.x) / 80, value = drag.value + by
  if (Math.abs(by) > .05 && Math.abs(value - get(net, drag.name)) > .05) move(drag.name, value)
})
for (const what of ['pointerup', 'pointercancel']) on('graph', what, () => { drag = null })
on('graph', 'keydown', ev => {
  if (!(ev.key in KEYS) || !slider(ev)) return
  ev.preventDefault()
  move(chosen, get(net, chosen) + KEYS[ev.key])
})
for (const g of [0, 1, 3, 10]) {
  const svg = make('svg', {width: 26, height: 12, 'aria-hidden': true}, $('widths'))
  make('path', {d: 'M1,6 H25', 'stroke-width': width(g), class: g ? 'line' : 'line zero'}, svg)
  $('widths').append(` ${g}${g < 10 ? ' ' : ''}`)
}
for (const n of NAMES) make('option', {value: n}, $('choose'), n)
on('choose', 'change', () => choose($('choose').value))
on('slider', 'input', () => move(chosen, $('slider').valueAsNumber))
on('lr', 'input', () => setRate($('lr').value))
on('step', 'click', takeStep)
on('back', 'click', () => walk(at === BACK.length ? null : (at ?? 0) + 1))
on('forth', 'click', () => walk(at === 1 ? null : at === null ? BACK.length : Math.max(0, at - 1)))
on('reset', 'click', () => { at = null; renew(START) })
on('random', 'click', () => renew(NAMES.reduce((next, n) =>
  set(next, n, Math.round(Math.random() * 40 - 20) / 10), START)))
on('h', 'change', show)

// ---- Things to try: the page's own list, one at a time; a prediction, then what comes about ---
// Of an item's paragraphs the first asks, a list below it has the choices, and what is bold in the
// next one is right. `look` is chosen while it asks; the rest is done when it is answered.
const TRY = [{choose: 'w1[0,1]'}, {look: 'b1[1]', move: ['b1[1]', -.6]}, {look: 'x[0]'},
             {lr: .1}, {h: '0.3'}]
const things = document.getElementById('five-things-to-try')
const items = [...things.querySelectorAll('ol > li')]
const tabs = make('p', {class: 'bar'}, null, 'Task ')

/** The start of a task, also for an answer: the reader may have moved things in between. */
function begin(k) {
  at = k < 0 ? null : 0
  chosen = TRY[k]?.look ?? 'w1[0,0]'
  setRate(.01)
  renew(START)
}

function open(k) {
  begin(k)
  items.forEach((li, i) => {
    li.hidden = i !== k
    li.querySelector('.answer').hidden = true
    li.querySelector('[role=status]').textContent = ''
    li.querySelectorAll('.right').forEach(b => b.classList.remove('right'))
    change(tabs.children[i], {'aria-current': i === k ? 'step' : 'false'})
  })
  items[k]?.focus()
  items[k]?.scrollIntoView()
}

function answer(k, right, said) {
  const li = items[k], number = Number(said.replace(',', '.')), ok = said === right || number === Number(right)
  if (!li.querySelector('.answer').hidden) return
  if (!ok && !Number.isNaN(Number(right)) && (!said.trim() || Number.isNaN(number))) {
    li.querySelector('[role=status]').textContent = 'Please enter a number.'
    return
  }
  li.querySelector('[role=status]').textContent = `${ok ? 'Right' : 'No'}: ${right}`
  li.querySelector('.answer').hidden = false
  for (const b of li.querySelectorAll('.choices button'))
    b.classList.toggle('right', b.textContent === right)
  begin(k)
  at = null
  const task = TRY[k]
  if (task.choose) chosen = task.choose
  if (task.h) $('h').value = task.h
  if (task.move) move(...task.move)
  if (task.lr) { setRate(task.lr); takeStep() }
  show()
  li.scrollIntoView()
}

items.forEach((li, k) => {
  const [ask, ...rest] = li.children, list = rest[0].matches('ul') && rest.shift()
  const [title, right] = [ask, rest[0]].map(p => p.querySelector('strong').textContent)
  li.tabIndex = -1
  if (list) {
    list.className = 'choices'
    for (const choice of list.children) {
      const b = make('button', {type: 'button'})
      b.append(...choice.childNodes)
      choice.append(b)
      b.addEventListener('click', () => answer(k, right, b.textContent))
    }
  } else {
    const form = make('form', {class: 'bar'}, li), label = make('label', {}, form, 'Your answer ')
    const input = make('input', {inputmode: 'decimal', size: 5, autocomplete: 'off',
                                 required: ''}, label)
    make('button', {}, form, 'Check')
    form.addEventListener('submit', ev => {
      ev.preventDefault()
      answer(k, right, input.value.trim())
    })
  }
  make('p', {role: 'status'}, li)
  const below = make('div', {class: 'answer'}, li)
  below.append(...rest)
  const next = make('button', {type: 'button'}, below, items[k + 1] ? 'Next' : 'Done')
  next.addEventListener('click', () => {
    open(items[k + 1] ? k + 1 : -1)
    if (!items[k + 1]) tabs.querySelector('button').focus()
  })
  make('button', {type: 'button', 'aria-label': `${k + 1}: ${title}`}, tabs, k + 1)
    .addEventListener('click', () => open(k))
})
things.querySelector('ol').before(tabs)
$('things').replaceWith(things)
page.hidden = false
build()
open(-1)
new ResizeObserver(build).observe($('graph'))
})()
