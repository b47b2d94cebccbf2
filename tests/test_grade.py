"A folder of notebooks is graded: each costs its own row, none can fake a row or touch another's."
import csv, json, os, re, signal, subprocess, sys, time, zipfile
from pathlib import Path
import course, pytest, slips
from run_course import ROOT
from backprop_nb import grade as grader
from backprop_nb.checker import Paper, diagnose, instead
from backprop_nb.clinic import FileError, RangeError
from backprop_nb.grade import exercise_cells, grade, main

NAME = '04.2'
F = 'def f(inp, out, slope): inp.g = out.g * torch.where(inp > 0, 1., slope)\n'
CHECK = f"check('{NAME}', f)"
RIGHT = F + CHECK
STUB = f"def f(inp, out, slope): {{}}\n{CHECK}"
POSIX = pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')

def written(path, *cells, **more):
    cells = [{'cell_type': 'code', 'source': c} for c in cells]
    path.write_text(json.dumps({'cells': cells, **more}))
    return path

def right_in(*lines): return '\n'.join(lines).replace('RIGHT', RIGHT).replace('CHECK', CHECK)

CELLS = {  # name of the notebook -> its cell (or cells), state, and a part of what is said
    # right, in all the ways that there are
    'plain': (RIGHT, 'done', ''),
    'star': ('from backprop_nb.all import *\n' + RIGHT, 'done', ''),
    'module': (f"{F}import backprop_nb.all as b; b.check('{NAME}', f)", 'done', ''),
    'renamed': (f"from backprop_nb.exercises import check as c\n{F}c('{NAME}', f)", 'done', ''),
    'keywords': (f"{F}check(answer=f, name='{NAME}')", 'done', ''),
    'loop': (f"{F}for k in [2]: check(f'04.{{k}}', f)", 'done', ''),
    'function': (F + "def main():\n    import backprop_nb.exercises as e\n"
                 "    getattr(e, 'che' + 'ck')('04.2', f)\nmain()", 'done', ''),
    'main': (f"{F}if __name__ == '__main__': {CHECK}", 'done', ''),
    'diagnosed': (f"{F}assert diagnose('{NAME}', f).state == 'done'\n{CHECK}".replace(
        'diagnose', '__import__("backprop_nb").exercises.diagnose'), 'done', ''),
    'helped': (f"solution('{NAME}'); hint('{NAME}'); progress()\n{RIGHT}", 'done', ''),
    'magics': (f'%matplotlib inline\nx = !ls\n?lin_grad\nlin_grad?\n!rm -rf x\n{F}%time {CHECK}',
               'done', ''),
    'cell magic': ('%%time\n' + RIGHT, 'done', ''),
    'timeit': (F + f'r = %timeit -n1 -r 1 -o {CHECK}\nr.best', 'done', ''),
    'modulo': (F + 's = """\n%time x\n!ls\n"""\nassert s.count("%time") == 1 and s.count("!ls")\n'
               'assert (7\n    % 4) == 3 and (1\n    != 2)\nx = 7 \\\n  % 4\n' + CHECK, 'done', ''),
    'display': (f'{F}display(f)\nget_ipython().run_line_magic("precision", "3")\n{CHECK}',
                'done', ''),
    'awaits': ('import asyncio\nawait asyncio.sleep(0)\n' + RIGHT, 'done', ''),
    'timed await': ('import asyncio\n%time await asyncio.sleep(0)\n' + RIGHT, 'done', ''),
    'last counts': ([STUB.format('...'), RIGHT], 'done', ''),
    # not right
    'open': (STUB.format('inp.g = ...'), 'not written yet', ''),
    'wrong': (STUB.format('inp.g = torch.ones_like(inp) * 7.31'), 'not yet', 'no slip that I know'),
    'sign': (STUB.format('inp.g = -out.g * torch.where(inp > 0, 1., slope)'), 'not yet', 'sign'),
    'undefined': (STUB.format('inp.g = out.g * nothing'), 'not yet', 'NameError'),
    'syntax': ('a = = 1\n' + RIGHT, 'raises', 'SyntaxError'),
    'curly': (RIGHT.replace("'04.2'", '‘04.2’'), 'raises', 'SyntaxError: invalid character'),
    'another cell': (['def mask(x): return x > 0', F.replace('inp > 0', 'mask(inp)') + CHECK],
                     'not yet', 'has to run alone'),
    'check elsewhere': (['from backprop_nb.exercises import check as c', F + f"c('{NAME}', f)"],
                        'raises', 'has to run alone'),
    'never': (F + f'if 0: {CHECK}', 'raises', 'check was not reached'),
    # hostile: no end
    'loops': (STUB.format('\n    while True: pass'), 'no end', 'within 5 s'),
    'deaf': ('import signal\nfor s in range(1, 64):\n  try: signal.signal(s, signal.SIG_IGN)\n'
             f'  except Exception: pass\nwhile True: pass\n{CHECK}', 'no end', ''),
    'stops itself': (f'import signal; signal.raise_signal(signal.SIGSTOP)\n{CHECK}', 'no end', ''),
    'digits': (f'x = 9**9**9\n{CHECK}', 'no end', ''),
    # hostile: an early end
    'exits': (f'import os; os._exit(0)\n{RIGHT}', 'raises', 'ended before'),
    'exits in the answer': (STUB.format('__import__("os")._exit(0)'), 'raises', 'ended before'),
    'sys.exit': (f'import sys; sys.exit()\n{RIGHT}', 'raises', 'SystemExit'),
    'killed': (f'import ctypes, os; ctypes.CDLL(None).kill(os.getpid(), 9)\n{CHECK}', 'raises', ''),
    'crash': (f'import ctypes; ctypes.string_at(0)\n{CHECK}', 'raises', 'ended before'),
    'brackets': ('(' * 100_000 + CHECK, 'raises', ''),
    'minus': ('-' * 100_000 + f"1\n{CHECK}", 'raises', ''),
    'deep': (STUB.format('f(inp, out, slope)'), 'not yet', 'RecursionError'),
    'surrogate': (f'"\ud800"\n{CHECK}', 'raises', ''),
    'no text': ('class E(Exception):\n    def __str__(self): raise self\nraise E\n' + CHECK,
                'raises', 'cannot be read'),
    'escapes': ('raise Exception("\\x1b[2J\\x1b]0;title\\x07")\n' + CHECK, 'raises', 'x1b'),
    'memory': (STUB.format('x = torch.empty(10**12)'), 'not yet', 'alloc'),
    # hostile: forged
    'prints': (f"print('{NAME} done')\n" + STUB.format('...'), 'not written yet', ''),
    'writes to pipes': (f'''import os
line = b'>["cases", "{NAME}", []]\\n=ended\\n>["end", null]\\n'
for fd in range(100):
    try: os.write(fd, line)
    except OSError: pass
''' + STUB.format('inp.g = out.g'), 'not yet', ''),
    'patched': ('''import backprop_nb.checker as c, backprop_nb.exercises as e, sys
V = c.Verdict
done = lambda *a, **k: V('04.2', 'done', (), '')
for m in [m for n, m in sys.modules.items() if n.startswith('backprop_nb')]:
    for n in 'Verdict diagnose _close _right _verdict_on'.split(): setattr(m, n, done)
torch.allclose = torch.equal = lambda *a, **k: True
''' + STUB.format('inp.g = out.g'), 'not yet', ''),
    'equal to all': ('''class All(torch.Tensor):
    __torch_function__ = classmethod(lambda cls, f, t, a=(), k=None: True)
    def __eq__(self, other): return True
''' + STUB.format('inp.g = All()'), 'not yet', ''),
    'equal number': ('''class All(float):
    __eq__ = __lt__ = __le__ = lambda *a: True
''' + "check('00.1', All())\n" + CHECK, 'raises', ''),
    'answers': ('from backprop_nb.answers.relu import _leaky_relu_grad as f\n' + CHECK,
                'raises', ''),
    'all answers': ("""import backprop_nb.answers.relu as a
for n, f in vars(a).items():
    if callable(f) and 'leaky_relu' in n: check('04.2', f)""", 'raises',
                    'not reached'),
    'the record': (f"from backprop_nb.checker import EXERCISES\ncheck('{NAME}', "
                   f"EXERCISES['{NAME}'].solution)", 'not yet', 'no solutions in this process'),
    'the book': (f'''import backprop_nb, os, inspect
from pathlib import Path
here = Path(backprop_nb.__file__).parent
exec((here/'answers'/'relu.py').read_text())
{CHECK}''', 'raises', 'PermissionError'),
    'the book again': (f'''import sys, importlib
del sys.modules['backprop_nb.answers.relu']
a = importlib.import_module('backprop_nb.answers.relu')
check('{NAME}', a._leaky_relu_grad)''', 'raises', 'PermissionError'),
    'the text': (f'''import backprop_nb
from pathlib import Path
(Path(backprop_nb.__file__).parent/'answers'/'04_relu.md').read_text()
{CHECK}''', 'raises', 'PermissionError'),
    'the text in memory': (f'''from backprop_nb.checker import EXERCISES
assert not EXERCISES['{NAME}'].slips and not EXERCISES['{NAME}'].derivation
{CHECK}''', 'raises', 'NameError'),
    'garbage': (f'''import gc
for x in gc.get_objects():
    if type(x) is type(print) or type(x).__name__ == 'function':
        if x.__name__.startswith('_leaky_relu'): check('{NAME}', x)''', 'raises', 'reached'),
    'at exit': (f'import atexit; atexit.register(check, "{NAME}", print)\n'
                + STUB.format('...'), 'not written yet', ''),
    # hostile: hands on others
    'kills': (f'import os; os.kill(os.getppid(), 9)\n{CHECK}', 'raises', 'PermissionError'),
    'kills by C': (f'import os, ctypes; ctypes.CDLL(None).kill(os.getppid(), 9)\n{CHECK}',
                   'raises', 'ended before'),
    'stops by C': (f'import os, ctypes; ctypes.CDLL(None).kill(os.getppid(), 19)\nwhile 1: pass\n'
                   f'{CHECK}', 'no end', ''),
    'starts': (f'import subprocess; subprocess.Popen(["sleep", "77777"])\n{CHECK}', 'raises',
               'PermissionError'),
    'forks by C': ('import ctypes, time; c = ctypes.CDLL(None)\n'
                   f'if not c.fork(): c.setsid(); time.sleep(77777)\n{RIGHT}', 'done', ''),
    'calls out': (f'import urllib.request as u; u.urlopen("http://127.0.0.1:9")\n{CHECK}', 'raises',
                  'not allowed while'),
    'writes': (f'open("SPOILT", "w").write("x")\n{RIGHT}', 'raises', 'PermissionError'),
    'removes': (f'import os; os.remove("OTHER")\n{RIGHT}', 'raises', 'PermissionError'),
    'reads others': (f'open("OTHER").read()\n{RIGHT}', 'raises', 'PermissionError'),
    'writes at home': ("open('a.txt', 'w').write('x'); import os; os.mkdir('b')\n"
                       "open(os.path.expanduser('~/x'), 'w').close()\n" + RIGHT, 'done', ''),
    'fills the disk': (f"open('a', 'wb').write(bytes(1 << 27))\n{RIGHT}", 'raises', ''),
}
FILES = {  # what is not a notebook
    'brackets': '[' * 100_000, 'cell': '{"cells": ["a", 3]}', 'null': '{"cells": null}',
    'list': '[]', 'cut': '{', 'source': '{"cells": [{"cell_type": "code", "source": 3}]}',
    'big': ' ' * (33 << 20)}

