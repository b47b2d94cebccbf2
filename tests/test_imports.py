"Imports run downward only, and the core imports torch alone."
import ast, json, subprocess, sys
import pytest
from run_course import ROOT

LEVELS = [  # a module imports from the levels above its own line, never from its own
    {'clinic'},
    {'graph', 'data', 'gradcheck'},
    {'mse', 'relu', 'linear'},
    {'network', 'module'},
    {'binary', 'softmax', 'conv'},
    {'training'},
    {'exercises'},
    {'grade'},
    {'all'},
    {'answers'},
]
LEVEL = {name: i for i, names in enumerate(LEVELS) for name in names}
MODULES = sorted(p for p in (ROOT/'backprop_nb').glob('*.py') if not p.stem.startswith('_'))

def imported(code, package='backprop_nb'):
    "The modules of `package` that `code` imports, wherever in it."
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import): names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(filter(None, [package if node.level else '', node.module]))
            names = [f'{base}.{a.name}' for a in node.names] if base == package else [base]
        else: continue
        yield from (n.split('.')[1] for n in names if n.startswith(package + '.'))

def test_imported_sees_every_form():
    code = '''
import backprop_nb.a, torch
from backprop_nb import b
from . import c
def f():
    from .d import x
    from backprop_nb.e import *'''
    assert sorted(imported(code)) == list('abcde')

@pytest.mark.parametrize('path', MODULES, ids=lambda p: p.stem)
def test_imports_run_downward(path):
    assert path.stem in LEVEL, f'give {path.stem} its place in LEVELS'
    upward = [m for m in imported(path.read_text(encoding='utf-8')) if LEVEL[m] >= LEVEL[path.stem]]
    assert not upward, f'{path.stem} may not import {upward}'

def test_core_imports_torch_alone():
    code = '''
import json, sys, torch
before = set(sys.modules)  # torch may bring some of them itself
import backprop_nb.all
print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before})))'''
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert not {'matplotlib', 'torchvision', 'tqdm', 'safetensors', 'sympy'} & set(json.loads(out.stdout))
