"The checker names what is wrong, passes what is right, and every exercise stands in its chapter."
import inspect, linecache, re, shlex, shutil, subprocess, sys
import nbformat, pytest, torch
import slips
from run_course import ROOT
from torch import Tensor
from backprop_nb import exercises
from backprop_nb.checker import (
    STILL, Function, Gradient, Other, Paper, _number_in, _source, diagnose, instead)
from backprop_nb.exercises import check, hint, solution
from backprop_nb.grade import _space, exercise_cells

ALL = slips.load()
CHAPTERS = sorted((ROOT/'nbs').glob('[0-9][0-9]_*.ipynb'))

@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    "A progress file of this test's own."
    monkeypatch.setitem(exercises._place, 'file', tmp_path/'progress.json')
    exercises._given.clear()
    return tmp_path/'progress.json'

@pytest.fixture(params=ALL)
def ex(request): return ALL[request.param]

def noise(x, k):
    "Random numbers, or words, in the form of `x`."
    if isinstance(x, dict): return {n: noise(v, k) for n, v in x.items()}
    if isinstance(x, str): return 'something else'
    torch.manual_seed(100 + k)
    if not isinstance(x, Tensor) and isinstance(x, (tuple, list)) and isinstance(x[0], Tensor):
        return type(x)(noise(t, k + i) for i, t in enumerate(x))
    x = torch.as_tensor(x) if isinstance(x, Tensor) else torch.as_tensor(x, dtype=torch.float64)
    return torch.randn_like(x) if x.is_floating_point() else x

def nonsense(ex, k):
    "An answer of the right form that has nothing to do with the question."
    if isinstance(ex, Paper): return noise(ex.solution(), k)
    if not ex.forward: return lambda *args: noise(ex.solution(*args), k)
    def f(*args):
        ex.solution(*args)
        for n in slips.gradients(ex, args):
            x = slips.named_inputs(ex, args)[n[:-2]]
            x.g = noise(x.g, k)
    return f

def test_solution_passes(ex):
    answer = ex.solution() if isinstance(ex, Paper) else ex.solution
    assert diagnose(ex.name, answer).state == 'done'

def test_planted_slips_are_named(ex):
    found = slips.plants(ex)
    verdicts = [(key, f, diagnose(ex.name, f, search=False)) for key, f in found]
    bad = [f'{key} planted: {v}' for key, f, v in verdicts if not slips.named(ex, key, v)]
    assert len(found) >= 2 and not bad, '\n'.join(bad)

@pytest.mark.parametrize('k', range(3))
def test_nonsense_is_not_diagnosed(ex, k):
    if type(ex) is Other: pytest.skip('its answers are no plain functions')
    answer = nonsense(ex, k)
    verdict = diagnose(ex.name, answer, search=False)  # it would find the line that spoils it
    assert (verdict.state, verdict.slips) == ('not yet', ())

def test_help(ex, capsys):
    assert 2 <= len(ex.hints) <= 5 and len(set(ex.hints)) == len(ex.hints)
    for _ in range(len(ex.hints) + 1): hint(ex.name)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(ex.hints) + 1 and said[-1] == said[-2]
    assert all(h in s for h, s in zip(ex.hints, said))
    solution(ex.name)
    said = capsys.readouterr().out
    assert re.search(rf'(def|class) {ex.solution.__name__}\b', said) and '\n@' not in said
    assert ex.derivation and ex.derivation in said