@pytest.fixture(scope='module')
def graded(tmp_path_factory):
    "All these in one folder; what is said, and what is left."
    at = tmp_path_factory.mktemp('g')
    home,folder = at/'home', at/'folder'
    home.mkdir(); folder.mkdir()
    for name, (cells, *_) in CELLS.items():
        cells = [cells] if isinstance(cells, str) else cells
        cells = [c.replace('SPOILT', str(at/'spoilt')).replace('OTHER', str(folder/'plain.ipynb'))
                 for c in cells]
        written(folder/f'{name}.ipynb', *cells)
    for name, text in FILES.items(): (folder/f'file {name}.ipynb').write_text(text)
    if hasattr(os, 'mkfifo'):
        os.mkfifo(folder/'file fifo.ipynb')
        (folder/'file zero.ipynb').symlink_to('/dev/zero')
        (folder/'file nowhere.ipynb').symlink_to('/no/where')
        (Path(os.fsdecode(os.fsencode(folder) + b'/\xff.ipynb'))).write_text(
            (folder/'plain.ipynb').read_text())
    env = os.environ | dict(HOME=str(home), PYTHONIOENCODING='ascii')
    env.pop('BACKPROP_NB_PROGRESS', None)
    ran = subprocess.run([sys.executable, '-m', 'backprop_nb.grade', str(folder), '--seconds', '5',
                          '--csv', str(at/'marks.csv')], capture_output=True, env=env, cwd=at)
    with open(at/'marks.csv', encoding='utf-8-sig', newline='') as f: rows = [*csv.DictReader(f)]
    return at, ran, rows

