"Imports run downward only, by name or otherwise, and the core imports torch alone."
import ast, json, re, subprocess, sys
from graphlib import CycleError, TopologicalSorter
import pytest
from course import ROOT, notebooks

NUMBER = {nb.module: nb.number for nb in notebooks() if nb.number}  # of the chapters
NUMBER |= {f'answers.{m}': n for m, n in NUMBER.items()}
MODULES = sorted(p for p in (ROOT/'backprop_nb').rglob('*.py')
                 if p.stem not in ('__init__', '_modidx'))

def named(path):
    "A module by its name in the package, such as 'answers.relu'."
    return '.'.join(path.relative_to(ROOT/'backprop_nb').with_suffix('').parts)

def imported(code, package='backprop_nb'):
    "The modules of `package` that `code` imports, wherever in it, those named in a text, too."
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(filter(None, [package if node.level else '', node.module]))
            names = [base, *(f'{base}.{a.name}' for a in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = rf'{package}\.[\w.]+'
            names = re.findall(rf'^{name}$|(?<=from ){name}(?= import)', node.value, re.M)
        else: continue
        yield from (n.removeprefix(package + '.') for n in names if n.startswith(package + '.'))

def arrows():
    "{module: the modules that it imports}"
    names = {*map(named, MODULES)}
    code = {named(p): p.read_text(encoding='utf-8') for p in MODULES}
    return {m: names & {*imported(text)} - {m} for m, text in code.items()}

def upward(graph):
    "What is wrong with a graph of imports: a circle, or a chapter that imports a later one."
    try: TopologicalSorter(graph).prepare()
    except CycleError as e: yield 'a circle: ' + ' -> '.join(e.args[1][::-1])
    yield from (f'{m} (chapter {NUMBER[m]}) imports {n} (chapter {NUMBER[n]})' for m in graph
                for n in graph[m] if m in NUMBER and n in NUMBER and NUMBER[n] > NUMBER[m])

def test_imported_sees_every_form():
    code = '''
import backprop_nb.a, torch
from backprop_nb import b
from . import c
def f():
    from .d import x
    from backprop_nb.e import *
    import_module('backprop_nb.f')
    exec('import math\\nfrom backprop_nb.g import *')'''
    assert {*'abcdefg'} <= {*imported(code)} <= {*'abcdefg', 'd.x', 'e.*'}

def test_imports_run_downward(): assert not [*upward(arrows())]

@pytest.mark.parametrize('module, other', [
    ('clinic', 'all'), ('checker', 'answers.relu'), ('mse', 'relu'), ('operation', 'conv'),
    ('graph', 'graph2')])
def test_upward_is_seen(module, other):
    graph = arrows() | {'graph2': {'graph'}}
    graph[module] = graph[module] | {other}
    assert [*upward(graph)]

def private(path):
    "The private names that a module defines at its top."
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        targets = getattr(node, 'targets', [])
        names = [node.name] if hasattr(node, 'name') else [getattr(t, 'id', '') for t in targets]
        yield from (n for n in names if re.match('_[A-Za-z]', n))

def test_a_private_name_means_one_thing():
    homes = {}
    for p in MODULES:
        for n in {*private(p)}: homes.setdefault(n, []).append(named(p))
    assert len(homes) > 50 and not {n: m for n, m in homes.items() if len(m) > 1}

def test_core_imports_torch_alone():
    code = '''
import json, sys, torch
before = set(sys.modules)  # torch may bring some of them itself
import backprop_nb.all
print(json.dumps([sorted({m.split('.')[0] for m in set(sys.modules) - before}),
                  [m for m in sys.modules if m.startswith('backprop_nb.answers.')]]))'''
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    names, answers = json.loads(out.stdout)
    late = {'matplotlib', 'torchvision', 'tqdm', 'safetensors', 'sympy'}
    assert not late & {*names}
    assert not answers, 'the answers load when an exercise is asked for'

def test_answers_enter_every_exercise():
    code = ('import backprop_nb.answers\nfrom backprop_nb.exercises import EXERCISES\n'
            'print(len(EXERCISES), *[n for n, ex in EXERCISES.items() if not ex.title])')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    text = '\n'.join(s for nb in notebooks() for s in nb.markdown)
    asked = re.findall(r'^### \d\d\.\d ', text, re.M)
    assert run.stdout.split() == [f'{len(asked)}'] and asked
