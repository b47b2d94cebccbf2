"""How well do the notebooks test themselves? Plant faults in them and count those that are caught.

A fault is one small change in an exported cell, such as a reader makes: a sign, an operator, a mean
for a sum, a lost transpose, < for <=, a constant off by one or by a factor of two, an upstream
gradient dropped, a gradient added where it should overwrite. All possible faults are listed, and
`--n` of them drawn, each as likely as any other: a cell with twice the code gets twice the faults.

Each drawn fault is tried alone: the notebook that holds the cell runs from top to bottom with the
fault in it. The fault is caught when a cell raises an error, or when the run takes more than ten
times as long as without the fault. Those that no cell notices are planted in a copy of the package,
and the tests of its module, and those that import it, run: they may catch it, too (not with
`--alone`). Nothing else counts: a picture or a printed number that would look wrong to a reader is
no catch. The answers, most of whose code is wrong on purpose, are tried only where `--notebook`
names them.

The score is caught / planted; the exit code is 1 below 95 %. No fault is forgiven: some survivors
do not change what the code computes (n < 1 for n <= 0), so 100 % cannot be reached. Not planted are
faults in imports, annotations, texts and `raise` statements, those that leave the bytecode as it
was, and, unless `--drawing` is given, those in code that only draws (see `drawing`).
"""
import argparse, ast, difflib, multiprocessing, os, random, re, signal, subprocess, sys
import tempfile, time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path
from shutil import copytree
from typing import NamedTuple
import nbformat
from course import ROOT, Notebook
from tqdm import tqdm
from backprop_nb.faults import PLANTED, one_edit

NBS = ROOT/'nbs'
ALWAYS = 'test_properties', 'test_refusals'  # they go through the records
ENOUGH = 95  # per cent
CAUGHT = 3   # exit code of a process in which a cell raised
FORK = multiprocessing.get_context('fork' if hasattr(os, 'fork') else None)

class Fault(NamedTuple):
    notebook: str
    cell: int      # its place among the code cells that run
    function: str  # the definition that holds it
    kind: str
    source: str    # the cell with the fault
    diff: str      # the lines that differ
    draws: bool    # in code that only draws?
    def __str__(self): return f'{self.notebook}, {self.function}: {self.kind}\n{self.diff}'

def drawing(units) -> set:
    """Those of the top-level statements of a module that only draw: they import matplotlib or use
    an `ax`, or they define a private name that only such statements use."""
    def names(unit):
        return {getattr(x, 'id', None) or x.arg for x in ast.walk(unit)
                if isinstance(x, (ast.Name, ast.arg))}
    def defined(unit):
        if isinstance(unit, (ast.FunctionDef, ast.ClassDef)): return {unit.name}
        stored = [x for x in ast.walk(unit) if isinstance(getattr(x, 'ctx', None), ast.Store)]
        return {x.id for x in stored if isinstance(x, ast.Name)}
    users = {u: {v for v in units if v is not u and names(v) & defined(u)} for u in units}
    private = {u for u in units if defined(u) and all(name[0] == '_' for name in defined(u))}
    draw = {u for u in units if 'ax' in names(u) or 'matplotlib' in ast.unparse(u)}
    while new := {u for u in private - draw if users[u] and users[u] <= draw}: draw |= new
    return draw

def faults(notebook, cells) -> list:
    "All faults that can be planted in the exported ones of the `cells` of a notebook."
    trees = {i: ast.parse(c) for i, c in enumerate(cells) if c.startswith('#| export')}
    draw, found = drawing([unit for t in trees.values() for unit in t.body]), []
    for i, tree in trees.items():
        good = ast.unparse(tree)
        lines = {k for unit in tree.body if unit in draw
                 for k in range(unit.lineno, unit.end_lineno + 1)}
        for e in one_edit(cells[i], PLANTED):
            diff = [x for x in difflib.ndiff(good.split('\n'), e.code.split('\n')) if x[0] in '+-']
            found.append(Fault(notebook, i, e.function or 'top level', e.kind, e.code,
                               '\n'.join(diff), e.line in lines))
    return found

def running(path) -> list:
    "The code cells of a notebook, without the one that installs the package."
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == 'code']
    return [c for c in cells if '%pip install' not in c.source]