@pytest.mark.parametrize('name', CELLS)
def test_each_costs_its_own_row(graded, name):
    _, state, says = CELLS[name]
    rows = [r for r in graded[2] if r['notebook'] == f'{name}.ipynb' and r['exercise'] == NAME]
    assert [r['state'] for r in rows] == [state] and says in rows[0]['said'], rows

@pytest.mark.parametrize('name', FILES)
def test_what_is_no_notebook_has_a_row(graded, name):
    row, = [r for r in graded[2] if r['notebook'] == f'file {name}.ipynb']
    assert row['state'] == 'unread' and 'is not a notebook' in row['said']

@POSIX
def test_odd_files(graded):
    rows = {r['notebook']: r for r in graded[2]}
    assert {rows[f'file {n}.ipynb']['state'] for n in ('fifo', 'zero', 'nowhere')} == {'unread'}
    assert rows[r'\udcff.ipynb']['state'] == 'done'

def test_nothing_is_left(graded):
    at, ran, rows = graded
    assert sorted(p.name for p in at.iterdir()) == ['folder', 'home', 'marks.csv']
    assert not [*(at/'home').iterdir()] and len([*(at/'folder').iterdir()]) == len(
        {r['notebook'] for r in rows})
    assert b'\x1b' not in ran.stdout + ran.stderr and b'Traceback' not in ran.stderr
    assert ran.returncode == 1
    if Path('/proc/self').exists():
        time.sleep(.1)
        left = [p for p in Path('/proc').glob('[0-9]*/cmdline')
                if b'backprop_nb.grade import' in p.read_bytes() or b'77777' in p.read_bytes()]
        assert not left

