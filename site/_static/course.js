// Lines break where they should: not between a formula and the sign after it, nor in a short piece
// of code, but in a long name at its underscores.
const CLOSING = /^[.,;:!?)]+/;

function keepSignAtFormula(formula) {
  const next = formula.nextSibling, sign = next?.nodeType === Node.TEXT_NODE && CLOSING.exec(next.data);
  if (!sign) return;
  const both = document.createElement('span');
  both.className = 'together';
  formula.replaceWith(both);
  next.data = next.data.slice(sign[0].length);
  both.append(formula, sign[0]);
}

function mayBreakAtUnderscores(word) {
  const parts = word.textContent.split(/(?<=_)/);
  word.replaceChildren(...parts.flatMap(part => [part, document.createElement('wbr')]));
}

window.addEventListener('load', async () => {
  document.querySelectorAll('.bd-sidebar-secondary code .pre').forEach(mayBreakAtUnderscores);
  for (const code of document.querySelectorAll('code.literal'))
    if (code.textContent.length <= 20) code.classList.add('together');
  await window.MathJax?.startup?.promise;
  document.querySelectorAll('span.math').forEach(keepSignAtFormula);
});
