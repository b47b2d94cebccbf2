"How a notebook becomes a page: plumbing dropped, links, map and descriptions of figures added."
import ast, re
from fnmatch import fnmatch
from nbformat.v4 import new_code_cell, new_markdown_cell
from course import exported as exported_by, summary
from network_map import network_map
from sync import alt

BADGE = re.compile(r'\[!\[Open In Colab\]\([^)]*\)\]\(([^)]*)\)')
OTHER_BADGES = re.compile(r'^\[!\[(?!Open In Colab)[^]]*\]\([^)]*\)\]\([^)]*\)\n?', re.M)
AXES = {'title': 'Titles', 'xlabel': 'Horizontal axis', 'ylabel': 'Vertical axis'}
MARKS = re.compile(r'^#\|.*\n?', re.M)
MAGIC = re.compile(r'^[%!].*$', re.M)

def dropped(c) -> bool:
    "Is the cell plumbing that nobody needs on a page?"
    if c.cell_type != 'code': return False
    hidden = re.search(r'^#\| *(hide|default_exp)\b', c.source, re.M)
    return bool(hidden) or not c.source.strip()

def tree(c):
    "The statements of a code cell, none where it is not plain Python."
    try: return ast.parse(MAGIC.sub('', c.source)).body if c.cell_type == 'code' else []
    except SyntaxError: return []

def exported(c) -> list:
    "The public names that a cell adds to the package."
    return exported_by(c.source) if c.cell_type == 'code' else []

def drawn_network(c):
    "(lit, net) of the call of draw_network that a cell ends with, None where it does not."
    s = tree(c)[-1:]
    call = s[0].value if s and isinstance(s[0], ast.Expr) else None
    if not (isinstance(call, ast.Call) and ast.unparse(call.func) == 'draw_network'): return None
    args = dict(zip(('lit', 'net'), call.args)) | {k.arg: k.value for k in call.keywords}
    args = {k: ast.literal_eval(v) for k, v in args.items()}
    return args.get('lit'), args.get('net', 'regression')

def plain(text) -> str:
    "Markdown as plain words."
    text = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', text)
    return re.sub(r'\s+', ' ', re.sub(r'[*`$#>"\\{}]|(?<=\s)_|_(?=\s)', ' ', text)).strip()

def described(c, before) -> str:
    "What a figure shows, for those who do not see it: what leads to it, and its titles and axes."
    if given := alt(c): return plain(given)
    text = re.sub(r'\$\$.*?\$\$|```.*?```', '', before, flags=re.S)
    text = plain(re.sub(r'^(#+ |\|).*$', '', text, flags=re.M))
    lead = re.match(r'.{,150}[.:?](?=\s|$)|.*?[.:?](?=\s|$)', text + '.')[0].rstrip('.:')
    parts = [] if 'draw_graph(' not in c.source else [
        'A graph, values above its arrows and gradients below']
    for key, says in AXES.items():
        words = re.findall(rf"\b(?:set_)?{key}(?:=|\(f?)f?['\"]([^'\"{{]+)", c.source)
        if words: parts.append(f"{says}: {', '.join(dict.fromkeys(map(plain, words)))}")
    parts = [lead, *parts] if lead else parts or ['The figure that this code draws']
    return '. '.join(parts).replace('?.', '?').rstrip('?') + '.'

def linked(source, names) -> str:
    "Markdown with the first mention of each public name in backticks linked to the reference."
    seen = set()
    def link(m):
        name = m[2] and m[2].split('(')[0]
        if not name or name not in names or name in seen: return m[0]
        seen.add(name)
        return f'[{m[1]}](#{names[name]})'
    # code, links, headings, and what is not ours
    left_alone = r"```.*?```|\[[^]]*\]\([^)]*\)|^#+ [^\n]*$|PyTorch's(?: own)? `[^`]*`"
    return re.sub(left_alone + r'|(`(\w+(?:\(\))?)`)', link, source, flags=re.S | re.M)

def roomy(source) -> str:
    "Markdown whose formulas of several lines keep fractions and matrices apart."
    inner = r'\\begin\{(bmatrix|cases)\}.*?\\end\{\1\}'  # GitHub's TeX has no lengths: only here
    def room(lines):
        if not re.search(r'frac|bmatrix', lines[0]): return lines[0]
        return re.sub(inner + r'|\\\\', lambda m: m[0] if m[1] else r'\\[0.4em]', lines[0],
                      flags=re.S)
    return re.sub(r'\\begin\{aligned\}.*?\\end\{aligned\}', room, source, flags=re.S)

def done(key, words='done') -> str:
    "A box to tick; the browser keeps what is ticked, by its key (course.js)."
    name = f"{'exercise' if '.' in key else 'chapter'} {key} done"
    return (f'<label class="done"><input type="checkbox" data-done="{key}" aria-label="{name}" '
            f'disabled> {words}</label>')