MINE = """import torch
from backprop_nb.checker import Gradient
def two_slopes(x): return torch.where(x > 0, 2*x, x/5)
@Gradient('A.1', lambda N, d, m: [torch.randn(N, d)], two_slopes)
def two_slopes_grad(inp, out): inp.g = out.g * torch.where(inp > 0, 2., .2)
"""
OWN = "def f(inp, out): inp.g = out.g * torch.where(inp > 0, 2., .2)\ncheck('A.1', f)"

OWNS = {'right': (OWN, 'done'), 'wrong': (OWN.replace('2.,', '3.,'), 'not yet'),
        'imported': ('from mine import two_slopes\n' + OWN, 'done'),
        'taken': ("from mine import two_slopes_grad as f\ncheck('A.1', f)", 'raises'),
        'record': ("from backprop_nb.checker import EXERCISES as E\n"
                   "check('A.1', E['A.1'].solution)", 'not yet'),
        'read': ("import sys\nexec(open(sys.modules['mine'].__file__).read())\n"
                 "check('A.1', two_slopes_grad)", 'raises')}

def test_a_teachers_own_exercises(tmp_path):
    (tmp_path/'mine.py').write_text(MINE)
    for name, (cell, _) in OWNS.items(): written(tmp_path/f'{name}.ipynb', cell)
    run(tmp_path, '.', '--exercises', 'mine.py', '--csv', 'a.csv')
    with open(tmp_path/'a.csv', encoding='utf-8-sig', newline='') as f:
        rows = {r['notebook'][:-6]: r['state'] for r in csv.DictReader(f)}
    assert rows == {name: state for name, (_, state) in OWNS.items()}
    assert {*os.listdir(tmp_path)} == {'mine.py', 'a.csv', *(f'{n}.ipynb' for n in OWNS)}

