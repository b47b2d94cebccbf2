"""The desk: `check` and `progress` go on whatever they find, nothing is lost, and one line says
what happened; the commands end well."""
import json, os, re, runpy, signal, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
import nbformat, pytest
import course, slips
from run_course import ROOT
from backprop_nb import exercises
from backprop_nb.checker import _TEXTS, EXERCISES
from backprop_nb.exercises import _borrowed, check, hint, keep_progress, passes, progress

ALL = slips.load()
NAME, DAY = '04.2', '2026-01-02'
def right(name=NAME): return ALL[name].solution

@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    "A progress file of this test's own; a file that blocks is not waited for."
    monkeypatch.setitem(exercises._place, 'file', tmp_path/'progress.json')
    monkeypatch.setattr(exercises, '_unsaved', {})
    if hasattr(signal, 'alarm'): signal.alarm(120)
    yield tmp_path/'progress.json'
    if hasattr(signal, 'alarm'): signal.alarm(0)

def lines(capsys): return capsys.readouterr().out.splitlines()

def noted(path): return json.loads(path.read_text(encoding='utf-8'))

def in_folder(path): return sorted(p.name for p in path.iterdir())

# ---- the file

def test_progress_is_kept(place, capsys):
    check(NAME, right())
    assert re.fullmatch(r'\d{4}-\d\d-\d\d', day := noted(place)[NAME])
    check(NAME, lambda *args: None)  # what is done stays done
    progress(NAME[:2])
    said = lines(capsys)
    assert any(x.startswith(f'{NAME}  {day}') for x in said)
    assert said[-1] == f'1 of {sum(n.startswith(NAME[:2]) for n in ALL)} done'
    assert in_folder(place.parent) == [place.name]

OURS = json.dumps({'04.1': DAY}, indent=1).encode()
FOREIGN = {
    'cut off': OURS[:-3], 'empty': b'', 'zeros': bytes(9), 'null': b'null', 'list': b'[1]',
    'number': b'7', 'no day': b'{"04.2": null}', 'a number a day': b'{"04.2": 1}',
    'of a program': b'{"theme": "dark"}', 'nested': b'{"04.2": {"day": "2026-01-02"}}',
    'utf-16': OURS.decode().encode('utf-16'), 'latin-1': b'{"04.1": "\xe9"}',
    'brackets': b'[' * 100_000}

@pytest.mark.parametrize('raw', [OURS, b'\xef\xbb\xbf' + OURS, OURS.replace(b'\n', b'\r\n')],
                         ids=['as it was always written', 'byte order mark', 'CRLF'])
def test_ours_is_read(place, capsys, raw):
    place.write_bytes(raw)
    progress('04')
    assert place.read_bytes() == raw and lines(capsys)[0].startswith(f'04.1  {DAY}')
    check(NAME, right())
    assert {**noted(place), NAME: 0} == {'04.1': DAY, NAME: 0} and len(lines(capsys)) == 1