def buttons(name, colab) -> str:
    "Links that run and fetch the notebook, in the place of the badge; a chapter has a mark."
    mark = ' ' + done(name[:2]) if name[:2].isdigit() else ''
    return (f'<p class="run headerlink"><a href="{colab}">Open in Colab</a> '
            f'<a href="_sources/{name}.ipynb" download>Download the notebook</a>{mark}</p>')

def your_turn(source, run) -> str:
    "The cell that opens the exercises, with the buttons again, or that asks one, with a mark."
    source = re.sub(r'^(## Your turn)$', rf'\1\n\n{run}', source, count=1, flags=re.M)
    return re.sub(r'^(### (\d\d\.\d) .*\n\n)(?=\*Difficulty )',
                  lambda m: f'{m[1]}{done(m[2])} ', source, count=1, flags=re.M)

def places(added, names) -> str:
    "The marks at a cell that adds the names `added` to the package, with links to the reference."
    links = ', '.join(f'<a href="reference.html#{names[n]}"><code>{n}</code></a>' for n in added)
    marks = ''.join(f'<span id="def-{n}"></span>' for n in added)
    return f'<p class="defined headerlink">{marks}in the package: {links}</p>'

def defined(c) -> list:
    "The functions and classes that a cell defines."
    return [s.name for s in tree(c) if isinstance(s, (ast.FunctionDef, ast.ClassDef))]

def fold(c, says):
    "Fold the code of a cell behind the words `says`, which begin with Show."
    c.metadata['tags'] = ['hide-input']
    c.metadata.setdefault('mystnb', {}).update(
        code_prompt_show=says, code_prompt_hide=says.replace('Show', 'Hide', 1))

def folded(cells):
    "Make the first of several cells hold them all, folded."
    cells[0].source = '\n'.join(MARKS.sub('', c.source) for c in cells)
    fold(cells[0], 'Show the imports')

def imports(c) -> bool:
    first = next(iter(tree(c)), None)
    return isinstance(first, (ast.Import, ast.ImportFrom)) and not c.outputs

def opening(cells) -> list:
    "The cells before the first section, with one folded cell in the place of those that import."
    importing = [c for c in cells if imports(c)]
    if importing: folded(importing)
    return [c for c in cells if c not in importing[1:]]

def keeps_paper(c, before, after) -> bool:
    "Is the figure wrong with dark and light swapped: digits of ink, or told as such?"
    told = before.strip().split('\n\n')[-1], alt(c), after.strip().split('\n\n')[0]
    return 'show_digits' in c.source or bool(re.search(
        r'\b(white|black\w*|dark\w*|pale\w*|bright\w*|ink)\b', ' '.join(told), re.I))

def captioned(cells, chapter):
    "Give each figure of a chapter a number and an anchor; what it shows becomes its caption."
    figures = [c for c in cells if c.get('outputs') and 'image' in c.metadata.get('mystnb', {})]
    for k, c in enumerate(figures, 1):
        values = [o for o in c.outputs if 'image/png' not in o.get('data', ('image/png',))]
        if values:  # they are no part of the figure
            c.outputs = [o for o in c.outputs if o not in values]
            below = new_code_cell('_', outputs=values, metadata={'tags': ['remove-input']})
            cells.insert(cells.index(c) + 1, below)
        made = c.metadata['mystnb']
        says = re.sub(r'([!-/:-@[-`{-~])', r'\\\1', made['image']['alt'].rstrip('.'))
        made['image']['alt'] = number = f'Figure {chapter}.{k}'  # nobody hears the rest twice
        made['figure'] = {'caption': f'{number}: {says}.', 'name': f'figure-{chapter}-{k}'}

def coded(c, before, after, names, pages) -> list:
    "The cells of a page for a code cell, given the Markdown before it and the cell after it."
    added, network = [n for n in exported(c) if n in names], drawn_network(c)
    widths = [o.metadata.get('image/png', {}).get('width', 0)
              for o in c.outputs if 'image/png' in o.get('data', {})]
    if widths:
        kinds = ['wide'] * (max(widths) > 500) + ['paper'] * keeps_paper(c, before, after)
        c.metadata['mystnb'] = {'image': {'alt': described(c, before), 'classes': ' '.join(kinds)}}
    if says := summary(c.source):
        fold(c, ': '.join(filter(None, [says, ', '.join(defined(c)[:2])])))
    c.source = MARKS.sub('', c.source)
    if network: c.outputs = []
    return ([new_markdown_cell(places(added, names))] if added else []) + [c] + (
        [new_markdown_cell(network_map(*network, pages))] if network else [])