def test_a_kind_of_exercise_of_their_own(tmp_path):
    (tmp_path/'mine.py').write_text(MINE.replace('import G', 'import Exercise, G') + """
def inside(answer): return answer(2.)
class Half(Exercise):
    def run(self, answer, args, *more): return {'the result': torch.tensor(inside(answer))}
@Half('A.2', lambda N, d, m: ())
def half(x): return x / 2
""")
    book = written(tmp_path/'x.ipynb', "check('A.2', lambda x: .5 * x)")
    assert run(tmp_path, book, '--exercises', 'mine.py').stdout.split()[-4] == 'done'
    (tmp_path/'own').mkdir()
    (tmp_path/'mine.py').rename(tmp_path/'own'/'random.py')
    ran = run(tmp_path, book, '--exercises', 'own/random.py')
    assert ran.returncode and 'random.py, which has the name of a module' in ran.stderr

def test_the_packages_own_function_is_no_answer(tmp_path):
    code = """from importlib import import_module
ours = import_module({!r})
for n in {}: ours = getattr(ours, n)
check({!r}, lambda *args: ours(*args))"""
    ours = grader._PACKAGES_OWN.items()
    cells = [code.format(f.__module__, f.__qualname__.split('.'), n) for n, f in ours]
    found = grade(written(tmp_path/'x.ipynb', *cells))
    for n, f in ours:
        assert found[n].state == 'not yet' and "the package's own function" in found[n].text
        assert diagnose(n, f).state == 'done'

def test_which_functions_of_the_package_would_do():
    "A list of those that are right answers by themselves."
    import backprop_nb.all as package
    public = {n: x for n in dir(package) if callable(x := getattr(package, n)) and 'grad' in n}
    found = {(n, f) for n, ex in slips.load().items() if not isinstance(ex, Paper)
             for f, x in public.items() if not slips.changes_something(ex, x)}
    assert found == {('05.3', 'lin_grad'), ('09.2', 'cross_entropy_grad'),
                     ('12.2', 'layer_norm_grad')}

@pytest.mark.parametrize('seed', '12')  # with 2 chapter 10 comes last, and its last name is a class
def test_no_solution_stays_in_the_childs_memory(seed):
    code = """import weakref
from backprop_nb import grade
grade._load()
refs = {n: weakref.ref(ex.solution) for n, ex in grade.EXERCISES.items()}
assert len(refs) > 40
grade._forget(None)
print([n for n, r in refs.items() if r()])"""
    env = os.environ | dict(PYTHONHASHSEED=seed)
    assert subprocess.check_output([sys.executable, '-c', code], text=True, env=env) == '[]\n'

