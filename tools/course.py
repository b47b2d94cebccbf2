"What the notebooks say of themselves: everything that lists chapters is made from this."
import ast, base64, io, re
from functools import cached_property
from pathlib import Path
import nbformat
from nbformat.v4 import new_markdown_cell

ROOT = Path(__file__).resolve().parents[1]
HEAD = re.compile(r'# (?P<title>.*)\n> (?P<summary>.*)')
EXERCISE = re.compile(r'^### (\d\d\.\d) (.*)\n\n\*Difficulty ([123]) of 3, (\d+) minutes', re.M)

class Notebook:
    "A notebook of the course."
    def __init__(self, path): self.path, self.name = Path(path), Path(path).stem
    @cached_property
    def cells(self): return nbformat.read(self.path, as_version=nbformat.NO_CONVERT).cells
    @property
    def markdown(self): return [c.source for c in self.cells if c.cell_type == 'markdown']
    @property
    def code(self): return [c.source for c in self.cells if c.cell_type == 'code']
    @property
    def number(self):
        "Of a chapter, as '04'; empty elsewhere."
        return self.name[:2] if self.name[:2].isdigit() else ''
    @property
    def title(self): return HEAD.match(self.cells[0].source)['title']
    @property
    def short(self): return self.title.split(':')[0]
    @property
    def summary(self): return HEAD.match(self.cells[0].source)['summary']
    def says(self, words):
        "What a line of the opening says that begins with these words."
        found = re.search(rf'^{words} (.*)\.$', self.cells[0].source, re.M)
        if not found: raise ValueError(f'{self.name}: its first cell lacks a line "{words} ..."')
        return found[1]
    @property
    def needs(self): return self.says('Builds on')
    @property
    def gives(self): return self.says('After it you can')
    @property
    def module(self):
        "The module that the notebook exports; empty where it exports none."
        return ''.join(re.findall(r'^#\| *default_exp +(\w+)$', '\n'.join(self.code), re.M))
    @property
    def exports(self):
        "The public functions and classes that it adds to the package."
        return [n for c in self.code for n in exported(c)]
    @property
    def command(self):
        "Is the module one to be run with `python -m`?"
        return any("__name__ == '__main__'" in c for c in self.code if c.startswith('#| export'))
    @property
    def headings(self): return re.findall(r'^## (.*)', '\n'.join(self.markdown), re.M)
    @property
    def lesson(self):
        "The cells before the exercises."
        at = [i for i, c in enumerate(self.cells) if re.search('^## Your turn', c.source, re.M)]
        return self.cells[:at[0]] if at else self.cells
    @property
    def minutes(self):
        "To read and run: prose at 150 words a minute, half a minute for a cell of open code."
        words = sum(len(c.source.split()) for c in self.lesson[1:] if c.cell_type == 'markdown')
        code = [c for c in self.lesson if c.cell_type == 'code' and not summary(c.source)]
        return 5 * round((words/150 + len(code)/2) / 5)
    @property
    def asked(self):
        "Its exercises: (number, title, difficulty, minutes)."
        text = '\n\n'.join(self.markdown)
        found = EXERCISE.findall(text)
        if lacks := {*re.findall(r'^### (\d\d\.\d) ', text, re.M)} - {n for n, *_ in found}:
            raise ValueError(f'{self.name}: below the heading of {", ".join(sorted(lacks))} a line '
                             'has to begin "*Difficulty 2 of 3, 10 minutes"')
        return found
    @property
    def exercises(self):
        "Minutes of the exercises."
        return sum(int(minutes) for *_, minutes in self.asked)
    @property
    def in_short(self):
        "The blocks of Markdown below the heading `In short`; links lead into the notebook."
        text = '\n\n'.join(self.markdown)
        found = re.search(r'^## In short$(.*?)(?=^## |\Z)', text, re.M | re.S)
        text = re.sub(r'\]\(#', f']({self.name}.ipynb#', found[1]) if found else ''
        return [b.strip('\n') for b in re.split(r'\n\s*\n', text) if b.strip()]
    @property
    def formulas(self):
        "The blocks of `In short` up to the last table of formulas, without tables of letters."
        blocks = self.in_short
        last = max((k for k, b in enumerate(blocks) if b.startswith(FORMULAS)), default=-1)
        return [b for b in blocks[:last + 1] if not b.startswith(LETTERS)]
    @property
    def letters(self):
        "The rows of its tables of letters."
        return [row for b in self.in_short if b.startswith(LETTERS) for row in b.split('\n')[2:]]

FORMULAS, LETTERS = ('| | formula |', '| what | formula |'), '| letter |'

