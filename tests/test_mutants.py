"The tool that plants faults finds places for them, and sees what is caught and what is not."
import ast, os, subprocess, sys
import nbformat, pytest
from mutants import ALWAYS, drawing, faults, replaced
from mutants import tests_of as files_of
from nbformat.v4 import new_code_cell, new_notebook
from run_course import ROOT
from backprop_nb.faults import LOST, MORE

def planted(code):
    "What each kind of fault makes of the one line that it changes."
    found = faults('toy', [f'#| export\n{code}'])
    return {(f.kind, f.diff.split('\n+ ')[-1].strip()) for f in found}

@pytest.mark.parametrize('code, faulty', [
    ('y = -a + b', {('a sign', 'y = a + b'), ('an operator', 'y = -a - b')}),
    ('y = a ** 2. and b', {
        ('an operator', 'y = a * 2.0 and b'), ('an operator', 'y = a ** 2.0 or b'),
        ('a constant', 'y = a ** 4.0 and b'), ('a constant', 'y = a ** 1.0 and b')}),
    ('y = not a', {('an operator', 'y = a')}),
    ('y = a.sum(0)', {('a function', 'y = a.mean(0)'), ('a constant', 'y = a.sum(1)'),
                      ('a constant', 'y = a.sum(-1)')}),
    ('y = max(a, b)', {('a function', 'y = min(a, b)')}),
    ('y = a < b', {('a comparison', f'y = a {op} b') for op in ('<=', '>', '>=')}),
    ('y = a is b', {('a comparison', 'y = a is not b')}),
    ('y = 0.5', {('a constant', 'y = 1.0'), ('a constant', 'y = 0.25')}),
    ('y = True', {('a constant', 'y = False')}),
    ('y = a @ b.t()', {('a transpose' + MORE, 'y = a.mT @ b.t()'), ('an operator', 'y = a * b.t()'),
                       ('the order of a product', 'y = b.t() @ a'),
                       ('a transpose' + LOST, 'y = a @ b')}),
    ('y = torch.addmm(c, a, b)', {('a transpose' + MORE, 'y = torch.addmm(c, a.mT, b)'),
                                  ('a transpose' + MORE, 'y = torch.addmm(c, a, b.mT)'),
                                  ('the order of a product', 'y = torch.addmm(c, b, a)')}),
    ('up = upstream(out)', {('the upstream gradient' + LOST, 'up = out.new_ones(out.shape)')}),
    ('x.g = y', {('a gradient' + LOST, 'pass'), ('a sign', 'x.g = -y'), ('+= where = belongs',
                 "x.g = x.g + y if getattr(x, 'g', None) is not None else y")}),
    ('x.g += y', {('an operator', 'x.g -= y'), ('= where += belongs', 'x.g = y')}),
])
def test_faults(code, faulty): assert planted(code) == faulty

@pytest.mark.parametrize('code', [
    'import a1', 'raise ValueError(-1)', 'print(f"{-a + 1}")', 'y = "a < b"',
    'def f(x: int | None) -> -1: "a - 1"'])
def test_no_faults(code): assert not planted(code)

def test_place_of_a_fault():
    f, = faults('toy', ['y = -1', '#| export\nclass A:\n    def f(x): return -x'])
    assert (f.notebook, f.cell, f.function, f.kind, f.draws) == ('toy', 1, 'A.f', 'a sign', False)
    assert f.source == 'class A:\n\n    def f(x):\n        return x'
    assert f.diff == '-         return -x\n+         return x'

def test_drawing():
    tree = ast.parse('_INK = 1\n_HALF = .5\ndef _size(): return _INK\n'
                     'def show():\n    import matplotlib\n    _size(); work()\n'
                     'def _line(ax): _HALF\ndef work(): return _HALF\ndef _nobody(): pass')
    assert [ast.unparse(u)[:8] for u in tree.body if u in drawing(tree.body)] == [
        '_INK = 1', 'def _siz', 'def show', 'def _lin']

CELLS = ['if not ready():\n    %pip install x',
         'n = []\nopen("file", "w").write("kept")',
         '#| export\ndef f(x):\n    n.append(x)\n    while not n: pass\n    return -x',
         'assert open("file").read() == "kept"']

def mutants(folder, cells, *args):
    "Run the tool on a notebook of these cells: its exit code, and what it prints."
    path = folder/'toy.ipynb'
    nbformat.write(new_notebook(cells=[new_code_cell(c) for c in cells]), path)
    run = subprocess.run([sys.executable, ROOT/'tools'/'mutants.py', '--notebook', path, *args],
                         cwd=folder, capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr

needs_fork = pytest.mark.skipif(not hasattr(os, 'fork'), reason='mutants.py forks')

@needs_fork
def test_caught(tmp_path):
    code, says = mutants(tmp_path, CELLS + ['assert f(2) == -2'])
    assert 'score: 2 of 2 caught, 100.0 %' in says  # one of them by its time
    assert code == 0

@needs_fork
def test_survived(tmp_path):
    code, says = mutants(tmp_path, CELLS + ['assert abs(f(2)) == 2'])
    assert 'survived: toy, f: a sign\n-     return -x\n+     return x\n' in says
    assert code == 1

@needs_fork
def test_notebook_that_fails(tmp_path):
    code, says = mutants(tmp_path, CELLS + ['1/0'])
    assert 'ZeroDivisionError: division by zero' in says
    assert 'toy fails even without a fault' in says and code == 1

MODULE = "\"Doc\"\n\n# %% ../nbs/a.ipynb #11\nimport a\n\n# %% ../nbs/a.ipynb #22\nb = 1\n"

@pytest.mark.parametrize('cell, rest', [('11', ['# %% ../nbs/a.ipynb #22', 'b = 1']),
                                        ('22', ['# %% ../nbs/a.ipynb #11', 'import a'])])
def test_a_cell_of_a_module_is_replaced(cell, rest):
    text = replaced(MODULE, cell, 'c = 2').split('\n')
    assert set(text) == {'"Doc"', '', 'c = 2', f'# %% ../nbs/a.ipynb #{cell}', *rest}

def test_a_cell_that_is_not_there():
    with pytest.raises(ValueError, match='33'): replaced(MODULE, '33', '')

def test_the_tests_of_a_module_run():
    "However they import it."
    for module in 'norm', 'gpt':
        assert {f'test_{module}', *ALWAYS} <= {p.stem for p in files_of(module)}
    assert 'test_text' in {p.stem for p in files_of('gpt')}