def test_no_exercise_needs_what_a_child_has_lost(tmp_path):
    "Untouched, each is open or of the wrong kind, and nothing is raised; and one by its output."
    cells = [f'def f(*args): ...\ncheck({n!r}, {"..." if isinstance(ex, Paper) else "f"})'
             for n, ex in slips.load().items()]
    found = grade(written(tmp_path/'x.ipynb', *cells), 60)
    assert found.keys() == slips.load().keys()
    assert not {n: v for n, v in found.items() if v.state not in ('not written yet', 'not yet')
                or re.search('NameError|LookupError', v.text)}
    f = 'def f(inp, out): inp.g = out.g * (1 - {})\ncheck("08.2", f)'
    for how, state in ('out**2', 'done'), ('inp.tanh()**2', 'not yet'), ('out', 'not yet'):
        verdict = grade(written(tmp_path/'x.ipynb', f.format(how)))['08.2']
        assert verdict.state == state and ('computed again' in verdict.text) == ('inp' in how)

def test_what_is_answered_on_paper(tmp_path):
    "In a child, which has no solutions: all the right ones, a wrong one, and an open one."
    papers = {n: ex.solution() for n, ex in slips.load().items() if isinstance(ex, Paper)}
    path = written(tmp_path/'x.ipynb', *(
        f'from torch import tensor\ncheck({n!r}, {x!r})' for n, x in papers.items()))
    found = grade(path, 60)
    assert {n: v.state for n, v in found.items()} == dict.fromkeys(papers, 'done')
    found = grade(written(path, "check('11.1', (1, 2))", "check('00.1', ...)"), 60)
    assert [found[n].state for n in ('11.1', '00.1')] == ['not yet', 'not written yet']

def test_what_a_child_hands_in_is_judged_as_the_answer_itself_is():
    for ex in slips.load().values():
        right = [ex.solution, *(instead(ex.solution, lines) for lines, _ in ex.slips[:2])]
        if isinstance(ex, Paper): right = [f() for f in right]
        answers = [*right, None, 3, 'x', lambda *a: None, lambda *a: 1/0]
        for f in answers:
            sent = json.dumps([grader._run_case(ex, f, k) for k in range(len(ex.sizes))])
            assert grader._verdict_on(ex.name, json.loads(sent)) == diagnose(
                ex.name, f, search=False)

@pytest.mark.parametrize('cases', [
    [], [{}], [[]], [{'got': 3}], [{'got': {'inp.g': {}}}] * 8, [{'error': 'x'}] * 8,
    [{'got': {'inp.g': dict(dtype='float64', shape=[10**12], numbers=[1.])}}] * 8,
    [{'slip': []}] * 8, [{'slip': ['twice', 'a', 'b']}] * 8, [{'other': 1}] * 8])
def test_what_cannot_be_read_is_no_pass(cases):
    assert grader._verdict_on(NAME, cases).state in ('raises', 'not yet')

def run(at, *args, **more):
    env = os.environ | dict(HOME=str(at))
    return subprocess.run([sys.executable, '-m', 'backprop_nb.grade', *map(str, args)], text=True,
                          capture_output=True, env=env, cwd=at, **more)

def test_a_single_file_and_a_mistyped_name(tmp_path):
    written(tmp_path/'x.ipynb', RIGHT, "check('04.9', f)".replace('f)', 'print)'))
    ran = run(tmp_path, 'x.ipynb', '--csv', 'a.csv', '--wide')
    assert ran.stdout == ('notebook  04.2  done\nx.ipynb   done  1 of 1\n'
                          'x.ipynb: no exercise 04.9\n')
    assert ran.stderr == '1 of 1  x.ipynb: 04.2 done, 04.9 no such exercise\n'
    assert (tmp_path/'a.csv').read_text('utf-8-sig') == 'notebook,done,04.2\nx.ipynb,1,done\n'
    assert ran.returncode == 0

