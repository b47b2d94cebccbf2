// The search: pages by how much they say about the words, chapters first, answers last. A word
// counts more the fewer pages have it, and more in a title, as a name that a page defines, and
// where one heading has all of them. Where no page has all of them, words that no page has are
// repaired; then the pages that have the most are shown.
const SMALL = new Set('a an and are at be by do does for how i in is it my not of on or that the this to was we what when where which why with'.split(' '));
const SAME = {tying: 'tied', bptt: 'through time', rope: 'rotary', fp16: 'float16', bf16: 'bfloat16',
  license: 'licence', l2: 'decay', regularization: 'decay',
  regularisation: 'decay', sqrt: 'root', initialization: 'kaiming', initialisation: 'kaiming',
  xavier: 'kaiming',   cnn: 'convolutional', rnns: 'rnn', mlp: 'perceptron', ce: 'cross entropy', autodiff: 'autograd'};
const words = text => (text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []).flatMap(
  word => word.includes('_') ? [word, ...word.split('_').filter(Boolean)] : [word]).map(stem);
const stem = word => word.length > 4 ? word.replace(/(?:ies|es|s|ing|ed|e)$/, '') : word;
const count = (list, term) => list.reduce((n, w) => n + (w === term ? 1 : w.startsWith(term) && term.length > 2 ? .4 : 0), 0);

const PAGES = window.SECTIONS.map(([name, kind, defined, sections]) => ({
  name, kind, title: sections[0][1], names: defined.split(' '), own: words(name + ' ' + sections[0][1]), defined: words(defined), sections: sections.map(
    ([anchor, title, text, more]) => ({anchor, title, text, heads: words(title), told: words(title).filter(w => !SMALL.has(w)), body: words(text), more: words(more)}))}));

function value(section, term) {
  const n = count(section.body, term) + .3 * count(section.more, term);
  return 2 * Math.min(count(section.heads, term), 1) + n / (n + 2);
}

// Every word of the pages, and whether one of them is, or begins with, a term.
const KNOWN = new Set(PAGES.flatMap(p => [...p.own, ...p.defined, ...p.sections.flatMap(s => [...s.heads, ...s.body, ...s.more])]));
const has = term => KNOWN.has(term) || term.length > 2 && [...KNOWN].some(w => w.startsWith(term));

/** The terms of a question: without small words, and without the numbers of a long message. */
function asked(query) {
  const said = words(query.replace(/[\p{L}\p{N}_]+/gu, w => Object.hasOwn(SAME, w.toLowerCase()) ? SAME[w.toLowerCase()] : w));
  const long = said.length > 5, some = said.filter(w => !SMALL.has(w) && !(long && /^\d/.test(w)));
  return [...new Set(some.length ? some : said)].slice(0, 40);
}

/** How many letters have to be put in, left out or exchanged. */
function apart(a, b) {
  let row = [...Array(b.length + 1).keys()];
  for (let i = 1; i <= a.length; i++)
    row = row.reduce((next, up, j) => [...next, j ? Math.min(up + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] !== b[j - 1])) : i], []);
  return row[b.length];
}

/** The terms, with those that no page has joined to their neighbour, cut in two, or taken for the nearest. */
function repaired(terms) {
  const list = [...terms];
  for (let k = 0, tried = 0; k < list.length; k++) {
    if (has(list[k]) || tried++ > 7) continue;
    const at = [k - 1, k].find(i => KNOWN.has(list[i] + list[i + 1]));
    if (at >= 0) { list.splice(at, 2, list[at] + list[at + 1]); k = at; continue; }
    const term = list[k], cut = [...term].findIndex((_, i) => i > 2 && i < term.length - 2 && KNOWN.has(term.slice(0, i)) && KNOWN.has(term.slice(i)));
    const most = term.length > 7 ? 2 : term.length > 4 ? 1 : 0, near = [...KNOWN].filter(w => Math.abs(w.length - term.length) <= most).map(w => [apart(term, w), w]);
    const [off, word] = near.reduce((a, b) => b[0] < a[0] ? b : a, [most + 1, '']);
    if (cut > 0) list.splice(k, 1, term.slice(0, cut), term.slice(cut));
    else if (off <= most) list[k] = word;
  }
  return [...new Set(list)];
}

