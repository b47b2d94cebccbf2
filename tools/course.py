"What the notebooks say of themselves: everything that lists chapters is made from this."
import ast, re
from functools import cached_property
from pathlib import Path
import nbformat

ROOT = Path(__file__).resolve().parents[1]
HEAD = re.compile(r'# (?P<title>.*)\n> (?P<summary>.*)')
DIFFICULTY = re.compile(r'^\*Difficulty [123] of 3, (\d+) minutes', re.M)

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
    @property
    def needs(self):
        "What the line `Builds on ...` of the opening names."
        found = re.search(r'^Builds on (.*)\.$', self.cells[0].source, re.M)
        if not found: raise ValueError(f'{self.name}: its first cell lacks a line "Builds on ..."')
        return found[1]
    @property
    def module(self):
        "The module that the notebook exports; empty where it exports none."
        return ''.join(re.findall(r'^#\| *default_exp +(\w+)', '\n'.join(self.code), re.M))
    @property
    def exports(self):
        "The public functions and classes that it adds to the package."
        return [n for c in self.code for n in exported(c)]
    @property
    def headings(self): return re.findall(r'^## (.*)', '\n'.join(self.markdown), re.M)
    @property
    def minutes(self):
        "To read and run: prose at 150 words a minute, half a minute for each cell of code."
        words = sum(len(m.split()) for m in self.markdown)
        return 5 * round((words/150 + len(self.code)/2) / 5)
    @property
    def exercises(self):
        "Minutes of the exercises."
        return sum(map(int, DIFFICULTY.findall('\n'.join(self.markdown))))

def exported(source) -> list:
    "The public functions and classes that a cell adds to the package."
    if not source.startswith('#| export'): return []
    return [s.name for s in ast.parse(source).body
            if isinstance(s, (ast.FunctionDef, ast.ClassDef)) and s.name[0] != '_']

def notebooks(root=ROOT) -> list:
    "All notebooks, the chapters first."
    return [Notebook(p) for p in sorted((Path(root)/'nbs').glob('*.ipynb'))]

def chapters(root=ROOT) -> list: return [nb for nb in notebooks(root) if nb.number]

def linked(nb): return f'[{nb.number} {nb.short}]({nb.name}.ipynb)'

def table(*rows):
    "Rows, the first of them the head, as Markdown."
    head, *body = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return '\n'.join([head, '|' + '---|' * len(rows[0]), *body])

def index_table(root=ROOT):
    def added(nb): return [n for n in nb.exports if n.removesuffix('_grad') not in
                           {*nb.exports} - {n}]  # of a pair, one
    return table(('chapter', 'what happens there', 'what it adds to the package'),
                 *[(linked(nb), nb.summary, ', '.join(f'`{n}`' for n in added(nb)))
                   for nb in chapters(root)])

def teachers_table(root=ROOT):
    return table(('chapter', 'builds on', 'minutes to read and run', 'minutes of exercises'),
                 *[(linked(nb), nb.needs, nb.minutes, nb.exercises) for nb in chapters(root)])

def star_imports(root=ROOT, beyond=True):
    "The lines that import what the chapters export; with `beyond`, all else that is public, too."
    nbs = [nb for nb in notebooks(root) if nb.exports and nb.module != '__main__']
    lines = [f'from backprop_nb.{nb.module} import *' for nb in nbs if beyond or nb.number]
    return '\n'.join(lines)

def chapter_imports(root=ROOT): return star_imports(root, beyond=False)

MADE = {  # in which notebook: lines of what kind are made, and by what
    'index': [(r'\|', index_table), (r'from \S+ import \*', star_imports)],
    'teachers': [(r'\|', teachers_table)], 'answers': [(r'from \S+ import \*', chapter_imports)]}

def made(name, text, root=ROOT) -> str:
    "The JSON of notebook `name`, its first lines of each kind in `MADE` made from the chapters."
    if name not in MADE: return text
    nb = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    for kind, make in MADE[name]:
        block = re.compile(rf'(?:^{kind}.*\n)*^{kind}.*', re.M)
        cell = next(c for c in nb.cells if block.search(c.source) and
                    (c.cell_type == 'markdown' or c.source.startswith('#|')))
        new = make(root)
        cell.source = block.sub(lambda m, new=new: new, cell.source, count=1)
    return nbformat.writes(nb) + '\n'