def test_what_is_unread_is_named_with_its_folder(tmp_path):
    "A zip that is still packed; but not what a Mac packs beside a file. A longer ending is read."
    for name in 'ann', 'bo', '__MACOSX': (tmp_path/name).mkdir()
    (tmp_path/'ann'/'04_relu.ipynb').write_text('{')
    with zipfile.ZipFile(tmp_path/'bo'/'work.ZIP', 'w') as f: f.writestr('04_relu.ipynb', RIGHT)
    (tmp_path/'__MACOSX'/'._04_relu.ipynb').write_bytes(b'\0\5\26\7')
    written(tmp_path/'cy.ipynb.txt', RIGHT)
    said = run(tmp_path, '.').stdout.splitlines()
    assert [x.split()[-1] for x in said[1:4]] == ['unread', 'unread', '1']
    assert said[4].startswith('grade: ann/04_relu.ipynb is not a notebook, want .ipynb (')
    assert said[5].startswith('grade: bo/work.ZIP ') and 'unpack it' in said[5] and len(said) == 6

def test_a_table_is_no_formula(tmp_path):
    written(tmp_path/'=1+1.ipynb', F.replace('inp.g =', 'raise ValueError("=2+2")') + CHECK,
            "check('@SUM(1)', 1)")
    run(tmp_path, tmp_path, '--csv', 'a.csv')
    with open(tmp_path/'a.csv', encoding='utf-8-sig', newline='') as f: rows = [*csv.reader(f)]
    assert len(rows) == 3 and {r[0] for r in rows[1:]} == {"'=1+1.ipynb"}
    assert not any(x.startswith(('=', '+', '-', '@', '\t', '\r')) for r in rows for x in r)

@pytest.mark.parametrize('args, says', [
    (['nowhere'], 'no notebooks'), (['.', '--csv', 'nowhere/a.csv'], 'no folder'),
    *[(['.', '--seconds', x], 'want more than 0') for x in ('0', '-1', 'nan', 'inf')],
    (['.', '--csv', '.'], 'not a plain file'), (['.', '--csv', 'x.ipynb'], 'one of the notebooks'),
    (['.', '--exercises', 'nowhere.py'], '--exercises nowhere.py')])
def test_grade_refuses(tmp_path, monkeypatch, args, says):
    written(tmp_path/'x.ipynb', STUB.format('inp.g = ...'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grader, '_side_by_side', None)
    with pytest.raises(SystemExit, match=says): main(args)

def test_grade_as_a_function_refuses(tmp_path):
    path = written(tmp_path/'x.ipynb', RIGHT)
    with pytest.raises(RangeError): grade(path, float('nan'))
    with pytest.raises(FileError): exercise_cells(tmp_path)

def test_a_plain_script_grades(tmp_path):
    written(tmp_path/'x.ipynb', RIGHT)
    (tmp_path/'script.py').write_text("print('once')\nfrom backprop_nb.grade import grade\n"
                                      "print(grade('x.ipynb')['04.2'].state)\n")
    ran = subprocess.run([sys.executable, 'script.py'], cwd=tmp_path, text=True,
                         capture_output=True, env=os.environ | dict(PYTHONPATH=str(ROOT)))
    assert (ran.stdout, ran.stderr) == ('once\ndone\n', '')

@POSIX
@pytest.mark.parametrize('how', ['1>&- 2>&-', '> /dev/full', '| true'])
def test_a_screen_that_is_gone_is_no_matter(tmp_path, how):
    written(tmp_path/'x.ipynb', RIGHT)
    ran = subprocess.run(f'{sys.executable} -m backprop_nb.grade x.ipynb --csv a.csv {how}',
                         shell=True, cwd=tmp_path, capture_output=True, text=True,
                         env=os.environ | dict(PYTHONPATH=str(ROOT)))
    assert 'x.ipynb,04.2,done' in (tmp_path/'a.csv').read_text()
    assert ran.returncode == 0 and 'Error' not in ran.stderr

@POSIX
def test_an_interrupt_loses_one_row(tmp_path):
    written(tmp_path/'a.ipynb', RIGHT)
    written(tmp_path/'b.ipynb', STUB.format('\n  while 1: pass'))
    p = subprocess.Popen([sys.executable, '-m', 'backprop_nb.grade', '.', '--csv', 'a.csv',
                          '--seconds', '777'], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                         stdout=subprocess.PIPE, env=os.environ | dict(PYTHONPATH=str(ROOT)))
    assert p.stderr.readline() == '1 of 2  a.ipynb: 04.2 done\n'
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=20)
    assert (err, p.returncode) == ('stopped after 1 of 2\n', 130) and 'a.ipynb' in out
    assert 'a.ipynb,04.2,done' in (tmp_path/'a.csv').read_text()