/** What has all of the terms, best first; if `most`, what has some of them. */
function look(terms, most = false) {
  const rare = Object.fromEntries(terms.map(term => {
    const on = PAGES.filter(p => p.sections.some(s => value(s, term)) || count(p.defined, term)).length;
    return [term, on && Math.log((1 + PAGES.length) / on)];
  }));
  const found = PAGES.map(page => {
    let score = 0, have = 0;
    for (const term of terms) {
      const here = page.sections.reduce((sum, s) => sum + Math.min(value(s, term), 1), 0);
      const title = Math.min(count(page.own, term), 1);
      const defines = Math.min(count(page.defined, term), 1);
      have += here + title + defines > 0;
      score += rare[term] * (4 * defines + 3 * title + 6 * here / (here + 4));
    }
    // a heading that has all of the terms, or of which all words are asked
    const heading = terms.length > 1 && page.sections.find(s => terms.every(t => count(s.heads, t) >= 1)
      || s.told.length > 1 && s.told.every(w => terms.includes(w)));
    if (heading) score += 2 * terms.reduce((sum, t) => sum + rare[t] * (count(heading.heads, t) >= 1), 0);
    const parts = page.sections.map(s => [terms.reduce((v, t) => v + rare[t] * value(s, t), 0)
      * (/^(\d\d\.|Appendix|In short)/.test(s.title) ? .5 : 1), s]), [top] = parts;
    const best = terms.every(t => count(page.own, t)) ? top
      : heading ? [0, heading] : terms.some(t => count(page.own, t)) ? top : parts.sort((a, b) => b[0] - a[0])[0];
    const counts = have === terms.length || most ? (have / terms.length)**2 : 0;
    return {page, score: score * counts * [1, .6, .3, .3][page.kind], section: best[1], terms};
  });
  return found.filter(f => f.score > 0).sort(
    (a, b) => (a.page.kind === 3) - (b.page.kind === 3) || b.score - a.score);
}

/** The place that a question names: what defines a name, or the entry at the end of a message. */
function named(query) {
  const name = /^\s*(?:\w+\.)*(\w+)(?:\(\))?\s*$/.exec(query)?.[1], entry = /clinic:? (\w+)\)?\s*$/i.exec(query)?.[1];
  const page = PAGES.find(p => p.names.includes(name)), clinic = PAGES.find(p => p.name === 'clinic');
  if (page) return {page, terms: [], section: page.own.includes(name.toLowerCase()) ? page.sections[0]
    : {anchor: `def-${name}`, title: name, text: page.sections[0].text}};
  const section = clinic?.sections.find(s => entry && s.anchor === entry.toLowerCase());
  return section && {page: clinic, section, terms: []};
}

function find(query) {
  const terms = asked(query), first = named(query);
  let found = look(terms), says = /\s/.test(query.trim()) ? ' contain all these words' : '';
  if (!found.length) {
    const missing = (query.match(/[\p{L}\p{N}_]+/gu) ?? []).filter(w => !words(w).every(has)).slice(0, 3);
    const near = repaired(terms), none = missing.length ? `No page has ${missing.join(' or ')}` : 'No page contains all these words';
    found = look(near);
    if (!found.length) found = look(near, true);
    says = `near: ${none}`;
  }
  if (first) found = [first, ...found.filter(f => f.page !== first.page)];
  return [found.slice(0, 30), says];
}

function snippet(text, terms) {
  const at = [...text.matchAll(/[\p{L}\p{N}_]+/gu)].find(m => words(m[0]).some(w => terms.some(t => w.startsWith(t))))?.index ?? 0;
  const from = at < 60 ? 0 : text.lastIndexOf('. ', at) + 1 || text.lastIndexOf(' ', at - 50) + 1;
  const start = at - from > 120 ? text.lastIndexOf(' ', at - 50) + 1 : from;
  const cut = text.slice(start, start + 180).replace(start + 180 < text.length ? /\s\S*$/ : /$^/, '').trim();
  return (start ? '… ' : '') + cut + (start + 180 < text.length ? ' …' : '');
}

function show(query) {
  const place = document.getElementById('search-results'), [found, says] = find(query);
  const head = document.createElement('p'), list = document.createElement('ol');
  head.setAttribute('role', 'status');
  head.textContent = !query ? '' : found.length ? says.startsWith('near') ? `${says.slice(6)}. ${found.length === 1 ? 'One page comes' : `${found.length} pages come`} close.`
    : found.length === 1 ? 'One page.' : `${found.length} pages${says}, best match first.`
    : 'No page has any of these words. Try others, or the name of a function.';
  list.className = 'found';
  for (const {page, section, terms} of found) {
    const item = document.createElement('li'), link = document.createElement('a'), text = document.createElement('p');
    const number = /^\d\d/.exec(page.name)?.[0];
    link.href = page.name + '.html' + (section.anchor && section !== page.sections[0] ? '#' + section.anchor : '');
    link.textContent = (number ? number + ' ' : '') + page.title + (section === page.sections[0] ? '' : ': ' + section.title);
    text.textContent = snippet(section.text, section === page.sections[0] ? [] : terms);
    item.append(link, text);
    list.append(item);
  }
  place.replaceChildren(head, list);
}

const query = new URLSearchParams(location.search).get('q') ?? '';
for (const field of document.querySelectorAll('form.bd-search input[name=q]')) field.value = query;
show(query);