@pytest.mark.parametrize('raw', FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_ours_is_set_aside(place, capsys, raw):
    place.write_bytes(raw)
    progress('04')
    assert place.read_bytes() == raw and 'cannot be read and stays as it is' in lines(capsys)[0]
    for k in '12':
        check(NAME, right())
        said = lines(capsys)
        assert f'kept as progress.damaged-{k}' in said[-1] and len(said) == 2
        assert place.with_suffix(f'.damaged-{k}').read_bytes() == raw and [*noted(place)] == [NAME]
        place.write_bytes(raw)

def goes_on(capsys, why):
    "`check` gives its verdict and one line, and so does `progress`, which shows what is done."
    check(NAME, right())
    said = lines(capsys)
    assert said[0] == f'{NAME} done: {ALL[NAME].title}' and len(said) == 2
    assert f'{NAME} is done, but' in said[1] and re.search(why, said[1])
    progress('04')
    said = lines(capsys)
    assert f'1 of {sum(n.startswith("04") for n in ALL)} done' == said[-1]
    return [x for x in said if 'cannot be read' in x]

def test_no_plain_file_is_left_alone(tmp_path, capsys):
    (tmp_path/'folder'/'progress.json').mkdir(parents=True)
    places = [tmp_path/'folder', Path(os.devnull)]
    if hasattr(os, 'mkfifo'):
        os.mkfifo(tmp_path/'pipe')
        places += [tmp_path/'pipe', tmp_path/'link']
        (tmp_path/'link').symlink_to(tmp_path/'pipe')
    before, device = sorted(tmp_path.rglob('*')), os.stat(os.devnull).st_mode
    for p in places:
        keep_progress(p)
        exercises._unsaved.clear()
        assert len(goes_on(capsys, 'not a plain file')) == 1
    assert sorted(tmp_path.rglob('*')) == before and os.stat(os.devnull).st_mode == device

def test_no_home(tmp_path, monkeypatch, capsys):
    exercises._place.clear()
    monkeypatch.delenv('BACKPROP_NB_PROGRESS', raising=False)
    monkeypatch.setattr(os.path, 'expanduser', str)  # what it does where there is none
    monkeypatch.chdir(tmp_path)
    assert keep_progress() == Path('~/.backprop_nb/progress.json')
    goes_on(capsys, r'no home folder; keep_progress\(')
    assert not in_folder(tmp_path)
    keep_progress(tmp_path/'p.json')
    check('04.3', right('04.3'))  # and what waited is noted, too
    assert [*noted(tmp_path/'p.json')] == [NAME, '04.3'] and not exercises._unsaved

def test_unreadable(place, monkeypatch, capsys):
    def refuse(*args, **how): raise PermissionError(13, 'Permission denied')
    place.write_bytes(OURS)
    monkeypatch.setattr(Path, 'read_text', refuse)
    assert len(goes_on(capsys, 'Permission denied')) == 1
    assert place.read_bytes() == OURS and in_folder(place.parent) == [place.name]

@pytest.mark.parametrize('name', ['fsync', 'replace', 'below a file'])
def test_unwritable(place, monkeypatch, capsys, name):
    def full(*args): raise OSError(28, 'No space left on device')
    place.write_bytes(OURS)
    if name == 'below a file': keep_progress(place/'progress.json')
    else: monkeypatch.setattr(os, name, full)
    check('04.3', right('04.3'))
    said = lines(capsys)
    assert len(said) == 2 and re.search('No space|exists|directory', said[1])
    assert place.read_bytes() == OURS and in_folder(place.parent) == [place.name]

@pytest.mark.skipif(os.name == 'nt', reason='links need rights there')
@pytest.mark.parametrize('there', [True, False])
def test_a_link_is_followed(place, capsys, there):
    real = place.parent/'far'/'mine.json'
    real.parent.mkdir()
    if there: real.write_bytes(OURS); real.chmod(0o600)
    place.symlink_to(real)
    check(NAME, right())
    assert place.is_symlink() and NAME in noted(real) and in_folder(real.parent) == ['mine.json']
    if there: assert '04.1' in noted(real) and real.stat().st_mode & 0o777 == 0o600

def test_a_folder_may_hold_it(tmp_path):
    assert keep_progress(tmp_path) == tmp_path/'progress.json'
    check(NAME, right())
    assert [*noted(tmp_path/'progress.json')] == [NAME]

def test_the_place_can_be_chosen(tmp_path, monkeypatch):
    exercises._place.clear()
    monkeypatch.setenv('BACKPROP_NB_PROGRESS', str(tmp_path/'a.json'))
    assert keep_progress() == tmp_path/'a.json'
    assert keep_progress(tmp_path/'b.json') == keep_progress() == tmp_path/'b.json'

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork on this machine')
def test_kernels_at_once(place):
    children = []
    for k in range(4):
        pid = os.fork()
        if not pid:  # a kernel: notes ten exercises, and ends without a word
            try:
                for i in range(10): exercises._enter(f'{k}.{i}')
                os._exit(len(exercises._unsaved))
            finally: os._exit(99)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0]*4
    assert len(noted(place)) == 40 and in_folder(place.parent) == [place.name]

