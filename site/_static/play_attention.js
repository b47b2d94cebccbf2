// The page of attention: four steps with two features each. First the arithmetic, pure functions;
// then the planes and the tables (play_tables.js).
(() => {
'use strict'
const {num, short, sum, make, pushed, tablesPage} = playTables

// ---- Arithmetic ---------------------------------------------------------------------------
// A state has q, k, v and the upstream gradient out.g, each [4][2], and the two switches.
const START = {
  q: [[1, 1], [-1, .5], [.5, 1], [-.5, -1.5]], k: [[1.5, .5], [-1.5, 1], [1, -1.5], [-1, -1]],
  v: [[2, 1], [-1, 2], [1, -1.5], [-2, -1]], 'out.g': [[1, 0], [.5, 1], [1, -1], [-1, .5]],
  mask: true, scale: true}
const dot = (a, b) => sum(a.map((x, j) => x * b[j]))
const column = (t, j) => t.map(row => row[j])
const factor = s => s.scale ? 1 / Math.sqrt(2) : 1

function softmax(row) {
  const most = Math.max(...row), e = row.map(z => Math.exp(z - most)), all = sum(e)
  return e.map(x => x / all)
}
/** Scores, weights, output and L; `push` moves one number of any of the tables. */
function forward(s, push) {
  const [q, k, v] = ['q', 'k', 'v'].map(key => pushed(key, s[key], push))
  const Z = pushed('Z', q.map((qt, t) => k.map((ks, i) =>
    s.mask && i > t ? -Infinity : dot(qt, ks) * factor(s))), push)
  const A = pushed('A', Z.map(softmax), push)
  const out = pushed('out', A.map(row => [0, 1].map(c => dot(row, column(v, c)))), push)
  return {q, k, v, Z, A, out, L: sum(out.map((o, t) => dot(o, s['out.g'][t])))}
}
/** The gradient of L for every table, and r, the mean of each row of gradients for A. */
function backward(s, {q, k, v, A} = forward(s)) {
  const G = s['out.g'], gA = G.map(gt => v.map(vs => dot(gt, vs)))
  const r = A.map((row, t) => dot(row, gA[t]))
  const gZ = A.map((row, t) => row.map((a, i) => a * (gA[t][i] - r[t])))
  const times = (a, b) => a.map(row => b[0].map((_, j) => dot(row, column(b, j))))
  const turned = t => t[0].map((_, j) => column(t, j))
  const scaled = gZ.map(row => row.map(x => x * factor(s)))
  return {out: G, A: gA, r, Z: gZ, v: times(turned(A), G), q: times(scaled, k),
          k: times(turned(scaled), q)}
}

/** The gradient for a number as a sum of products; for an output, its value. */
function terms(n, s, values, g) {
  const [key, a, b] = playTables.split(n), all = [0, 1, 2, 3], {q, k, v, A, out} = values
  const root = s.scale ? [['/ √2', factor(s)]] : []
  if (key === 'q') return {factors: all.map(i =>
    [[`Z.g[${a},${i}]`, g.Z[a][i]], [`k[${i},${b}]`, k[i][b]], ...root])}
  if (key === 'k') return {factors: all.map(t =>
    [[`Z.g[${t},${a}]`, g.Z[t][a]], [`q[${t},${b}]`, q[t][b]], ...root])}
  if (key === 'v') return {factors: all.map(t =>
    [[`A[${t},${a}]`, A[t][a]], [`out.g[${t},${b}]`, g.out[t][b]]])}
  if (key === 'A') return {factors: [0, 1].map(c =>
    [[`out.g[${a},${c}]`, g.out[a][c]], [`v[${b},${c}]`, v[b][c]]]),
    note: "This weight on its own. That a row's weights add up to 1 comes in at Z.g."}
  if (key === 'out') return {of: n, factors: all.map(i =>
    [[`A[${a},${i}]`, A[a][i]], [`v[${i},${b}]`, v[i][b]]]),
    note: `This is the value. The gradient is what you set, ${num(g.out[a][b])}.`}
  const weight = A[a][b], at = `[${a},${b}]`
  return {factors: all.map(i => [[`A.g[${a},${i}]`, g.A[a][i]], i === b
    ? [`A${at} (1 − A${at})`, weight * (1 - weight)]
    : [`(−A[${a},${i}] A${at})`, -A[a][i] * weight]]),
    note: `In short: A${at} (A.g${at} − r) = ${num(weight)} · ${num(g.A[a][b] - g.r[a])}.`}
}
window.play = {START, forward, backward, terms}

// ---- The page -----------------------------------------------------------------------------
const $ = id => document.getElementById(`play-${id}`)
if (!$('tables')) return
const SIZE = 3.4  // a plane goes from -SIZE to SIZE
let row = 2

const SIGN = {q: 'queries q', k: 'keys k', v: 'values v'}
const tables = [
  ...Object.entries(SIGN).map(([key, title]) => ({key, title})),
  {key: 'out', title: 'out'},
  {key: 'Z', title: 'scores Z', bar: 'both', right: {head: 'Σ',
    cells: (_, g) => g.Z.map(r => ['', short(sum(r))])}},
  {key: 'A', title: 'weights A', bar: 'part', right: {head: 'Σ, r',
    cells: ({A}, g) => A.map((r, t) => [short(sum(r)), short(g.r[t])])}}]
tables[1].below = {head: 'Σ', cells: (_, g) => [0, 1].map(j => ['', short(sum(column(g.k, j)))])}

function line(svg, [x, y], [dx, dy], kind, width) {
  const path = make('path', {d: `M${x},${-y} l${dx},${-dy}`, class: kind}, svg)
  if (width !== undefined) path.style.strokeWidth = width
}
function arrow(svg, from, [dx, dy], kind) {
  const size = Math.hypot(dx, dy), [x, y] = [from[0] + dx, from[1] + dy]
  if (size < .03) return
  line(svg, from, [dx, dy], kind)
  const [a, b] = [dx / size, dy / size].map(n => n * Math.min(.2, size / 2))
  make('path', {class: `${kind} head`, d: `M${x},${-y} L${x - a - b/2},${-(y - b + a/2)} `
    + `L${x - a + b/2},${-(y - b - a/2)} z`}, svg)
}
function point(svg, [x, y], name, kind, drag) {
  const dot = make('g', {class: `point ${kind}`, ...drag ? {'data-drag': drag} : {}}, svg)
  if (drag) make('circle', {cx: x, cy: -y, r: .42, class: 'hit'}, dot)
  make('circle', {cx: x, cy: -y, r: .1}, dot)
  const far = Math.hypot(x, y) || 1, [tx, ty] = [x + .34 * x / far, y + .34 * y / far]
  make('text', {x: Math.max(-3.1, Math.min(3.1, tx)), y: -Math.max(-3.2, Math.min(3.1, ty)) + .08},
       dot, name)
}
/** An empty plane with its two axes. */
function clear(svg, says) {
  svg.replaceChildren()
  make('title', {}, svg, says)
  line(svg, [-SIZE, 0], [2*SIZE, 0], 'axis')
  line(svg, [0, -SIZE], [0, 2*SIZE], 'axis')
}
const down = ([x, y]) => [-x, -y]
function shown({state, values: {q, k, v, A, out}, g, chosen}) {
  if (!/^[kv]/.test(chosen)) row = playTables.split(chosen)[1]
  const hidden = i => state.mask && i > row ? ' masked' : '', svgs = [$('qk'), $('vo')]
  clear(svgs[0], `Query ${row} and the keys`)
  k.forEach((ks, i) => arrow(svgs[0], [0, 0], ks, `key${hidden(i)}`))
  arrow(svgs[0], [0, 0], q[row], 'query')
  k.forEach((ks, i) => arrow(svgs[0], ks, down(g.k[i]), 'grad'))
  arrow(svgs[0], q[row], down(g.q[row]), 'grad')
  k.forEach((ks, i) => point(svgs[0], ks, `k${i}`, `key${hidden(i)}`, `k ${i}`))
  point(svgs[0], q[row], `q${row}`, 'query', `q ${row}`)
  clear(svgs[1], `The values, and output ${row} among them`)
  v.forEach((vs, i) => line(svgs[1], vs, [0, 1].map(c => out[row][c] - vs[c]), 'weight',
                            A[row][i] * .22))
  v.forEach((vs, i) => arrow(svgs[1], vs, down(g.v[i]), 'grad'))
  arrow(svgs[1], out[row], down(g.out[row]), 'grad')
  v.forEach((vs, i) => point(svgs[1], vs, `v${i}`, `key${hidden(i)}`, `v ${i}`))
  point(svgs[1], out[row], `out${row}`, 'query')
  $('row').textContent = row
}

const page = tablesPage({start: START, chosen: 'q[2,0]', tables, forward, backward, terms, shown})
for (const svg of [$('qk'), $('vo')]) {
  let drag  // what is dragged, as ['q', '2']
  const choose = () => page.choose(`${drag[0]}[${drag[1]},0]`)
  svg.addEventListener('pointerdown', ev => {
    drag = ev.target.closest('[data-drag]')?.dataset.drag.split(' ')
    if (drag) svg.setPointerCapture(ev.pointerId)
  })
  svg.addEventListener('pointermove', ev => {
    if (!drag) return
    const box = svg.getBoundingClientRect(), [key, i] = drag
    const at = [(ev.clientX - box.left) / box.width, 1 - (ev.clientY - box.top) / box.height]
      .map(part => Math.max(-3, Math.min(3, Math.round((part * 2 - 1) * SIZE * 10) / 10)))
    page.renew({[key]: page.state()[key].map((row, t) => t === Number(i) ? at : row)})
    choose()
  })
  svg.addEventListener('touchstart', ev => {  // a finger on a point drags it, and not the page
    if (ev.target.closest('[data-drag]')) ev.preventDefault()
  }, {passive: false})
  svg.addEventListener('pointerup', () => { if (drag) choose() })
  svg.addEventListener('lostpointercapture', () => { drag = null })
}
for (const key of ['mask', 'scale'])
  $(key).addEventListener('change', () => page.renew({[key]: $(key).checked}))
$('reset').addEventListener('click', () => { $('mask').checked = $('scale').checked = true })
})()
