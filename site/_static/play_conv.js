// The page of convolution: a picture of 6 x 6, a filter of 3 x 3, stride 1. First the arithmetic,
// pure functions; then the tables (play_tables.js).
(() => {
'use strict'
const {num, sum, pushed, split, tablesPage} = playTables

// ---- Arithmetic ---------------------------------------------------------------------------
// A state has x [6][6], w [3][3], b [1][1], the padding (0 or 1), and the upstream gradient
// out.g, [4][4] or [6][6].
const START = {
  x: [[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 1, 0],
      [0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0]],
  w: [[1, 2, 0], [-1, 0, 1], [0, -2, 3]], b: [[.5]],
  'out.g': [[1, 0, 0, -1], [0, 2, 1, 0], [-1, 1, .5, 0], [0, 0, -2, 1]], padding: 0}
const inside = (r, c, t) => r >= 0 && c >= 0 && r < t.length && c < t[0].length
const grid = (table, f) => table.map((row, i) => row.map((_, j) => f(i, j)))

/** All [p, q, u, v, r, t] in which a pixel meets a weight: out[p,q] has x[r,t] w[u,v] in it. */
function meetings({x, w, padding, 'out.g': G}) {
  const list = []
  grid(G, (p, q) => grid(w, (u, v) => {
    const [r, t] = [p + u - padding, q + v - padding]
    if (inside(r, t, x)) list.push([p, q, u, v, r, t])
  }))
  return list
}
/** Output and L; `push` moves one number of any of the tables. */
function forward(s, push) {
  const [x, w, b] = ['x', 'w', 'b'].map(key => pushed(key, s[key], push))
  let out = grid(s['out.g'], () => b[0][0])
  for (const [p, q, u, v, r, t] of meetings(s)) out[p][q] += x[r][t] * w[u][v]
  out = pushed('out', out, push)
  return {x, w, b, out, L: sum(grid(out, (p, q) => out[p][q] * s['out.g'][p][q]).flat())}
}
/** The gradient of L for every table: each factor gets out.g times the other factor. */
function backward(s) {
  const G = s['out.g']
  const g = {out: G, b: [[sum(G.flat())]], x: grid(s.x, () => 0), w: grid(s.w, () => 0)}
  for (const [p, q, u, v, r, t] of meetings(s)) {
    g.x[r][t] += G[p][q] * s.w[u][v]
    g.w[u][v] += G[p][q] * s.x[r][t]
  }
  return g
}
/** The same state with another padding; numbers of out.g that have no place wait in `rim`. */
function padded(s, padding) {
  const G = s['out.g'], rim = s.rim ?? grid(s.x, (p, q) => (p * 2 + q * 3) % 5 - 2)
  if (padding === s.padding) return s
  return {...s, padding, ...padding
    ? {'out.g': grid(rim, (p, q) => inside(p - 1, q - 1, G) ? G[p - 1][q - 1] : rim[p][q])}
    : {'out.g': G.slice(1, -1).map(row => row.slice(1, -1)), rim: G}}
}

/** The gradient for a number as a sum of products; for an output, its value. */
function terms(n, s, {x, w, b, out}, {out: G}) {
  const [key, i, j] = split(n), all = meetings(s)
  const pixel = (r, t) => [`x[${r},${t}]`, x[r][t]], weight = (u, v) => [`w[${u},${v}]`, w[u][v]]
  const arrived = (p, q) => [`out.g[${p},${q}]`, G[p][q]]
  const border = s.padding ? ' The border of zeros adds nothing.' : ''
  if (key === 'b') return {factors: grid(G, (p, q) => [arrived(p, q)]).flat()}
  if (key === 'x') return {factors: all.filter(([,,,, r, t]) => r === i && t === j)
    .map(([p, q, u, v]) => [arrived(p, q), weight(u, v)]),
    note: 'As p and q grow, u and v get smaller: the filter lies flipped on out.g.'}
  if (key === 'w') return {factors: all.filter(([,, u, v]) => u === i && v === j)
    .map(([p, q,,, r, t]) => [arrived(p, q), pixel(r, t)]),
    note: `Every place uses this weight.${border}`}
  return {of: n, factors: [...all.filter(([p, q]) => p === i && q === j)
    .map(([,, u, v, r, t]) => [pixel(r, t), weight(u, v)]), [['b', b[0][0]]]],
    note: `This is the value. The gradient is what you set, ${num(G[i][j])}.${border}`}
}
window.play = {START, forward, backward, terms, padded}

// ---- The page -----------------------------------------------------------------------------
const $ = id => document.getElementById(`play-${id}`)
if (!$('tables')) return
const tables = [{key: 'x', title: 'picture x', tags: true}, {key: 'out', title: 'out', tags: true},
                {key: 'w', title: 'filter w'}, {key: 'b', title: 'bias b'}]

/** In each cell that belongs to `n`, the number by which it is multiplied. */
function lights(n, list, cell) {
  for (const el of $('tables').querySelectorAll('.tag')) el.textContent = ''
  for (const [[one], [other] = []] of list) {
    const tag = other && cell(one).querySelector('.tag')
    if (tag) tag.textContent = other
  }
}
const page = tablesPage({start: START, chosen: 'x[2,2]', tables, forward, backward, terms, lights})
$('padding').addEventListener('change', () =>
  page.renew(padded(page.state(), Number($('padding').checked))))
$('clear').addEventListener('click', () =>   // of the border, too
  page.renew({rim: START.x.map(row => row.map(() => 0))}))
$('reset').addEventListener('click', () => { $('padding').checked = false })
})()