@pytest.mark.parametrize('path', CHAPTERS, ids=lambda p: p.stem)
def test_chapter(path, capsys):
    nb = nbformat.read(path, as_version=4)
    own = {n: x for n, x in ALL.items() if n[:2] == path.stem[:2]}
    text = '\n'.join(c.source for c in nb.cells if c.cell_type == 'markdown')
    headings = [h for h in re.findall(r'^## (.*)', text, re.M) if not h.startswith('Appendix')]
    assert headings[-1] == 'Your turn', f'{path.stem}: "Your turn" comes last, but for appendices'
    titles = re.findall(r'^### (\d\d\.\d) (.*)\n\n\*Difficulty [123] of 3, \d+ minutes[.,]',
                        text, re.M)
    assert titles, f'{path.stem}: add an exercise, see CONTRIBUTING'
    lacking = [n for n, _ in titles if n not in own]
    assert not lacking, f'answers_{path.stem}.ipynb: add a section for {lacking}'
    assert titles == [(n, x.title) for n, x in own.items()]
    cells = {n: c for c in exercise_cells(path)
             for n in re.findall(r"^check\('(\d\d\.\d)'", c, re.M)}
    assert cells.keys() == own.keys(), f'{path.stem}: each exercise has a cell that calls check'
    for n, code in cells.items():
        space = _space() | {'check': check}
        exec(code, space)
        still = f': {STILL}' if STILL in [says for _, says in own[n].slips] else ''
        assert capsys.readouterr().out == f'{n} not written yet{still}\n'
        f = own[n].solution
        if isinstance(own[n], (Function, Gradient)):
            stub = space[re.search(rf"check\('{n}', (\w+)\)", code)[1]]
            assert [*inspect.signature(stub).parameters] == [*inspect.signature(f).parameters]
    assert f"progress('{path.stem[:2]}')" in [c.source for c in nb.cells]

def test_a_chapter_does_not_show_its_solutions():
    code = {re.sub(r'\s', '', c.source) for p in CHAPTERS
            for c in nbformat.read(p, as_version=4).cells if c.cell_type == 'code'}
    for ex in ALL.values():
        if not ex.forward: continue
        body = _source(ex.solution).split('\n', 1)[-1]
        assert not any(re.sub(r'\s', '', body) in c for c in code), ex.name

# ---- what is seen without the table

def defined(code, name):
    "What `code` defines under a name, as in a cell whose text is kept."
    file = f'<exercise {len(linecache.cache)}>'
    linecache.cache[file] = len(code), None, code.splitlines(True), file
    exec(compile(code, file, 'exec'), space := _space())
    return space[name]

GIVEN = [n for n in ALL if ALL[n].given]

@pytest.mark.parametrize('name', GIVEN)
def test_the_code_of_the_question_is_not_written_yet(name):
    ours = re.findall(r'^def (\w+)', ALL[name].given, re.M)[-1]
    for code in ALL[name].given, '# a comment\n' + ALL[name].given.replace(ours, 'renamed'):
        f = defined(code, 'renamed' if 'renamed' in code else ours)
        assert str(diagnose(name, f)) == f'{name} not written yet: {STILL}'

@pytest.mark.parametrize('line', ['torch.where(inp > 0, out.g, inp*0)', 'out.sign() * out.g'])
def test_other_code_with_the_same_numbers_is_written(line):
    v = diagnose('04.3', defined(f'def f(inp, out): inp.g = {line}', 'f'))
    assert (v.state, v.slips) == ('not yet', (STILL,)) and 'the lines have changed' in v.text

def test_a_slip_that_is_still_in_a_part_is_said():
    "And no pair of other rows is told in its place."
    def turned_norm_grad(inp, out, w, b, eps):
        r = (inp.var(1, correction=0, keepdim=True) + eps).rsqrt()
        xhat, g = r * (inp - inp.mean(1, keepdim=True)), out.g
        inp.g = r * w * (g - g.mean(1, keepdim=True) - xhat * (g * xhat).mean(1, keepdim=True))
        w.g, b.g = (g * xhat).mean(0), g.sum(0)
    v = diagnose('12.2', turned_norm_grad, search=False)
    assert v.state == 'not yet' and v.text.startswith(
        f"inp.g: {STILL}; w.g: the factors' gradient is a mean over the examples; "
        'it should be the sum.')

def test_every_row_of_code_to_mend_has_the_code():
    assert GIVEN == [n for n in ALL if STILL in [says for _, says in ALL[n].slips]]

@pytest.mark.parametrize('answer, named', [
    (24770, True), (24970, True), (94790, True), (24680, False), (2479, False), (24790.5, False)])