def formulas(root=ROOT) -> str:
    "The formulas of all chapters, a section for each."
    return '\n\n'.join('\n\n'.join([f'## {nb.number} {nb.short}', *nb.formulas])
                       for nb in chapters(root))

def letters(root=ROOT) -> str:
    "The letters that chapters have for themselves, as a table."
    head, line = '| chapter | letter | what it is | shape | in code |', '|---|---|---|---|---|'
    return '\n'.join([head, line, *[f'| [{nb.number}]({nb.name}.ipynb#in-short) {row}'
                                    for nb in chapters(root) for row in nb.letters]])

def slug(title) -> str:
    "The anchor of a heading, as GitHub and the site have it."
    return re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')

def exercises(mark, root=ROOT) -> str:
    "All exercises, a table for each chapter; `mark(number)` goes into the first column."
    tables = []
    for nb in chapters(root):
        def link(name): return f'[{name}]({nb.name}.ipynb#{slug(name)})'
        rows = [(mark(n), link(f'{n} {title}'), f'{hard} of 3', t)
                for n, title, hard, t in nb.asked]
        tables += [f'## {nb.number} {nb.short}',
                   table(('done', 'exercise', 'difficulty', 'minutes'), *rows),
                   f'[Answers to chapter {nb.number}](answers_{nb.name}.ipynb)']
    return '\n\n'.join(tables)

def exported(source) -> list:
    "The public functions and classes that a cell adds to the package."
    if not re.match(r'#\| export\b', source): return []  # exporti: it has them for itself
    return [s.name for s in ast.parse(source).body
            if isinstance(s, (ast.FunctionDef, ast.ClassDef)) and s.name[0] != '_']

def notebooks(root=ROOT) -> list:
    "All notebooks, the chapters first."
    return [Notebook(p) for p in sorted((Path(root)/'nbs').glob('*.ipynb'))]

def chapters(root=ROOT) -> list: return [nb for nb in notebooks(root) if nb.number]

def distinct(root=ROOT):
    "Raise `ValueError` where two notebooks have a number, a module or an exercise in common."
    seen = {}
    for nb in notebooks(root):
        modules = re.findall(r'^#\| *default_exp +(\S+)', '\n'.join(nb.code), re.M)
        for what in [*filter(None, [nb.number]), *modules, *(n for n, *_ in nb.asked)]:
            if what in seen:
                raise ValueError(f'{seen[what]} and {nb.name} both have {what}; want one each')
            seen[what] = nb.name

def linked(nb): return f'[{nb.number} {nb.short}]({nb.name}.ipynb)'

def table(*rows):
    "Rows, the first of them the head, as Markdown."
    head, *body = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return '\n'.join([head, '|' + '---|' * len(rows[0]), *body])

PARTS = {  # of the course, by the number of their first chapter
    '00': 'The ground', '03': 'One network, box by box', '08': 'Classes, training, pictures',
    '12': 'Depth and text', '17': 'The machine below'}

MINUTES, EXERCISES = (lambda nb: nb.minutes), (lambda nb: nb.exercises)

def parts(root=ROOT) -> dict:
    "The chapters of each part."
    found = {part: [] for part in PARTS.values()}
    for nb in chapters(root):
        found[next(p for n, p in reversed(PARTS.items()) if n <= nb.number)].append(nb)
    return {part: nbs for part, nbs in found.items() if nbs}

def index_table(root=ROOT):
    rows = []
    for part, nbs in parts(root).items():
        read, work = sum(map(MINUTES, nbs)), sum(map(EXERCISES, nbs))
        rows.append((f'**{part}**', f'**{read} + {work}**', '', ''))
        rows += [(linked(nb), f'{nb.minutes} + {nb.exercises}', nb.needs, nb.gives) for nb in nbs]
    return table(('chapter', 'minutes', 'builds on', 'after it you can'), *rows)

def how_long(root=ROOT):
    "The sentence on the whole course."
    nbs = chapters(root)
    read, work = [round(sum(map(f, nbs)) / 60) for f in (MINUTES, EXERCISES)]
    return (f'The whole course takes about {read + work} hours: {read} to read and run its '
            f'{len(nbs)} chapters, {work} for the exercises. It is free, under the Apache 2.0 '
            'licence.')

def weeks(nbs, n) -> list:
    "The chapters cut in order into n weeks, so that the longest week is as short as can be."
    times = [nb.minutes + nb.exercises for nb in nbs]
    def cut(most):
        found = [[]]
        for nb, t in zip(nbs, times):
            full = found[-1] and sum(b.minutes + b.exercises for b in found[-1]) + t > most
            if full: found.append([])
            found[-1].append(nb)
        return found
    return next(w for most in range(max(times), sum(times) + 1) if len(w := cut(most)) <= n)

