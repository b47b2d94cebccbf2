"""The clinic: every error of the package has its entry there, every entry shows what it says, its
links lead somewhere, and an entry runs without the others."""
import ast, pickle, re
from functools import cache
import nbformat, pytest, torch
from backprop_nb.clinic import ClinicError
from run_course import ROOT

ERRORS = ClinicError.__subclasses__()
ENTRIES = [e.entry for e in ERRORS]
OTHERS = {  # errors of other kinds, by module; and why they may be raised
    '__main__': {'ArgumentTypeError': 'argparse makes a line of usage of it',
                 'OSError': 'caught a few lines below, where an ArgumentTypeError is made of it',
                 'ValueError': 'caught where a file is loaded: a line of usage is made of it'},
    'data': {'ValueError': 'caught a few lines below, where a FileError is made of it',
             'RuntimeError': 'caught a few lines below, where a FileError is made of it'},
    'embedding': {'ValueError': 'caught a few lines below, where a FileError is made of it'},
    'gpt': {'ValueError': 'caught a few lines below, where a FileError is made of it'},
    'checker': {'NotWritten': 'caught by the checker, which says what is left to do',
                'Slip': 'caught by the checker, which makes a verdict of it'},
    'parallel': {'wrong': 'what an optimizer says, held back until all ranks know of it'},
    'search': {'OSError': 'caught in the module: code that cannot be read is not searched',
               '_Late': 'caught a few lines below: a version that does not end'},
    'training': {'KeyboardInterrupt': 'the first Ctrl-C is passed on as it is',
                 'ValueError': 'caught a few lines below, where a FileError is made of it'},
    'exercises': {e: 'caught in the module, which says in a line what happened'
                  for e in ('OSError', 'ValueError')},
    'grade': {e: 'in the process of a student, whose verdict it becomes, or caught on reading'
              for e in ('LookupError', 'NotWritten', 'PermissionError', 'RuntimeError', 'Slip',
                        'TypeError', 'ValueError', "type(x[0], (Exception,), {})")},
    'answers': {'NotWritten': 'as in checker', 'Slip': 'as in checker'},
}

# what is raised

def raised(code):
    "The names of the errors that `code` raises, wherever in it; a bare `raise` has none."
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            yield ast.unparse(error).split('.')[-1]

def test_raised_sees_every_form():
    code = '''
def f():
    try: raise A('a')
    except A as e: raise b.C(f'{e}') from e
    except D: raise
    if x: raise E'''
    assert sorted(raised(code)) == ['A', 'C', 'E']

@pytest.mark.parametrize('path', sorted([*(ROOT/'backprop_nb').glob('*.py'),
                                         ROOT/'backprop_nb'/'answers']), ids=lambda p: p.stem)
def test_every_error_has_an_entry(path):
    files = path.glob('*.py') if path.is_dir() else [path]
    found = {n for p in files for n in raised(p.read_text(encoding='utf-8'))}
    found -= {e.__name__ for e in ERRORS}
    others = OTHERS.get(path.stem, {})
    assert not found - {*others}, 'raise an error of clinic.py, or say in OTHERS why not'
    assert not {*others} - found, 'raised no more: strike it from OTHERS'

@pytest.mark.parametrize('error', ERRORS, ids=lambda e: e.__name__)
def test_an_error_names_its_entry(error):
    builtin = [b for b in error.__mro__ if b.__module__ == 'builtins'][:-3]  # but Exception, ...
    assert builtin and error.__doc__ and error.__module__ == 'backprop_nb.clinic'
    cause = KeyError('cause')
    with pytest.raises(builtin[0]) as e: raise error('lin: what came') from cause
    for again in e.value, pickle.loads(pickle.dumps(e.value)):
        assert type(again) is error and again.args == ('lin: what came',)
        assert str(again) == f'lin: what came (clinic: {error.entry})'
    assert e.value.__cause__ is cause

# what the notebook has

@cache
def cells(name='clinic'): return nbformat.read(ROOT/'nbs'/f'{name}.ipynb', 4).cells