def test_where_no_process_can_copy_itself(tmp_path, monkeypatch):
    "As on macOS and Windows: a child runs one cell, and the grader keeps the time."
    monkeypatch.setattr(grader, '_FORKS', False)
    path = written(tmp_path/'x.ipynb', RIGHT,
                   "check('04.3', lambda inp, out: exec('while 1: pass'))",
                   "import os; os._exit(0)\ncheck('04.4', f)")
    states = {n: v.state for n, v in grade(path, 5).items()}
    assert states == {'04.2': 'done', '04.3': 'no end', '04.4': 'raises'}

def test_old_notebooks(tmp_path):
    (tmp_path/'x.ipynb').write_text(json.dumps({'worksheets': [{'cells': [
        {'cell_type': 'code', 'input': RIGHT.splitlines(True)}]}]}), encoding='utf-8-sig')
    assert grade(tmp_path/'x.ipynb')[NAME].state == 'done'
    assert exercise_cells(tmp_path/'x.ipynb') == [RIGHT]

MOODLE = 'Identifier,Full name,Grade\nParticipant 7,Ann,\nParticipant 71,Bo,\nParticipant 8,Cy,-\n'
CANVAS = 'Student,ID,Section,04 ReLU (99)\nPoints Possible,,,4\nAnn,7,1,\nBo,71,1,\nCy,8,1,-\n'

@pytest.mark.parametrize('name, who, mark, export', [
    ('{}_{}_assignsubmission_file/04_relu.ipynb', 'Identifier', 'Grade', MOODLE),
    ('{}_LATE_{}_1234_04_relu.ipynb', 'ID', '04 ReLU (99)', CANVAS)], ids=['moodle', 'canvas'])
def test_marks_for_a_platform(tmp_path, name, who, mark, export):
    "By the lines of the teachers' page: one has it right, one not, the third sent no notebook."
    for student, number, text in ('Ann', 7, None), ('Bo', 71, None), ('Cy', 8, '{'):
        path = tmp_path/'in'/name.format(f'{student}_2_b', number)
        path.parent.mkdir(parents=True, exist_ok=True)
        if text: path.write_text(text)
        else: written(path, RIGHT if student == 'Ann' else STUB.format('...'))
        if student == 'Ann': written(path.with_stem(f'{path.stem}-Copy1'), RIGHT)   # counts once
    assert run(tmp_path, 'in', '--csv', 'marks.csv', '--wide').returncode == 1
    page = '\n'.join(course.Notebook(ROOT/'nbs'/'teachers.ipynb').markdown)
    code = re.search(r'# to_platform.py\n(.*?)```', page, re.S)[1]
    code, changed = re.subn("'Identifier','Grade'", f'{who!r},{mark!r}', code)
    (tmp_path/'export.csv').write_text(export, encoding='utf-8-sig')
    subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True)
    after = (tmp_path/'import.csv').read_text().splitlines()
    want = export.replace(',Ann,', ',Ann,1').replace(',Bo,', ',Bo,0') if who != 'ID' else (
        export.replace('7,1,\n', '7,1,1\n').replace('71,1,\n', '71,1,0\n'))
    assert changed == 1 and after == want.splitlines()
