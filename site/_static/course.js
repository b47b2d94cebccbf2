// Lines break where they should: not between a formula or a short piece of code and the signs at it,
// nor in the code, but in a long name at its underscores, and in a table at more signs.
const OPENING = /[(\[“‘]+$/, CLOSING = /^[.,;:!?)\]”’]+/;

function keepSigns(piece) {
  const texts = [piece.previousSibling, piece.nextSibling];
  const [open, close] = [OPENING, CLOSING].map((signs, k) =>
    texts[k]?.nodeType === Node.TEXT_NODE && signs.exec(texts[k].data)?.[0] || '');
  if (!open && !close) return;
  const all = document.createElement('span');
  all.className = 'together';
  piece.replaceWith(all);
  if (open) texts[0].data = texts[0].data.slice(0, -open.length);
  if (close) texts[1].data = texts[1].data.slice(close.length);
  all.append(open, piece, close);
}

function mayBreak(word, after) {
  const whole = part => {  // an arrow is one sign
    const all = document.createElement('span');
    all.className = 'together';
    all.textContent = part;
    return part.includes('->') ? all : part;
  };
  word.replaceChildren(...word.textContent.split(after).flatMap(
    part => [whole(part), document.createElement('wbr')]));
}

// In texts that are neither code nor mathematics, what `pattern` finds stays on one line.
function keepWhole(place, pattern) {
  const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) if (!texts.currentNode.parentElement.closest('code, .math'))
    texts.currentNode.data = texts.currentNode.data.replace(
      pattern, found => found.replaceAll(' ', '\u00a0').replaceAll('-', '-\u2060'));
}

window.addEventListener('load', async () => {
  for (const word of document.querySelectorAll('.bd-sidebar-secondary code .pre')) mayBreak(word, /(?<=_)/);
  for (const word of document.querySelectorAll('td code .pre'))
    if (word.textContent.length > (word.closest('.answer') ? 12 : 20)) mayBreak(word, /(?<=\w{5}\.|\((?!\))|(?<!'[^',]*),)|(?<=\w{8}_)(?=\w{3})/);
  document.querySelectorAll('td').forEach(e => keepWhole(e, /\((?=[^()]*,)[\w\u2026,. ]{1,16}\)/g));  // (N, T, d)
  document.querySelectorAll('p, td, li, figcaption').forEach(e => keepWhole(e, /(?<=\d) (?=%)|(?<=\w) [-+] (?=\w)/g));
  for (const code of document.querySelectorAll('code.literal'))
    if (code.textContent.length <= 20) {
      const link = code.closest('a');
      code.classList.add('together');
      keepSigns(link?.textContent === code.textContent ? link : code);
    } else if (!code.lastElementChild?.textContent.includes('-'))  // then the sign behind it stays
      code.lastElementChild?.style.setProperty('display', 'inline');
  await window.MathJax?.startup?.promise;
  document.querySelectorAll('span.math').forEach(keepSigns);
  document.querySelectorAll('mjx-container[display="true"]').forEach(f => stops.observe(f));
});

// A formula that is a few pixels too wide is drawn a little smaller. Of the others, the Tab key stops
// at those that scroll, as long as they do.
const stops = new ResizeObserver(seen => {
  for (const { target: f } of seen) {
    const svg = f.querySelector('svg'), more = f.scrollWidth - f.clientWidth;
    if (svg && more > 0 && more <= 16) svg.style.maxWidth = '100%';
    f.tabIndex = f.scrollWidth > f.clientWidth ? 0 : -1;
  }
});

// On paper it is always light.
const theme = document.documentElement.dataset;
let onScreen;
window.addEventListener('beforeprint', () => { onScreen ??= theme.theme; theme.theme = 'light'; });
window.addEventListener('afterprint', () => { theme.theme = onScreen ?? theme.theme; onScreen = undefined; });

// What is done: boxes with a key, such as 04 or 04.2, kept in this browser.
const done = {
  read() { try { return { ...JSON.parse(localStorage.getItem('done')) }; } catch { return {}; } },
  write(all) { try { localStorage.setItem('done', JSON.stringify(all)); } catch { /* it keeps nothing */ } },
  show() {
    const all = this.read(), boxes = [...document.querySelectorAll('input[data-done]')];
    for (const box of boxes) { box.disabled = false; box.checked = box.dataset.done in all; }
    for (const link of document.querySelectorAll('.bd-links a')) {
      const number = /^\d\d /.exec(link.textContent)?.[0].trim();
      if (number) link.classList.toggle('is-done', number in all);
    }
    const counted = document.querySelector('p.counted');
    if (!counted) return;
    counted.hidden = false;
    counted.textContent = `${boxes.filter(b => b.checked).length} of ${boxes.length} done`;
  },
};

document.addEventListener('change', event => {
  const key = event.target.dataset?.done;
  if (!key) return;
  const all = done.read();
  if (event.target.checked) all[key] = new Date().toISOString().slice(0, 10); else delete all[key];
  done.write(all);
  done.show();
});
window.addEventListener('storage', () => done.show());

// A report of a slip names the page and the heading that one has just read.
function place() {
  const heads = [...document.querySelectorAll('.bd-article :is(h1, h2, h3)')];
  const read = heads.filter(h => h.getBoundingClientRect().top < innerHeight / 2).pop() ?? heads[0];
  const hash = read?.closest('section')?.id;
  return `${document.title.split(' \u2014 ')[0]}, ${read?.firstChild?.textContent ?? ''}: ` +
         `${location.pathname.split('/').pop()}${hash ? '#' + hash : ''}`;
}

document.addEventListener('DOMContentLoaded', () => {
  done.show();
  const beside = document.querySelector('.sidebar-secondary-item');
  const slip = document.querySelector('.tell a.slip');
  if (!slip) return;
  if (beside) {  // always in sight, on a wide screen
    const link = slip.cloneNode();
    link.textContent = 'Report a slip here';
    beside.append(link);
  }
  for (const link of document.querySelectorAll('a.slip')) for (const what of ['click', 'auxclick'])
    link.addEventListener(what, () => {
      const url = new URL(link.href);
      url.searchParams.set('where', place());
      link.href = url;
    });
});