PLANS = {4: '07', 8: '11', 14: '99'}  # weeks of a course, and its last chapter

def plans_table(root=ROOT):
    "Which chapters in which week, for each plan."
    plans = [weeks([nb for nb in chapters(root) if nb.number <= last], n)
             for n, last in PLANS.items()]
    rows = []
    for k in range(max(map(len, plans))):
        books = [plan[k] if k < len(plan) else [] for plan in plans]
        rows.append((k + 1, *[', '.join(f'[{nb.number}]({nb.name}.ipynb)' for nb in nbs) +
                              (f': {sum(nb.minutes + nb.exercises for nb in nbs)}' if nbs else '')
                              for nbs in books]))
    return table(('week', *[f'{n} weeks' for n in PLANS]), *rows)

def teachers_table(root=ROOT):
    return table(('chapter', 'builds on', 'minutes to read and run', 'minutes of exercises'),
                 *[(linked(nb), nb.needs, nb.minutes, nb.exercises) for nb in chapters(root)])

def star_imports(root=ROOT, of_chapters=True):
    "The lines that import what is public: of the chapters, or of the rest but for the commands."
    nbs = [nb for nb in notebooks(root) if nb.exports and not nb.command]
    return '\n'.join(f'from backprop_nb.{nb.module} import *' for nb in nbs
                     if bool(nb.number) == of_chapters)

def lines(first): return rf'^{first}.*(?:\n\|.*)*'

def stars(first): return rf'^from backprop_nb\.{first} import \*(?:\nfrom \S+ import \*)*'

MADE = {  # in which notebook: which lines are made, and by what
    'index': [(lines(r'\| chapter'), index_table), (lines('The whole course takes'), how_long),
              (stars('graph'), star_imports),
              (stars('checker'), lambda root: star_imports(root, of_chapters=False))],
    'teachers': [(lines(r'\| week'), plans_table), (lines(r'\| chapter'), teachers_table)]}

def questions(nb) -> dict:
    """The cells that ask the exercises of a chapter, by their first line, each with the code that
    is to be mended, where there is some; links lead into the chapter."""
    found = {}
    for c in nb.cells:
        if re.match(r'### \d\d\.\d ', c.source):
            head = c.source.split('\n')[0][1:]
            found[head] = re.sub(r'\]\(#', f']({nb.name}.ipynb#', c.source[1:])
        stub = re.sub(r"^check\('\d\d\.\d', .*\n?", '', c.source, flags=re.M).strip()
        if stub != c.source and not re.search(r'\.\.\.$|NotImplementedError', stub, re.M) and \
                re.search('^def ', stub, re.M): found[head] += f'\n\n```python\n{stub}\n```'
    return found

def ask(nb, name, root) -> bool:
    "Put the questions of its chapter into a notebook of answers; has anything changed?"
    asked = questions(Notebook(Path(root)/'nbs'/f"{name.removeprefix('answers_')}.ipynb"))
    old = [c.source for c in nb.cells]
    for c in nb.cells:
        if c.source.startswith('## '): c.source = asked.get(c.source.split('\n')[0], c.source)
    return old != [c.source for c in nb.cells]

SITE = 'https://backprop-nb.github.io/backprop_nb'  # sync.py makes both ours
LICENCE = 'https://github.com/backprop-nb/backprop_nb/blob/main/LICENSE'

def ranges(numbers) -> str:
    "'00, 02, 03, 04' as '00 and 02 to 04'."
    runs = []
    for n in sorted(numbers):
        if runs and int(n) == int(runs[-1][-1]) + 1: runs[-1].append(n)
        else: runs.append([n])
    words = [w for r in runs for w in ([f'{r[0]} to {r[-1]}'] if len(r) > 2 else r)]
    return ' and '.join(filter(None, [', '.join(words[:-1]), words[-1]]))

def rests_on(book, root) -> str:
    "The sentence on the chapters that a chapter needs because those need them that it builds on."
    direct = {nb.number: re.findall(r'\[(\d\d)\]', nb.needs) for nb in chapters(root)}
    mine = direct[book.number]
    todo = [*mine]
    for n in todo: todo += [m for m in direct.get(n, []) if m not in todo]
    if not (more := {*todo} - {*mine}): return ''
    these = 'That chapter builds' if len(mine) == 1 else 'Those chapters build'
    return f'\n{these} on {ranges(more)} in turn.'