@cache
def headings(name):
    return [m[1].strip() for c in cells(name) if c.cell_type == 'markdown'
            for m in re.finditer(r'^#+ (.*)', c.source, re.M)]

def sections():
    "Heading (with its marks) and cells of each part of the clinic."
    parts = {}
    for c in cells():
        if c.cell_type == 'markdown' and re.match('##+ ', c.source):
            parts[c.source.split('\n')[0]] = mine = []
        if parts: mine.append(c)
    return parts

def is_code(c): return c.cell_type == 'code'
def text(part): return '\n'.join(c.source for c in part if not is_code(c))
def printed(part):
    return '\n'.join(o.get('text', '') for c in part if is_code(c) for o in c.outputs)

PARTS = sections()
CONFUSIONS = [h for h in PARTS if re.match('## [a-z]', h)]
MESSAGES = [h for h in PARTS if h.startswith('### ')]
FIRST, SECOND = PARTS['## Look it up'], [*PARTS].index('## Error messages')

def test_confusions_come_before_error_messages():
    assert CONFUSIONS and [*PARTS][1:SECOND] == CONFUSIONS

@pytest.mark.parametrize('heading', CONFUSIONS)
def test_confusion(heading):
    part = PARTS[heading]
    asked = [i for i, c in enumerate(part) if c.source.startswith('**What happened?** ')]
    assert len(asked) == 1, 'one question, and its answer'
    wrong, mend = ([c for c in p if is_code(c)] for p in (part[:asked[0]], part[asked[0]:]))
    assert len(wrong) == 1 and wrong[0].outputs and 'assert' not in wrong[0].source
    assert mend and all(re.search(r'^ *assert', c.source, re.M) for c in mend)
    assert UNDER.search(part[asked[0]].source), 'say where it is derived'

@pytest.mark.parametrize('error', ERRORS, ids=lambda e: e.__name__)
def test_message(error):
    part = PARTS[f'### {error.entry}']
    named = rf'`{error.__name__}`, an? `{error.__mro__[2].__name__}`'
    assert re.search(named, part[0].source)
    said = rf'^{error.__name__}: .* \(clinic: {error.entry}\)$'
    assert re.search(said, printed(part[:2]), re.M), 'show a message that ends in the name'
    assert is_code(part[-1]) and re.search(r'^- ', text(part), re.M), 'causes, and a mend that runs'

def test_an_entry_for_each_error_and_no_more():
    assert [h[4:] for h in MESSAGES] == [*dict.fromkeys(ENTRIES)]

UNDER = re.compile(r'\[chapter (\d\d)\]\((\d\d_\w+)\.ipynb\) under \*(.*?)\*(?=[.,;])')

@pytest.mark.parametrize('heading', PARTS)
def test_links(heading):
    source = text(PARTS[heading])
    here = {h.replace(' ', '-') for h in headings('clinic')}
    for file, anchor in re.findall(r'\]\(([^)#]*)#?([^)]*)\)', source):
        assert (ROOT/'nbs'/file).exists() and (not anchor or (not file and anchor in here)), anchor
    under = UNDER.findall(source)
    assert len(under) == source.count('.ipynb'), 'a link to a chapter names the heading as well'
    for number, name, there in under:
        assert name[:2] == number and there in headings(name), f'no {there!r} in {name}'

def test_look_it_up_has_every_entry():
    listed = re.findall(r'^\|.*\| \[(.*)\]\(#(.*)\) \|$', text(FIRST), re.M)
    assert all(name.replace(' ', '-') == anchor for name, anchor in listed)
    assert [name for name, _ in listed] == [h.lstrip('# ') for h in CONFUSIONS + MESSAGES]

@pytest.mark.parametrize('heading', CONFUSIONS + MESSAGES)
def test_an_entry_runs_alone(heading, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)                    # an entry may leave files
    imports = next(c for c in cells() if 'torch.manual_seed' in c.source)
    device, space = torch.get_default_device(), {'__name__': 'lifted'}
    try:
        for c in [imports, *PARTS[heading]]:
            if is_code(c): exec(c.source, space)
    finally: torch.set_default_device(device)