def code(path) -> list: return [c.source for c in running(path)]

def shell():
    "IPython as in the kernel of a notebook, but silent and without history."
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config
    sh = InteractiveShell.instance(config=Config(HistoryManager={'enabled': False}))
    sh.showtraceback = sh.showsyntaxerror = lambda *a, **k: None
    sys.stdout = sys.stderr = open(os.devnull, 'w')
    return sh

def play(sh, cells):
    "Run cells one after the other; the error of the first that raises, else None."
    for c in cells:
        result = sh.run_cell(c)
        if not result.success: return result.error_before_exec or result.error_in_exec

def trial(cells, limit, sh=None):
    "In a process of its own: run cells in a copy of the folder; the exit code says how it went."
    signal.setitimer(signal.ITIMER_REAL, limit)  # the signal ends the process
    os.chdir(copytree('.', tempfile.mkdtemp(), dirs_exist_ok=True))
    error = play(sh or shell(), cells)
    if error and not sh: print(f'{type(error).__name__}: {error}', file=sys.__stderr__)
    sys.exit(CAUGHT if error else 0)

def crew(tasks, jobs):
    """Run each (key, function, arguments) in a process, forked when it is taken from `tasks`, at
    most `jobs` at once; as they end, yield (key, exit code, seconds)."""
    tasks, running, more = iter(tasks), {}, True
    while more or running:
        if more and len(running) < jobs:
            task = next(tasks, None)
            if more := task is not None:
                p = FORK.Process(target=task[1], args=task[2])
                p.start()
                running[p.sentinel] = task[0], p, time.perf_counter()
        else:
            for s in wait(running):
                key, p, start = running.pop(s)
                p.join()
                yield key, p.exitcode, time.perf_counter() - start

def walk(cells, drawn, limit, jobs, pipe):
    "In a process of its own: run a notebook, and at each fault fork one that goes on with it."
    sh = shell()
    def tasks():
        at = 0
        for f in sorted(drawn, key=lambda f: f.cell):
            play(sh, cells[at:f.cell])
            at = f.cell
            yield f, trial, ([f.source, *cells[at+1:]], limit, sh)
    for f, exitcode, _ in crew(tasks(), jobs): pipe.send((drawn.index(f), exitcode))

def survivors(cells, drawn, jobs) -> list:
    "Try each fault in its notebook of `cells` ({name: code cells}); those that nothing noticed."
    by = {name: fs for name in cells if (fs := [f for f in drawn if f.notebook == name])}
    usual, alive = {}, []
    with tempfile.TemporaryDirectory() as folder, tqdm(total=len(drawn), disable=None) as bar:
        tempfile.tempdir = folder  # of every process that is forked from here
        os.chdir(tempfile.mkdtemp())
        bar.set_description('without faults')
        for name, exitcode, seconds in crew(((n, trial, (cells[n], 600)) for n in by), jobs):
            if exitcode: raise SystemExit(f'{name} fails even without a fault')
            usual[name] = seconds
        for name, fs in by.items():
            bar.set_description(name)
            get, put = FORK.Pipe(duplex=False)
            p = FORK.Process(target=walk, args=(cells[name], fs, 10*usual[name], jobs, put))
            p.start(); put.close()
            for _ in fs:
                k, exitcode = get.recv()
                if exitcode == 1: raise SystemExit(f'the trial itself went wrong: {fs[k]}')
                if exitcode == 0: alive.append(fs[k])
                bar.update()
            p.join()
        os.chdir(NBS)
        tempfile.tempdir = None
    return alive

def tests_of(module) -> list:
    "The test files of a module or that import it, and those that go through all operations."
    named = re.compile(rf'^(from|import) backprop_nb\.{module}\b', re.M)
    return [p for p in sorted((ROOT/'tests').glob('test_*.py'))
            if p.stem in (f'test_{module}', *ALWAYS) or named.search(p.read_text(encoding='utf-8'))]

def replaced(module, cell, source) -> str:
    "The text of a module with `source` in the place of what it has from the cell with that id."
    parts = re.split(rf'(^# %% [^\n]*#{cell}\n.*?(?=^# %% |\Z))', module, flags=re.M | re.S)
    if len(parts) != 3: raise ValueError(f'no cell {cell} in the module, run nbdev_export')
    return f'{parts[0]}{parts[1].splitlines()[0]}\n{source}\n\n{parts[2]}'