def opened(nb, name, root) -> bool:
    "Say in the opening of a chapter what it is part of and how long it takes; has it changed?"
    book, first = Notebook(Path(root)/'nbs'/f'{name}.ipynb'), nb.cells[0]
    course = f'Chapter {book.number} of [Backpropagation by hand]({SITE}), a free course.'
    says = (f'About {book.minutes} minutes to read and run, and {book.exercises} more for the '
            'exercises.')
    old = first.source
    made_before = r'(?:Chapter \d\d of .*\n)?', r'(?:\nTh.* in turn\.)?(?:\nAbout \d+ min.*)?'
    first.source = re.sub(r'^{}(Builds on .*){}$'.format(*made_before), lambda m: (
        f'{course}\n{m[1]}{rests_on(book, root)}\n{says}'), old, count=1, flags=re.M)
    return old != first.source

def lead_on(nb, name, root) -> bool:
    "Put links to its neighbours below the last cell of `Your turn`; has anything changed?"
    others = chapters(root)
    before, after = [x for x in others if x.name < name], [x for x in others if x.name > name]
    at = [k for k, c in enumerate(nb.cells) if c.source.startswith('progress(')]
    old = [c.source for c in nb.cells]
    nb.cells = [c for c in nb.cells if c.id != 'next-chapter']
    lines = [f'Next: {linked(x)}. {x.summary}' for x in after[:1]]
    lines += [f'Before: {linked(x)}.' for x in before[-1:]]
    lines.append(f'A chapter of [Backpropagation by hand]({SITE}), under the '
                 f'[Apache 2.0 licence]({LICENCE}).')
    if others and at:
        nb.cells.insert(at[-1] + 1, new_markdown_cell('\n\n'.join(lines), id='next-chapter'))
    return old != [c.source for c in nb.cells]

def book(text) -> str:
    "What the package keeps of a notebook of answers: its Markdown, from the first question."
    cells = nbformat.reads(text, as_version=nbformat.NO_CONVERT).cells
    text = '\n\n'.join(c.source for c in cells if c.cell_type == 'markdown')
    return text[text.index('\n## ') + 1:] + '\n'

def tables(text) -> str:
    "What the package keeps of the checker's notebook: its tables, each below its name."
    cells = nbformat.reads(text, as_version=nbformat.NO_CONVERT).cells
    found = [re.search(r'^\*\*\w+\*\*\n\n\|.*', c.source, re.M | re.S) for c in cells]
    return '\n\n'.join(m[0] for m in found if m) + '\n'

def fold(nb) -> bool:
    "Let Jupyter hide the code of cells that say `#| fold Show ...`; has anything changed?"
    changed = False
    for c in nb.cells:
        want = {'source_hidden': True} if c.cell_type == 'code' and summary(c.source) else None
        if c.metadata.get('jupyter') != want:
            changed = True
            c.metadata.pop('jupyter', None)
            if want: c.metadata['jupyter'] = want
    return changed

def lighter(nb) -> bool:
    "Let the pictures among the outputs have at most 256 colours; has anything changed?"
    changed = False
    for c in nb.cells:
        for o in c.get('outputs', []):
            png = base64.b64decode(o.get('data', {}).get('image/png', ''))
            if png[25:26] not in (b'\x02', b'\x06'): continue  # of the header: RGB, with alpha
            from PIL import Image
            small = io.BytesIO()
            rgb = Image.open(io.BytesIO(png)).convert('RGB')
            rgb.quantize(256, dither=Image.Dither.NONE).save(small, 'png', optimize=True)
            if small.tell() < len(png):
                o.data['image/png'] = base64.b64encode(small.getvalue()).decode()
                changed = True
    return changed

def summary(source) -> str:
    "What stands in the place of a folded cell's code."
    return ''.join(re.findall(r'^#\| *fold +(.*)', source, re.M)[:1])

def made(name, text, root=ROOT) -> str:
    "The JSON of notebook `name`, its lines in `MADE` made from the chapters."
    nb = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    changed = fold(nb) | lighter(nb)
    if name.startswith('answers_'): changed |= ask(nb, name, root)
    if name[:2].isdigit(): changed |= opened(nb, name, root) | lead_on(nb, name, root)
    if not changed and name not in MADE: return text
    for block, make in MADE.get(name, []) if chapters(root) else []:
        block = re.compile(block, re.M)
        cell = next(c for c in nb.cells if block.search(c.source) and
                    (c.cell_type == 'markdown' or c.source.startswith('#|')))
        new = make(root)
        cell.source = block.sub(lambda m, new=new: new, cell.source, count=1)
    return nbformat.writes(nb) + '\n'