def test_one_reads_before_the_other_has_written(place, monkeypatch):
    read, other = exercises._noted, {'04.1': DAY}
    def slow(path):
        done = read(path)
        if other: place.write_text(json.dumps(other)); other.clear()
        return done
    monkeypatch.setattr(exercises, '_noted', slow)
    exercises._enter(NAME)
    assert sorted(noted(place)) == ['04.1', NAME]

def test_what_a_killed_kernel_left(place, monkeypatch):
    monkeypatch.setattr(time, 'sleep', lambda s: None)
    place.with_name('.progress.json.new').write_text('half')
    check(NAME, right())
    assert [*noted(place)] == [NAME] and in_folder(place.parent) == [place.name]

# ---- what is next

@pytest.mark.parametrize('done, after', [
    ({}, '00.1'), ({'00.1': DAY}, '00.2'), ({'00.1': DAY, '04.2': DAY}, '04.3'),
    ({'04.2': DAY, '02.1': '2026-01-03'}, '02.2'), ({max(ALL): DAY}, '00.1'),
    ({'99.9': DAY}, '00.1')])
def test_next(place, capsys, done, after):
    place.write_text(json.dumps(done))
    progress()
    chapter = next((ROOT/'nbs').glob(f'{after[:2]}_*')).name
    assert lines(capsys)[-1].startswith(f'next: {after} {ALL[after].title}, in {chapter} (https://')

def test_all_done(place, capsys):
    place.write_text(json.dumps(dict.fromkeys(ALL, DAY)))
    progress()
    assert lines(capsys)[-1] == f'{len(ALL)} of {len(ALL)} done'

# ---- a teacher's file

def test_a_file_of_exercises_that_is_run(place, capsys, monkeypatch):
    "No module has its name, and it may have no hints: its rows are named all the same."
    for of in EXERCISES, _TEXTS: monkeypatch.setitem(of, 'A.1', SimpleNamespace())  # goes again
    page = '\n'.join(course.Notebook(ROOT/'nbs'/'teachers.ipynb').markdown)
    code, = re.findall(r'# mine.py\n(.*?)```', page, re.S)
    place.with_name('mine.py').write_text(re.sub(r'\*\*Hints.*?which\?\n', '', code, flags=re.S))
    mine = runpy.run_path(str(place.with_name('mine.py')))
    passes('A.1', mine['two_slopes_grad'])
    check('A.1', lambda inp, out: setattr(inp, 'g', 7.31 * out.g + inp))
    hint('A.1')
    said = lines(capsys)
    assert said[0].endswith('wrong lines named: 1') and 'no slip that I know' in said[1]
    assert said[-1] == 'A.1 has no hints'

# ---- a cell that is handed in runs alone

@pytest.mark.parametrize('code, names', [
    ('f = 1\ncheck("04.2", f)', []), ('check("04.2", helper)', ['helper']),
    ('def f(x): return helper(x) + torch.relu(x) + math.pi + F.relu(x) + N', ['N', 'helper']),
    ('from backprop_nb.all import *\ndef f(x): return lin(x, helper)', ['helper']),
    ('from math import *\nf = lambda x: sin(x) + helper', ['helper']),
    ('import numpy as np\nnp.ones(helper)', ['helper']), ('np.ones(3)', ['np']),
    ('def f(helper): return helper\n[N for N in range(3)]', []),
    ('class A(Module):\n  def bwd(self): return self.N + N', ['N']),
    ('def f():\n  global N\n  N = 1\ndef g(): return N', [])])
def test_borrowed(code, names):
    others = {'helper', 'N', 'np', 'sin', 'lin', 'torch', 'check', 'f'}
    assert _borrowed(code, others) == names

@pytest.mark.parametrize('path', sorted((ROOT/'nbs').glob('[0-9][0-9]_*.ipynb')),
                         ids=lambda p: p.stem)
def test_cells_of_the_course_run_alone(path):
    codes = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == 'code']
    plain = [re.sub('^[%!].*', '', c, flags=re.M) for c in codes]
    everything = {n for c in plain for n in re.findall(r'[^\W\d]\w*', c)}
    handed_in = [c for c in plain if re.search(r"^check\('", c, re.M)]
    assert handed_in and not any(_borrowed(c, everything) for c in handed_in)