def tested(f, fault=True) -> bool:
    "Do the tests fail with a fault in a copy of the package, or even without it?"
    path = NBS/f'{f.notebook}.ipynb'
    cell, module = running(path)[f.cell], Notebook(path).module
    with tempfile.TemporaryDirectory() as folder:
        copytree(ROOT/'backprop_nb', Path(folder)/'backprop_nb')
        path, source = Path(folder)/'backprop_nb'/f'{module}.py', f.source
        if not fault: source = ast.unparse(ast.parse(cell.source))
        text = replaced(path.read_text(encoding='utf-8'), cell.id, source)
        path.write_text(text, encoding='utf-8')
        run = subprocess.run([sys.executable, '-m', 'pytest', '-x', '-q', '-p', 'no:cacheprovider',
                              '-c', ROOT/'pyproject.toml', *tests_of(module)], cwd=folder,
                             env={**os.environ, 'PYTHONPATH': folder, 'OMP_NUM_THREADS': '1'},
                             timeout=900, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return run.returncode != 0

def untested(alive, jobs) -> list:
    "Those of the faults that the tests do not notice, either."
    by = {f.notebook: f for f in alive}
    with ThreadPoolExecutor(jobs) as pool:
        for f, failed in zip(by.values(), pool.map(lambda f: tested(f, False), by.values())):
            if failed: raise SystemExit(f'the tests of {f.notebook} fail even without a fault')
        return [f for f, seen in zip(alive, pool.map(tested, alive)) if not seen]

def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--n', type=int, default=100, help='how many faults to draw (100)')
    p.add_argument('--seed', type=int, default=0, help='seed of the draw (0)')
    p.add_argument('--notebook', nargs='+', default=[], help='names, such as 05_linear, or paths')
    p.add_argument('--drawing', action='store_true', help='plant faults in drawing code, too')
    p.add_argument('--alone', action='store_true', help='run the notebooks only, not the tests')
    p.add_argument('--list', action='store_true', help='print the faults that are drawn, try none')
    p.add_argument('--jobs', type=int, default=os.cpu_count(), help='trials at once (all cores)')
    a = p.parse_args()
    if not hasattr(os, 'fork'): sys.exit('mutants.py needs fork, which Windows has only in WSL')
    paths = [Path(n) if n.endswith('.ipynb') else NBS/f'{n}.ipynb' for n in a.notebook]
    every = [p for p in sorted(NBS.glob('*.ipynb')) if not p.stem.startswith('answers_')]
    cells = {path.stem: code(path) for path in paths or every}
    found = [f for name in cells for f in faults(name, cells[name])]
    able = [f for f in found if a.drawing or not f.draws]
    drawn = random.Random(a.seed).sample(able, min(a.n, len(able)))
    if a.list: return print(*drawn, sep='\n')
    os.environ |= {'CUDA_VISIBLE_DEVICES': '',
                   'MPLBACKEND': 'module://matplotlib_inline.backend_inline'}  # as in the kernel
    import torch
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    alive = survivors(cells, drawn, a.jobs)
    alone = len(drawn) - len(alive)
    if not a.alone and all(p.parent == NBS for p in paths):
        alive = untested(alive, a.jobs)
    print(*(f'survived: {f}' for f in alive), sep='\n')
    for field in 'notebook', 'kind':
        print(f'\n{field:24}{"possible":>10}{"planted":>10}{"caught":>10}')
        counts = [Counter(getattr(f, field) for f in fs) for fs in (able, drawn, alive)]
        for name, n in counts[0].items():
            print(f'{name:24}{n:10}{counts[1][name]:10}{counts[1][name] - counts[2][name]:10}')
    score = 100 * (1 - len(alive)/len(drawn)) if drawn else 0.
    print(f'\n{len(found) - len(able)} possible faults in code that only draws were left out')
    print(f'{alone} caught by a cell, {len(drawn) - len(alive) - alone} by a test')
    print(f'score: {len(drawn) - len(alive)} of {len(drawn)} caught, {score:.1f} %, '
          f'want {ENOUGH} %')
    return 0 if score >= ENOUGH else 1

if __name__ == '__main__': sys.exit(main())
