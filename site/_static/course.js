// Keep together what belongs to one word: a formula and the sign after it, a short piece of code.
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

window.addEventListener('load', async () => {
  for (const code of document.querySelectorAll('code.literal'))
    if (code.textContent.length <= 20) code.classList.add('together');
  await window.MathJax?.startup?.promise;
  document.querySelectorAll('span.math').forEach(keepSignAtFormula);
});
