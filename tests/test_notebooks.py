"The shape that all notebooks share."
import base64, json, re
from importlib import import_module
import nbformat, pytest, sync
from course import Notebook, chapters, notebooks
from run_course import ROOT
import backprop_nb.all
from backprop_nb.operation import OPS

CFG = sync.settings()
RHYTHM = ['Where we are', 'Forward', 'Wiggle it', 'One entry', 'All entries', 'In code', 'Check it',
          'Common slips', 'In short']

@pytest.fixture(params=sorted((ROOT/'nbs').glob('*.ipynb')), ids=lambda p: p.stem)
def path(request): return request.param

@pytest.fixture
def nb(path): return nbformat.read(path, as_version=nbformat.NO_CONVERT)

def code_lines(nb):
    return [(i, line) for i, c in enumerate(nb.cells, 1) if c.cell_type == 'code'
            for line in c.source.split('\n')]

def headings(nb):
    return [line[3:].strip() for c in nb.cells if c.cell_type == 'markdown'
            for line in c.source.split('\n') if line.startswith('## ')]

def check_format(raw):
    "`raw` is JSON: nbformat would mend ids before we see them."
    ids = [c.get('id') for c in raw['cells']]
    assert all(ids) and len(ids) == len(set(ids))
    assert (raw['nbformat'], raw['nbformat_minor']) == (4, 5)
    nbformat.validate(raw)

def test_format(path): check_format(json.loads(path.read_text(encoding='utf-8')))

@pytest.mark.parametrize('fault', [
    lambda raw: raw.update(nbformat_minor=4), lambda raw: raw['cells'][2].pop('id'),
    lambda raw: raw['cells'][2].update(id=raw['cells'][3]['id']),
    lambda raw: raw['cells'][2].update(id='a b'), lambda raw: raw['cells'][0].update(outputs=[]),
    lambda raw: raw['cells'][1].pop('execution_count')])
def test_format_can_fail(fault):
    raw = json.loads((ROOT/'nbs'/'04_relu.ipynb').read_text(encoding='utf-8'))
    fault(raw)
    with pytest.raises((AssertionError, nbformat.ValidationError)): check_format(raw)

def test_opening(nb, path):
    first, setup = nb.cells[:2]
    title, summary, blank, badge = (first.source.split('\n') + 4 * [''])[:4]
    assert first.cell_type == 'markdown' and title.startswith('# ')
    assert summary.startswith('> ') and blank == ''
    assert badge == sync.badge(path.stem, CFG)
    assert setup.cell_type == 'code' and setup.source == sync.setup(CFG)

def test_cells_are_short(nb):
    wide = [(i, line) for i, line in code_lines(nb) if len(line) > 100]
    cells = [i for i, _ in code_lines(nb)]
    long = {i for i in cells if cells.count(i) > 25}
    assert not wide and not long

def test_pictures_are_sharp(nb):
    "Twice as many pixels each way as the place that a picture takes."
    outputs = [o for c in nb.cells for o in c.get('outputs', [])]
    for o in (o for o in outputs if 'image/png' in o.get('data', {})):
        pixels = int.from_bytes(base64.b64decode(o.data['image/png'])[16:20], 'big')  # PNG: IHDR
        assert pixels >= 2*o.metadata.get('image/png', {}).get('width', pixels)

def test_rhythm(nb, path):
    "Chapters that derive an operation (f and f_grad) have the same headings, all have exercises."
    names = Notebook(path).exports
    if path.stem[:2].isdigit() and any(f'{n}_grad' in names for n in names):
        lacking = [h for h in RHYTHM if h not in headings(nb)]
        assert not lacking, f'{path.stem}: add the sections {lacking}, see CONTRIBUTING'
        assert [h for h in headings(nb) if h in RHYTHM] == RHYTHM
    if path.stem[:2].isdigit(): assert 'Your turn' in headings(nb), f'{path.stem}: add "Your turn"'

def test_numpy_goes_by_the_cpu(nb):
    assert not [x for x in code_lines(nb) if '.numpy()' in x[1] and '.cpu()' not in x[1]]

def test_public_names_are_in_all():
    for nb in notebooks():
        if nb.module and not nb.command:
            public = import_module(f'backprop_nb.{nb.module}').__all__
            lacking = {*public} - {*backprop_nb.all.__all__}
            assert not lacking, f'{nb.name}: {lacking}; run tools/sync.py and nbdev_export'

def test_chapter_says_what_it_builds_on():
    for nb in chapters(): assert nb.needs and nb.gives and nb.title and nb.summary

PAIRS = {n: op for n, op in OPS.items() if op.backward.__name__[0] != '_'}  # not made of others

@pytest.mark.parametrize('op', PAIRS.values(), ids=PAIRS)
def test_operation_is_checked_in_its_chapter(op):
    "By a check that passes, and by one that a planted slip must not pass."
    nb, = [nb for nb in notebooks() if op.backward.__module__ == f'backprop_nb.{nb.module}']
    cells = [c for c in nb.code if 'check_grads' in c]
    names = {op.name, op.backward.__name__}
    assert any(names & {*re.findall(r'\w+', c)} for c in cells), (
        f'{nb.name}: add check_grads({op.name}, {op.backward.__name__}, ...) to "Check it"')
    assert any('refused(' in c for c in cells), (
        f'{nb.name}: plant a slip that it refuses: refused(check_grads, {op.name}, slip, ...)')

@pytest.mark.parametrize('name', ['03_mse', '05_linear', '12_norm'])
def test_a_batch_may_have_another_size(name):
    "How many digits are taken is written only where they are taken."
    nb = nbformat.read(ROOT/'nbs'/f'{name}.ipynb', as_version=nbformat.NO_CONVERT)
    sizes = [line for _, line in code_lines(nb) if '64' in re.findall(r'(?<!\[:)\b\d+\b', line)]
    assert [s for s in sizes if not s.startswith('#|')] == []
