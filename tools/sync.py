"""Make README.md from nbs/index.ipynb, every link to this project and the set-up cell of each
notebook from settings.ini, and what notebooks take from chapters (see course.py); join what a cell
has printed, which a kernel hands over in pieces that differ from run to run.

`python tools/sync.py` writes what is out of date, `--check` names it and exits with 1.
A link is ours when it is an "Open In Colab" badge or names our repository on GitHub. The README's
links to files are relative, and so work in every fork; setup.py makes them absolute
for a package index.
"""
import posixpath, re, sys
from configparser import ConfigParser
from pathlib import Path
import nbformat
from course import book, distinct, made, summary, tables
from nbconvert import MarkdownExporter
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
LINKING = 'CONTRIBUTING.md', 'CHANGELOG.md', 'CITATION.cff'
LINK = re.compile(r'(\]\(|href="|src=")(?!\w+:|#|/)([^)"#\s]+)')  # the path of a relative link
NO_INPUT = Config(TagRemovePreprocessor=dict(enabled=True, remove_input_tags=['folded']))
SETUP = """#| hide
#| fold Show the set-up
import os, sys
from importlib.util import find_spec
def ready(): return all(getattr(find_spec(m), 'origin', 0) for m in ('{name}', 'torch'))
if not ready() and sys.platform != 'emscripten':  # a browser's own Python has no torch
    clone = os.path.exists('../settings.ini')
    source = '-e ..' if clone else '{name}'
    %pip install -q --retries 1 $source
    if clone: sys.path.append(os.path.abspath('..'))
if not ready():
    from IPython.core.error import UsageError
    raise UsageError('pip could not install {name}; with a network, and a Python that '
        'torch supports (JupyterLite has none), this may work: '
        '%pip install git+{url}')"""

def settings(root=ROOT):
    cfg = ConfigParser()
    cfg.read(Path(root)/'settings.ini', encoding='utf-8')
    return cfg['DEFAULT']

def badge(
    name,  # of the notebook, as '03_mse'
    cfg,   # the settings
) -> str:
    "The Colab badge of a notebook, in Markdown."
    file = f"{cfg['user']}/{cfg['repo']}/blob/{cfg['branch']}/{cfg['nbs_path']}/{name}.ipynb"
    colab = 'https://colab.research.google.com'
    return f'[![Open In Colab]({colab}/assets/colab-badge.svg)]({colab}/github/{file})'

def setup(cfg) -> str:
    "The second cell of each notebook: it installs the package where it is lacking, or says how."
    return SETUP.format(name=cfg['lib_name'], url=cfg['git_url'])

def set_up(text, cfg) -> str:
    "The JSON of a notebook with its set-up cell as `setup` has it."
    nb = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    old = nb.cells[1]
    if '%pip install' not in old.source or old.source == setup(cfg): return text
    old.source = setup(cfg)
    return nbformat.writes(nb) + '\n'

def joined(text) -> str:
    "The JSON of a notebook in which neighbouring outputs to one stream are one output."
    nb = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    changed = False
    for c in nb.cells:
        outs = []
        for o in c.get('outputs', []):
            last = outs[-1] if outs else {}
            if o.output_type == 'stream' and o.name == last.get('name'): last.text += o.text
            else: outs.append(o)
        if len(outs) < len(c.get('outputs', [])): c.outputs,changed = outs, True
    return nbformat.writes(nb) + '\n' if changed else text

def relink(text, name, cfg) -> str:
    "`text` of the file `name` with its links to this project as settings.ini has them."
    text = re.sub(r'\[!\[Open In Colab\]\([^)]*\)\]\([^)]*\)', lambda m: badge(name, cfg), text)
    colab = 'https://colab.research.google.com/github'
    text = re.sub(rf"{colab}/[\w.-]+/{cfg['repo']}/blob/[\w.-]+/",
                  f"{colab}/{cfg['user']}/{cfg['repo']}/blob/{cfg['branch']}/", text)
    site = cfg['doc_host'] + cfg['doc_baseurl']
    text = re.sub(rf"https://[\w.-]+\.github\.io/{cfg['repo']}\b", lambda m: site, text)
    return re.sub(rf"https://github\.com/[\w.-]+/{cfg['repo']}\b(?:/(blob|tree|raw)/[\w.-]+)?",
                  lambda m: cfg['git_url'] + (f"/{m[1]}/{cfg['branch']}" if m[1] else ''), text)

