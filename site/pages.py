"How a notebook becomes a page: plumbing dropped, links, map and descriptions of figures added."
import ast, re
from fnmatch import fnmatch
from nbformat.v4 import new_markdown_cell
from course import exported as exported_by, summary
from network_map import network_map
from sync import alt

BADGE = re.compile(r'\[!\[Open In Colab\]\([^)]*\)\]\(([^)]*)\)')
AXES = {'title': 'Titles', 'xlabel': 'Across', 'ylabel': 'Up'}
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

def buttons(name, colab) -> str:
    "Links that run and fetch the notebook, in the place of the badge."
    return (f'<p class="run headerlink"><a href="{colab}">Open in Colab</a> '
            f'<a href="_sources/{name}.ipynb" download>Download the notebook</a></p>')

def places(added, names) -> str:
    "The marks at a cell that adds the names `added` to the package, with links to the reference."
    links = ', '.join(f'<a href="reference.html#{names[n]}"><code>{n}</code></a>' for n in added)
    marks = ''.join(f'<span id="def-{n}"></span>' for n in added)
    return f'<p class="defined headerlink">{marks}in the package: {links}</p>'

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

def coded(c, before, names, pages) -> list:
    "The cells of a page for a code cell, given the Markdown before it."
    added, network = [n for n in exported(c) if n in names], drawn_network(c)
    widths = [o.metadata.get('image/png', {}).get('width', 0)
              for o in c.outputs if 'image/png' in o.get('data', {})]
    if widths:
        size = 'wide' if max(widths) > 640 else ''
        c.metadata['mystnb'] = {'image': {'alt': described(c, before), 'classes': size}}
    if says := summary(c.source): fold(c, says)
    c.source = MARKS.sub('', c.source)
    if network: c.outputs = []
    return ([new_markdown_cell(places(added, names))] if added else []) + [c] + (
        [new_markdown_cell(network_map(*network, pages))] if network else [])

def page(nb, name, names, pages):
    "The notebook `nb` as it is on the page `name`; `names` has the anchor of each public name."
    cells = [c for c in nb.cells if not dropped(c)]
    sections = [i for i, c in enumerate(cells)
                if c.cell_type == 'markdown' and c.source.startswith('## ')]
    at = sections[0] if sections else len(cells)
    network = None, 'regression'
    if name[:2].isdigit():
        top = next((c for c in cells[at:at + 3] if drawn_network(c)), None)
        if top: network = drawn_network(top); cells.remove(top)
    out, before = [], ''
    for c in opening(cells[:at]) + cells[at:]:
        if c.cell_type == 'code': out += coded(c, before, names, pages); continue
        before = c.source
        c.source = BADGE.sub(lambda m: buttons(name, m[1]), linked(c.source, names))
        out.append(c)
    if name[:2].isdigit(): out.insert(1, new_markdown_cell(network_map(*network, pages)))
    nb.cells = out
    return nb

CONTENTS = {  # the groups of the table of contents; a page that stands in none fails the build
    'Chapters': ['[0-9][0-9]_*'],
    'Beyond the chapters': ['own', 'demo', 'clinic', 'play', 'teachers'],
    'To look things up': ['notation', 'formulas', 'reference', 'operation'],
    'Answers': ['answers_*'],
    'How answers are checked': ['exercises', 'progress', 'checker', 'one_change', 'faults']}

def contents(titles):
    "A cell with the table of contents of the pages in {name: title}, chapters with their number."
    tables = []
    for caption, patterns in CONTENTS.items():
        found = [n for pattern in patterns for n in sorted(titles) if fnmatch(n, pattern)]
        rows = [f'{n[:2]} {titles[n]} <{n}>' if n[0].isdigit() else n for n in found]
        head = f'```{{toctree}}\n:hidden:\n:caption: {caption}\n'
        if rows: tables.append('\n'.join([head, *rows, '```']))
    return new_markdown_cell('\n\n'.join(tables))