def test_one_digit(answer, named):
    assert ('digit' in diagnose('07.1', answer).slips) == named

def test_a_gradient_that_no_layer_has_written():
    class Chain(ALL['07.4'].solution):
        def bwd(self, out, inp):
            for layer in self.layers[:1:-1]: layer.backward()
    v = diagnose('07.4', Chain, search=False)
    assert v.slips == (('not written', 'inp.g'),) and v.text == 'inp.g is not written.'

NAME = '04.2'

def test_the_checker_alone_says_what_to_import():
    code = "from backprop_nb.checker import diagnose; diagnose('04.1', 1)"
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert "no exercise '04.1', want one of those that backprop_nb.exercises brings" in run.stderr

def test_the_command_for_handouts(tmp_path):
    text = '\n'.join(c.source for c in nbformat.read(ROOT/'nbs'/'teachers.ipynb', 4).cells)
    command = re.search(r'^jupyter nbconvert (?:.*\\\n)*.*', text, re.M)[0]
    command = shlex.split(command.replace('\\\n', ''))
    original = tmp_path/command[-1]
    shutil.copy(ROOT/'nbs'/command[-1], original)
    before = original.read_bytes()
    subprocess.run([sys.executable, '-m', *command], cwd=tmp_path, check=True)
    handout = nbformat.read(tmp_path/'handout'/command[-1], 4)
    assert original.read_bytes() == before and b'image/png' in before
    assert handout.cells and not any(c.get('outputs') for c in handout.cells)

MINE = '''
class NoBias(Module):
    def __init__(self, w): self.w = w
    def forward(self, inp): return inp @ self.w
    def bwd(self, out, inp): inp.g, self.w.g = out.g @ self.w.t(), inp.t() @ out.g

class Chain(Module):
    def __init__(self, layers): self.layers = layers
    def forward(self, x):
        for layer in self.layers: x = layer(x)
        return x
    def bwd(self, out, inp):
        for layer in reversed(self.layers): layer.backward()
'''

def test_modules_of_the_notebook_pass_in_it():
    "In chapter 07 a learner builds on the `Module` of the notebook, not on that of the package."
    nb, space = nbformat.read(ROOT/'nbs'/'07_module.ipynb', as_version=4), {}
    cells = [c.source for c in nb.cells if c.source.startswith('#| export')]
    exec('\n'.join(cells) + MINE, space)
    assert not any('backprop_nb' in c.__module__ for c in space['Chain'].__mro__[:2])
    for name, answer in ('07.3', 'NoBias'), ('07.4', 'Chain'):
        assert diagnose(name, space[answer]).state == 'done'

@pytest.mark.parametrize('text', [
    '1/40, -1/8, 1/10', '(1/40, -125/1000, 1 / 10)', '0.025, -1/8, .1'])
def test_fractions_side_by_side_are_numbers(text): assert diagnose('09.1', text).state == 'done'

def test_who_rounds_to_two_digits_is_told():
    "Not of whole numbers, of which all digits count, and not where it is something else."
    assert ', want 3 digits' in diagnose('09.1', (0.025, -0.13, 0.1)).text
    for name, answer in [('09.1', (0.025, 0.13, 0.1)), ('09.1', (.0275, -.1375, .11)),
                         ('07.1', 24800)]:
        assert '3 digits' not in diagnose(name, answer).text

@pytest.mark.parametrize('name, part, text', [
    ('19.3', 'seconds', '230/1 000'), ('19.3', 'seconds', '230/1_000'),
    ('18.1', 'there', '518 400/2')])
def test_spaces_in_numbers_are_no_matter(name, part, text):
    right = ALL[name].solution()
    assert diagnose(name, right | {part: text}).state == 'done'

def test_percent_and_commas():
    numbers = {'75%': .75, '7,5 %': .075, '0,75': .75, '−0,125': -.125, '5,25': 5.25,
               '1,234': 1234, '1,234.5': 1234.5}
    assert {text: _number_in(text) for text in numbers} == pytest.approx(numbers)