def shown(cell) -> bool:
    "Is the cell for the README? Not a hidden one, nor a fold or imports without output."
    if cell.cell_type != 'code': return True
    if re.search(r'^#\| *(hide|default_exp)\b', cell.source, re.M): return False
    if summary(cell.source): return bool(cell.outputs)
    return bool(cell.outputs) or not re.match(r'(#\|.*\n)*(import|from) ', cell.source)

def alt(cell) -> str:
    "What a cell says that its picture shows: `#| fig-alt: ...`; empty where it does not say."
    return ''.join(re.findall(r'^#\| *fig-alt: *(.*)', cell.source, re.M))

def readme(nb, cfg) -> dict:
    "The README made from the notebook `nb`, with its pictures: {path: text or bytes}."
    nbs = cfg['nbs_path']
    nb.cells = [c for c in nb.cells if shown(c)]
    nb.metadata['language_info'] = {'name': 'python'}  # nbdev_clean drops it
    alts = [alt(c) for c in nb.cells]
    for c in nb.cells:
        if c.cell_type == 'code':
            if summary(c.source): c.metadata['tags'] = ['folded']  # its output is for the README
            c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M)
        else: c.source = LINK.sub(lambda m: m[1] + posixpath.normpath(f'{nbs}/{m[2]}'), c.source)
    exporter = MarkdownExporter(config=NO_INPUT)
    text, resources = exporter.from_notebook_node(nb)
    files = {}
    for i, (name, data) in enumerate(resources['outputs'].items(), 1):
        new = f'{nbs}/images/index-{i}{posixpath.splitext(name)[1]}'  # the same when cells move
        says = alts[int(name.split('_')[1])]  # the name is output_CELL_0.png
        text = re.sub(rf'!\[\w*\]\({re.escape(name)}\)', f'![{says}]({new})', text)
        files[new] = data
    text = re.sub(r'\n{3,}', '\n\n', re.sub(r' +\n', '\n', text))
    return {'README.md': text.strip() + '\n', **files}

def wanted(root=ROOT) -> dict:
    "What each file that follows settings.ini or the index should hold; None for a stale picture."
    root, cfg = Path(root), settings(root)
    distinct(root)
    nbs = root/cfg['nbs_path']
    linking = [*sorted(nbs.glob('*.ipynb')), *(root/name for name in LINKING)]
    files = {p: relink(p.read_text(encoding='utf-8'), p.stem, cfg) for p in linking if p.exists()}
    files |= {p: relink(made(p.stem, joined(set_up(x, cfg)), root), p.stem, cfg)
              for p, x in files.items() if p.suffix == '.ipynb'}
    books = {p: x for p, x in files.items() if p.stem.startswith('answers_')}
    answers = root/cfg['lib_path']/'answers'
    files |= {answers/f"{p.stem.removeprefix('answers_')}.md": book(x) for p, x in books.items()}
    if nbs/'checker.ipynb' in files:
        files[root/cfg['lib_path']/'checker.md'] = tables(files[nbs/'checker.ipynb'])
    index = nbs/cfg['readme_nb']
    files |= {p: None for p in (nbs/'images').glob('index-*')}
    files |= {root/p: x for p, x in readme(nbformat.reads(files[index], as_version=4), cfg).items()}
    return files

def held(path):
    "The text of a text file, the bytes of another, None if there is no file."
    if not path.exists(): return None
    return path.read_bytes() if path.parent.name == 'images' else path.read_text(encoding='utf-8')

def main(check=False, root=ROOT) -> int:
    stale = {p: x for p, x in wanted(root).items() if held(p) != x}
    for p, x in stale.items():
        print(f"{'out of date' if check else 'written'}: {p.relative_to(root).as_posix()}")
        if check: continue
        p.parent.mkdir(exist_ok=True)
        if x is None: p.unlink()
        else: p.write_bytes(x if isinstance(x, bytes) else x.encode())
    if check and stale: print('Mend it with: python tools/sync.py')
    return 1 if check and stale else 0

if __name__ == '__main__': sys.exit(main('--check' in sys.argv[1:]))
