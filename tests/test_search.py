"The search finds the line of the one thing that is wrong, and leaves no trace."
import ast, itertools, linecache, sys
import pytest, torch
from backprop_nb import exercises  # noqa: F401, it enters the exercises
from backprop_nb.checker import diagnose
from backprop_nb.faults import Edit, one_edit
from backprop_nb.search import code_of, in_order, one_change, quietly, told, versions

def defined(code, name='f', readable=True, **names):
    "What `code` defines under a name, as in a cell whose text is kept, or not."
    file = f'<cell {len(linecache.cache)}>'
    if readable: linecache.cache[file] = len(code), None, code.splitlines(True), file
    names |= {'__name__': '__main__', 'torch': torch}
    exec(compile(code, file, 'exec'), names)
    return names[name]

def square(x): return x * x + 1
XS = -2, -1, 0, 1, 3

def found(code, name='f', right=square, give=True, readable=True, **names):
    "What the search says of a wrong version of `right`."
    f = defined(code, name, readable, **names)
    def run(g): return [g().run(x) if isinstance(g, type) else g(x) for x in XS]
    want, got = run(right), run(f)
    return one_change(f, code_of(right), lambda g: run(g) == want,
                      (lambda g: run(g) == got) if give else None)

@pytest.mark.parametrize('code, says', [
    ('def f(x):\n    # a comment\n    y = x * x\n    return y - 1',
     'line 4 of your function: an operator'),
    ('def f(x):\n    y = x * x * x\n    return y + 1',
     'line 2 of your function: a factor that should not be there'),
    ('def f(x):\n    y = x\n    return y + 1',
     'line 2 or 3 of your function: a factor is missing'),
    ('f = lambda x: x * x + 2', 'line 1 of your function: a constant'),
    ('class f:\n    def run(self, x):\n        return x * x - 1',
     'line 3 of your class: an operator'),
    ('def f(x):\n    return x ** 4 - 2', '')])
def test_found(code, says): assert found(code) == says

def test_lines_count_from_the_def():
    code = 'import torch\n@torch.no_grad()\ndef f(x):\n    y = x * x\n    return y - 1'
    assert found(code) == 'line 3 of your function: an operator'

@pytest.mark.parametrize('code, says', [
    ('def f(x): return x * x - 1', 'it is right except for one thing: an operator'),
    ('def f(x): return x - 7', '')])
def test_code_that_cannot_be_read(code, says):
    assert found(code, readable=False) == says
    if says: assert not found(code, readable=False, give=False)

def test_one_of_two_lambdas_is_not_guessed():
    code = 'f, g = lambda x: x * x - 1, lambda x: x'
    assert not found(code, give=False)

def test_no_trace_is_left(capsys):
    code = """def f(x):
    global calls
    calls += 1
    seen.append(x)
    w.add_(1)
    print(x)
    while calls < 0: calls -= 1
    return x * x - 1"""
    names = dict(calls=1, seen=[], w=torch.zeros(2))
    f = defined(code, **names)
    def mends(g): return g(2) == 5 and g(3) == 10
    edits = versions(code_of(f), mends)
    assert told(edits, code_of(f)) == 'line 8 of your function: an operator'
    space = f.__globals__
    assert space['calls'] == 1 and not space['seen'] and not space['w'].any()
    assert capsys.readouterr().out == '' and sys.gettrace() is None

def test_what_never_ends_is_stopped():
    space = {}
    exec('def a():\n while True: pass\ndef b(): return [0 for _ in iter(int, 1)]\n'
         'def c(): b()', space)
    assert [quietly(space[n], space) for n in 'abc'] == [None] * 3

def test_ctrl_c_goes_through():
    def f(): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): quietly(f, f.__globals__)
    assert sys.gettrace() is None

def test_who_waits_is_told_and_time_is_kept(monkeypatch):
    import time
    said, clock = [], iter(range(10**6))
    monkeypatch.setattr(time, 'thread_time', lambda: 0)
    monkeypatch.setattr(time, 'perf_counter', lambda: next(clock))
    f, tried = defined('def f(x): return x * x - 1'), []
    assert not one_change(f, code_of(square), tried.append, None, said.append)
    assert said == ['looking for the slip ...'] and 0 < len(tried) < 9

WRONG = """def f(inp, out, slope):
    is_open = inp > 0
    rate = torch.where(is_open, torch.ones_like(inp), slope)
    inp.g = rate * out.g * is_open.sum() / 7"""

def test_versions_are_tried_while_edits_are_made():
    "The search of a long function does not list all edits first, and stops when the time is over."
    made, clock = [], itertools.count()
    def edits():
        for k in itertools.count(): made.append(k); yield Edit('', 1, '', 'x' * (1 + k % 3))
    tried = list(in_order(edits(), 2, lambda: next(clock) >= 9))
    assert [len(e.code) for e in tried] == [1, 2] * 3 and len(made) == 10
    few = [Edit('', 1, '', 'x' * n) for n in (3, 1, 4, 2)]
    assert [len(e.code) for e in in_order(few, 2, lambda: False)] == [1, 2, 3, 4]

def test_diagnose():
    "The line is said beside the example, and a switch turns it off."
    code = WRONG.replace(' / 7', '')
    v = diagnose('04.2', defined(code))
    assert v.slips == (('one change',
                        'line 4 of your function: a factor that should not be there'),)
    assert 'and should be' in v.text
    assert 'no slip that I know' in diagnose('04.2', defined(code), search=False).text
    assert 'no slip that I know' in diagnose('04.2', defined(WRONG)).text  # two slips

def test_an_error_is_mended_too():
    code = WRONG.replace(' * is_open.sum() / 7', '.t()')
    v = diagnose('04.2', defined(code))
    assert v.slips[1] == ('one change',
                          'line 4 of your function: a transpose that should not be there')

@pytest.mark.parametrize('code', ['def f(x, y):\n    z = x @ y.t()\n    return z[0] - 1',
                                  'f = lambda a, b: [a[i] for i in range(len(b)) if i < 2]'])
def test_every_edit_is_python_and_differs_from_the_others(code):
    edits = [*one_edit(code)]
    assert len(edits) > 50 and len({e.code for e in edits} | {code}) == len(edits) + 1
    for e in edits: compile(e.code, '', 'exec')
    assert all(1 <= e.line <= 3 for e in edits)

def test_a_keyword_that_is_lost_is_named():
    kinds = {e.code: e.kind for e in one_edit('def f(x): return x.var(dim=1, correction=0)')}
    assert kinds['def f(x):\n    return x.var(dim=1)'] == 'correction is missing'
    assert kinds['def f(x):\n    return x.var(correction=0)'] == 'an axis is missing'

def test_a_tree_to_which_a_traceback_has_added(request):
    "IPython's tracebacks write `parent` into nodes, and `Load()` is one for all of Python."
    tree = ast.parse('x')
    ctx = tree.body[0].value.ctx
    ctx.parent = tree
    request.addfinalizer(lambda: vars(ctx).pop('parent'))
    assert found('def f(x):\n    y = x * x\n    return y - 1') == (
        'line 3 of your function: an operator')