def page(nb, name, names, pages):
    "The notebook `nb` as it is on the page `name`; `names` has the anchor of each public name."
    cells = [c for c in nb.cells if not dropped(c)]
    sections = [i for i, c in enumerate(cells)
                if c.cell_type == 'markdown' and re.search('^## ', c.source, re.M)]
    at = sections[0] if sections else len(cells)
    network = None, 'regression'
    if name[:2].isdigit():
        top = next((c for c in cells[at:at + 3] if drawn_network(c)), None)
        if top: network = drawn_network(top); cells.remove(top)
        elif name[:2] > '06': network = None  # the first network is behind us
    out, before = [], ''
    badge = BADGE.search(cells[0].source)
    run = buttons(name, badge[1]) if badge and name != 'index' else ''
    shown = opening(cells[:at]) + cells[at:]
    texts = [c.source if c.cell_type == 'markdown' else '' for c in shown]
    for c, after in zip(shown, [*texts[1:], '']):
        if c.cell_type == 'code': out += coded(c, before, after, names, pages); continue
        before = c.source
        c.source = BADGE.sub(run, linked(OTHER_BADGES.sub('', roomy(c.source)), names))
        if name[:2].isdigit(): c.source = your_turn(c.source, run)
        out.append(c)
    if name[:2].isdigit() and network:
        out.insert(1, new_markdown_cell(network_map(*network, pages)))
    if name[:2].isdigit(): captioned(out, name[:2])
    if name == 'index': out = front(without_code(out))
    if name.startswith('answers_'): out = answers_folded(out)
    nb.cells = out
    return nb

def front(cells) -> list:
    "The front page, with boxes around the table of chapters, and around the first two results."
    for c in cells:
        c.source = re.sub(r'^\| chapter \|.*(?:\n\|.*)*',
                          r'<div class="chapters">\n\n\g<0>\n\n</div>', c.source, flags=re.M)
    drawn = [i for i, c in enumerate(cells) if c.get('outputs')]
    if drawn:  # the picture, and the text after it
        cells.insert(drawn[0], new_markdown_cell('<div class="results">'))
        cells.insert(drawn[0] + 3, new_markdown_cell('</div>'))
    return cells

def without_code(cells) -> list:
    "The front page shows what folded cells give, not their code."
    hidden = [c for c in cells if 'hide-input' in c.metadata.get('tags', ())]
    for c in hidden: c.metadata['tags'] = ['remove-input']
    return [c for c in cells if c not in hidden or c.outputs]

FOLDS = {'**Hints**': 'Hints', '**Derivation**': 'Derivation, code, and what people get wrong'}

def answers_folded(cells) -> list:
    "Behind each question, its hints and its answer, to be unfolded one after the other."
    out, inside = [], False
    for c in [*cells, None]:
        first = c.source.split('\n')[0] if c and c.cell_type == 'markdown' else ''
        ends = c is None or first.startswith('## ') or first in FOLDS
        if inside and ends: out.append(new_markdown_cell('</details>')); inside = False
        if first in FOLDS:
            says = f'<details class="answer"><summary>{FOLDS[first]}</summary>'
            out.append(new_markdown_cell(says))
            c.source, inside = c.source.removeprefix(first).strip(), True
        if c is not None: out.append(c)
    return out

ANSWERS, WORKSHOP = 'practice', 'exercises'  # pages that have others below them
CONTENTS = {  # the groups of the table of contents; a page that stands in none fails the build
    'Chapters': ['[0-9][0-9]_*'],
    'Beyond the chapters': [ANSWERS, 'play', 'own', 'demo', 'clinic', 'teachers'],
    'Reference': ['notation', 'formulas', 'reference', 'operation', WORKSHOP]}
BELOW = {  # the same below a page, folded
    'play': ['play_*'], ANSWERS: ['answers_*'],
    WORKSHOP: ['checker', 'one_change', 'faults', 'progress']}

def tree_of(titles, patterns, caption=''):
    "A table of contents of the pages in {name: title} that fit the patterns."
    found = [n for pattern in patterns for n in sorted(titles) if fnmatch(n, pattern)]
    rows = [f'{n[:2]} {titles[n]} <{n}>' if n[0].isdigit() else n for n in found]
    head = '```{toctree}\n:hidden:\n' + (f':caption: {caption}\n' if caption else '')
    return '\n'.join([head, *rows, '```']) if rows else ''

def contents(titles):
    "A cell with the table of contents of the pages in {name: title}, chapters with their number."
    return new_markdown_cell('\n\n'.join(tree_of(titles, p, c) for c, p in CONTENTS.items()))

def below(titles, name):
    "The same for the pages below a page."
    return tree_of(titles, BELOW.get(name, []))
