// The search: pages by how much they say about the words, chapters first, answers last. A word
// counts more the fewer pages have it, and more in a title, as a name that a page defines, and
// where one heading has all of them.
const words = text => (text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []).flatMap(
  word => word.includes('_') ? [word, ...word.split('_').filter(Boolean)] : [word]).map(stem);
const stem = word => word.length > 4 ? word.replace(/(?:ies|es|s|ing|ed)$/, '') : word;
const count = (list, term) => list.reduce((n, w) => n + (w === term ? 1 : w.startsWith(term) && term.length > 2 ? .4 : 0), 0);

const PAGES = window.SECTIONS.map(([name, kind, defined, sections]) => ({
  name, kind, title: sections[0][1], own: words(name + ' ' + sections[0][1]), defined: words(defined), sections: sections.map(
    ([anchor, title, text, more]) => ({anchor, title, text, heads: words(title), body: words(text), more: words(more)}))}));

function value(section, term) {
  const n = count(section.body, term) + .3 * count(section.more, term);
  return 2 * Math.min(count(section.heads, term), 1) + n / (n + 2);
}

function look(query) {
  const terms = [...new Set(words(query))];
  const rare = Object.fromEntries(terms.map(term => {
    const has = PAGES.filter(p => p.sections.some(s => value(s, term)) || count(p.defined, term)).length;
    return [term, has && Math.log((1 + PAGES.length) / has)];
  }));
  const found = PAGES.map(page => {
    let score = 0, all = terms.length > 0;
    for (const term of terms) {
      const here = page.sections.reduce((sum, s) => sum + Math.min(value(s, term), 1), 0);
      const title = Math.min(count(page.own, term), 1);
      const defines = Math.min(count(page.defined, term), 1);
      all &&= here + title + defines > 0;
      score += rare[term] * (4 * defines + 3 * title + 6 * here / (here + 4));
    }
    if (terms.length > 1 && page.sections.some(s => terms.every(t => count(s.heads, t) >= 1)))
      score += 2 * terms.reduce((sum, t) => sum + rare[t], 0);
    const parts = page.sections.map(s => [terms.reduce((v, t) => v + rare[t] * value(s, t), 0)
      * (/^(\d\d\.|Appendix|In short)/.test(s.title) ? .5 : 1), s]);
    const [top] = parts, heading = parts.find(([, s]) => terms.every(t => count(s.heads, t) >= 1));
    const best = terms.every(t => count(page.own, t)) ? top
      : heading ?? (terms.some(t => count(page.own, t)) ? top : parts.sort((a, b) => b[0] - a[0])[0]);
    return {page, score: all ? score * [1, .6, .3, .3][page.kind] : 0, section: best[1], terms};
  });
  return found.filter(f => f.score > 0).sort(
    (a, b) => (a.page.kind === 3) - (b.page.kind === 3) || b.score - a.score);
}

function snippet(text, terms) {
  const at = [...text.matchAll(/[\p{L}\p{N}_]+/gu)].find(m => words(m[0]).some(w => terms.some(t => w.startsWith(t))))?.index ?? 0;
  const from = at < 60 ? 0 : text.lastIndexOf('. ', at) + 1 || text.lastIndexOf(' ', at - 50) + 1;
  const start = at - from > 120 ? text.lastIndexOf(' ', at - 50) + 1 : from;
  const cut = text.slice(start, start + 180).replace(start + 180 < text.length ? /\s\S*$/ : /$^/, '').trim();
  return (start ? '… ' : '') + cut + (start + 180 < text.length ? ' …' : '');
}

function show(query) {
  const place = document.getElementById('search-results'), found = look(query).slice(0, 30);
  const head = document.createElement('p'), list = document.createElement('ol');
  head.setAttribute('role', 'status');
  head.textContent = !query ? '' : found.length ? `${found.length} pages have ${/\s/.test(query.trim()) ? 'all of these words' : 'it'}, the best first.`
    : 'No page has all of these words. Try fewer, or the name of a function.';
  list.className = 'found';
  for (const {page, section, terms} of found) {
    const item = document.createElement('li'), link = document.createElement('a'), says = document.createElement('p');
    const number = /^\d\d/.exec(page.name)?.[0];
    link.href = page.name + '.html' + (section.anchor && section !== page.sections[0] ? '#' + section.anchor : '');
    link.textContent = (number ? number + ' ' : '') + page.title + (section === page.sections[0] ? '' : ': ' + section.title);
    says.textContent = snippet(section.text, section === page.sections[0] ? [] : terms);
    item.append(link, says);
    list.append(item);
  }
  place.replaceChildren(head, list);
}

const query = new URLSearchParams(location.search).get('q') ?? '';
for (const field of document.querySelectorAll('form.bd-search input[name=q]')) field.value = query;
show(query);