def test_check_says_it(tmp_path):
    code = '''
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def run(text): shell.run_cell(text, store_history=True)
run('from backprop_nb.exercises import check')
run('slope = 3; answer = dict(entries=..., not_zero=...)')
run("check('04.1', dict(entries=..., not_zero=...))")
run("!true\\ncheck('04.1', answer)")
run("check('04.1', dict(entries=slope, not_zero=slope))")'''
    env = {'BACKPROP_NB_PROGRESS': str(tmp_path/'p.json'), 'IPYTHONDIR': str(tmp_path)}
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                       env=os.environ | env)
    said = [x for x in r.stdout.splitlines() if 'run alone' in x]
    assert r.returncode == 0 and [x.rsplit(': ')[-1] for x in said] == ['answer', 'slope'], r

# ---- commands end well

COMMANDS = 'backprop_nb.progress', 'backprop_nb'

def start(module, folder, *args, **env):
    env |= {'OMP_NUM_THREADS': '1', 'BACKPROP_NB_PROGRESS': str(folder/'p.json')}
    return subprocess.Popen([sys.executable, '-m', module, *args], cwd=folder, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | env)

def test_where_was_i(tmp_path):
    (tmp_path/'p.json').write_text(json.dumps({NAME: DAY}))
    (tmp_path/'é.json').write_text('{')
    said, err = start(COMMANDS[0], tmp_path).communicate()
    assert not err and 'next: 04.3' in said
    p = start(COMMANDS[0], tmp_path, '00', '--file', 'é.json', PYTHONIOENCODING='ascii')
    said, err = p.communicate()
    assert not err and p.returncode == 0 and r'\xe9.json cannot be read' in said
    assert said.splitlines()[-1] == '0 of 4 done'
    p = start(COMMANDS[0], tmp_path, 'zz')
    said, err = p.communicate()
    assert not said and err.startswith("progress: there is no chapter 'zz', want one of 00, 01")
    assert p.returncode == 1 and len(err.splitlines()) == 1

@pytest.mark.skipif(os.name == 'nt', reason='pipes and signals of Unix')
@pytest.mark.parametrize('module', COMMANDS)
def test_a_closed_pipe(tmp_path, module):
    p = start(module, tmp_path)
    p.stdout.close()
    assert p.wait() == 141 and p.stderr.read() == '' and not (tmp_path/'backprop_nb.png').exists()

@pytest.mark.skipif(os.name == 'nt', reason='pipes and signals of Unix')
@pytest.mark.parametrize('seconds', [0.5, 1.5, 3])
def test_ctrl_c(tmp_path, seconds):
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # else a child may ignore it
    for wait in seconds, 4 * seconds, 16 * seconds:  # a busy machine may still be starting Python
        p = start(COMMANDS[1], tmp_path, '--conv')
        time.sleep(wait)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate()
        if 'init_import_site' not in err and 'frozen runpy' not in err: break
    signal.signal(signal.SIGINT, ours)
    assert p.returncode == -signal.SIGINT and 'Traceback' not in err

@pytest.mark.skipif(os.name == 'nt', reason='no shell')
def test_no_screen_at_all(tmp_path):
    line = f'{sys.executable} -m backprop_nb.progress 00'
    assert not subprocess.call(f'{line} >&- 2>&-', shell=True, cwd=tmp_path)
    if os.path.exists('/dev/full'):
        r = subprocess.run(f'{line} >/dev/full', shell=True, cwd=tmp_path, stderr=subprocess.PIPE)
        assert r.returncode == 1 and len(r.stderr.splitlines()) == 1

@pytest.mark.parametrize('chapter', ['4', 4])
def test_a_chapter_by_its_number(place, capsys, chapter):
    progress(chapter)
    asked = capsys.readouterr().out
    progress('04')
    assert asked == capsys.readouterr().out and '0 of 4 done' in asked