@pytest.mark.parametrize('text', ['1/1e3', '3.2/50000', 'n/a', '1/0', '9'*5000 + '/7'])
def test_other_text_stays_text(text): assert _number_in(text) == text

def test_nothing_is_shown_that_was_not_handed_in():
    def reads(inp, targ, out=None): inp.g = out.g * (inp - targ[:,None]).sign() / len(targ)
    said = diagnose('03.2', reads).text
    assert 'may be left out' in said and 'out.g' not in said

def test_a_name_mistyped_is_answered_by_those_of_its_chapter():
    for name in '3.4', '03.9':
        with pytest.raises(ValueError, match='want one of 03.1, 03.2, 03.3, 03.4 '): hint(name)
    with pytest.raises(ValueError, match='19.4'): hint('xx')

def test_passes_refuses_under_optimization_too():
    "`python -O` drops assert statements."
    code = ('from backprop_nb.exercises import passes\n'
            "try: passes('04.2', lambda inp, out, slope: None)\n"
            "except AssertionError as e: print('refused', e)")
    said = subprocess.run([sys.executable, '-O', '-c', code], capture_output=True, text=True)
    assert said.stdout.startswith('refused 04.2 not'), said

# ---- what the inputs did not tell apart, and answers that were refused or blamed

@pytest.mark.parametrize('name, lines', [
    ('03.2', 'slope = (miss - 0.01).sign()'),
    ('08.4', 'up = out.g'), ('09.2', 'up = out.g'), ('09.3', 'up = out.g'),
    ('11.4', 'k = min(w.shape[2], 3)'), ('13.2', 'shares = out.g.repeat_interleave(3, 0)'),
    ('15.2', 'sin = (1 - cos**2).sqrt()'),
    ('17.4', 'return {n: g[n] + x for n,x in arrived.items()}'),
    ('17.4', 'return {n: g.get(n, x) + x for n,x in arrived.items()}'),
    ('18.2', "return weights / rest if rest >= 0 else float('inf')"),
    ('18.4', 'return [g * factor for g in small] + [length]'),
    ('19.2', 'return torch.stack(rows[:2])'),
    ('19.4', 'short = g * (most / (lr * length)).clamp(max=1)')])
def test_wrong_lines_that_passed_or_looked_like_others(name, lines):
    v = diagnose(name, instead(ALL[name].solution, lines), search=False)
    assert v.state == 'not yet' and 'not clipped at all' not in v.text

@pytest.mark.parametrize('name, line', [
    ('17.2', 'return (*x.t() @ (bend * moves),)'), ('17.2', 'return [*x.t() @ (bend * moves)]'),
    ('19.2', 'return rows'), ('19.2', 'return (*rows,)')])
def test_rows_in_a_list_are_a_table(name, line):
    assert diagnose(name, instead(ALL[name].solution, line)).state == 'done'

def test_all_that_is_rounded_too_far_is_told():
    right = ALL['00.2'].solution()
    for digits, told in (2, 'w1 and x1 and w2'), (1, 'w0 and x0 and w1 and x1 and w2'):
        v = diagnose('00.2', {n: round(x, digits) for n, x in right.items()})
        assert v.text.startswith(f'{told}: it is close, want 3 digits.')
    assert diagnose('00.2', right | {'w2': 0.1}).text.startswith('w2: it is close')

def test_a_table_on_paper_that_is_transposed():
    right = ALL['15.1'].solution()
    for n in 'vz':
        v = diagnose('15.1', right | {n: [*zip(*right[n])]})
        assert v.slips == ('transposed',) and v.text.startswith(f'{n}: the table is transposed')

def test_an_exponential_that_overflows_is_told_as_such():
    line = 's = math.exp(a) / (1 + math.exp(a))'
    v = diagnose('00.4', instead(ALL['00.4'].solution, line))
    assert 'OverflowError: math range error' in v.text and 'exp of its negative is not' in v.text
