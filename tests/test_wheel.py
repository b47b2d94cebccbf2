"""The wheel holds what it should; with it each notebook gives its saved outputs; without it the
set-up cell gets it, or says how."""
import os, re, subprocess, sys, zipfile
import nbformat, pytest
from conftest import copied
from outputs import compare
from run_course import ROOT, run
from sync import settings, setup

CFG = settings()
VENV = ROOT/'_build'/'clean-venv'
PYTHON = VENV/('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
NO_NETWORK = '''
import os, socket, sys

def here(host): return host in (None, '', 'localhost', '::1') or str(host).startswith('127.')

def guard(name, host_of):
    owner, attr = (socket.socket, name) if hasattr(socket.socket, name) else (socket, name)
    real = getattr(owner, attr)
    def guarded(*args, **kwargs):
        if here(host_of(args)): return real(*args, **kwargs)
        with open(os.environ['NETWORK_LOG'], 'a') as log: log.write(f'{name}{host_of(args)!r}\\n')
        raise OSError(f'no network in this test: {host_of(args)!r}')
    setattr(owner, attr, guarded)

def peer(args): return args[1][0] if isinstance(args[1], tuple) else None  # None: a Unix socket

for name in ('connect', 'connect_ex'): guard(name, peer)
for name in ('getaddrinfo', 'gethostbyname', 'gethostbyname_ex'): guard(name, lambda args: args[0])
'''
def python(*args, **kwargs): return subprocess.run([PYTHON, *args], check=True, text=True, **kwargs)

@pytest.fixture(scope='module')
def env(wheel, tmp_path_factory):
    "Where `PYTHON` has the wheel, what it requires and a kernel, but no home and no network."
    stamp = VENV/'key'
    key = '\n'.join([sys.version, CFG['requirements'], os.environ.get('PIP_CONSTRAINT', '')])
    ours = 'PYTHON', 'VIRTUAL_ENV', 'XDG_', 'JUPYTER', 'MPL'
    base = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    if not (PYTHON.exists() and stamp.exists() and stamp.read_text() == key):
        subprocess.run([sys.executable, '-m', 'venv', '--clear', VENV], check=True)
        python('-m', 'pip', 'install', '-q', wheel, 'ipykernel', env=base)
        stamp.write_text(key)  # last: a set-up that was interrupted begins anew
    python('-m', 'pip', 'install', '-q', '--force-reinstall', '--no-deps', wheel, env=base)
    home = tmp_path_factory.mktemp('home')
    (home/'site').mkdir()
    (home/'site'/'sitecustomize.py').write_text(NO_NETWORK)
    env = {**base, 'PYTHONPATH': str(home/'site'), 'NETWORK_LOG': str(home/'network.log'),
           'HOME': str(home), 'USERPROFILE': str(home),
           'CUDA_VISIBLE_DEVICES': ''}  # saved outputs have the CPU's random numbers
    python('-c', 'import matplotlib.font_manager', env=env)  # or a notebook says that it is built
    return env

def test_wheel_contents(wheel):
    assert wheel.stat().st_size <= 3e6
    package = ROOT/CFG['lib_path']
    sample = list(package.glob('mnist_sample/*'))
    names = zipfile.ZipFile(wheel).namelist()
    held = {n for n in names if not n.split('/')[0].endswith('.dist-info')}
    text = list(package.glob('text/*'))
    files = [*package.rglob('*.py'), package/'py.typed', package/'checker.md', *sample, *text,
             *package.glob('answers/*.md')]
    wanted = {p.relative_to(ROOT).as_posix() for p in files}
    assert sample and text and held == wanted

def test_installs_cleanly(env):
    python('-m', 'pip', 'check', env=env)

def test_sample_without_network(env, tmp_path):
    code = 'from backprop_nb.all import mnist; d = mnist(); print(len(d.train), len(d.valid))'
    out = python('-c', code, cwd=tmp_path, env=env, stdout=subprocess.PIPE).stdout
    assert out.split() == ['10000', '2000']

def test_plays_without_network(env, tmp_path):
    "An empty folder, the wheel and no network are enough for a GPT that learns and writes."
    log = tmp_path/'network.log'
    (folder := tmp_path/'empty').mkdir()
    args = '--gpt --steps 2 --sample 9 --prompt OPHELIA'.split()
    out = python('-m', 'backprop_nb', *args, cwd=folder, env={**env, 'NETWORK_LOG': str(log)},
                 stdout=subprocess.PIPE).stdout
    assert re.search(r'^OPHELIA', out, re.M) and not log.exists() and not [*folder.iterdir()]

def test_network_is_off(env, tmp_path):
    code = 'import urllib.request; urllib.request.urlopen("https://example.com")'
    log = tmp_path/'network.log'
    env = {**env, 'NETWORK_LOG': str(log)}
    r = subprocess.run([PYTHON, '-c', code], env=env, capture_output=True, text=True)
    assert 'no network in this test' in r.stderr and 'example.com' in log.read_text()

@pytest.mark.parametrize('path', sorted((ROOT/'nbs').glob('*.ipynb')), ids=lambda p: p.stem)
def test_notebook_alone(path, env, tmp_path):
    "It runs, asks for no network, and says what its saved outputs say."
    log = tmp_path/'network.log'
    r = run(path, python=PYTHON, env={**env, 'NETWORK_LOG': str(log)})
    bad = [r.error] if r.error else compare(nbformat.read(path, as_version=4), r.nb)
    if bad: pytest.fail('\n'.join(bad), pytrace=False)
    assert not log.exists(), log.read_text()

CHAPTER = ROOT/'nbs'/'04_relu.ipynb'

@pytest.fixture
def bare(env, tmp_path):
    """As on Colab or Kaggle, or in a JupyterLab of one's own: what the package requires is there,
    the package is not, and pip finds nothing."""
    name = CFG['lib_name']
    (tmp_path/'sitecustomize.py').write_text(NO_NETWORK)
    python('-m', 'pip', 'uninstall', '-q', '-y', name, env=env)
    yield {**env, 'PYTHONPATH': str(tmp_path), 'NETWORK_LOG': str(tmp_path/'network.log'),
           'PIP_NO_INDEX': '1', 'PIP_CONFIG_FILE': os.devnull, 'PIP_FIND_LINKS': str(tmp_path)}
    python('-m', 'pip', 'uninstall', '-q', '-y', name, env=env)

@pytest.fixture
def restored(env, wheel):
    "The wheel is there again after the test."
    yield
    python('-m', 'pip', 'install', '-q', '--force-reinstall', '--no-deps', wheel, env=env)

def installed(env):
    out = python('-m', 'pip', 'list', '--format=freeze', env=env, stdout=subprocess.PIPE).stdout
    return set(out.split('\n'))

def said(r): return ''.join(o.text for o in r.nb.cells[1].outputs)

def test_set_up_gets_the_package(restored, bare, wheel, tmp_path):
    saved, before = nbformat.read(CHAPTER, as_version=4), installed(bare)
    assert not any(p.startswith(CFG['lib_name']) for p in before)
    r = run(CHAPTER, python=PYTHON, env={**bare, 'PIP_FIND_LINKS': str(wheel.parent)})
    if r.error: pytest.fail(r.error, pytrace=False)
    assert not (tmp_path/'network.log').exists(), (tmp_path/'network.log').read_text()
    after = installed(bare)
    assert before < after and after - before == {f"{CFG['lib_name']}=={CFG['version']}"}
    assert said(r) and not saved.cells[1].outputs  # pip has said something
    r.nb.cells[1].outputs = []
    assert not compare(saved, r.nb)

def test_set_up_says_how(restored, bare):
    "One sentence with the fallback, no traceback, and the notebook stops there."
    r = run(CHAPTER, python=PYTHON, env=bare)
    assert r.error.startswith('cell 2: ') and not r.nb.cells[2].get('outputs')
    assert {o.output_type for o in r.nb.cells[1].outputs} == {'stream'}
    last = said(r).strip().split('\n')[-1]
    assert last.startswith('UsageError: pip could not install') and CFG['git_url'] in last
    assert 'Traceback' not in said(r)

def test_set_up_in_a_clone(restored, bare, tmp_path):
    "The notebook takes the package that lies beside it, even where pip can do nothing."
    clone = copied(tmp_path)
    r = run(CHAPTER, python=PYTHON, env=bare, folder=clone/CFG['nbs_path'])
    assert not r.error

@pytest.mark.parametrize('platform, lacking, pip', [
    ('linux', {}, 0), ('linux', {'torch'}, 1), ('linux', {'backprop_nb'}, 1),
    ('emscripten', {'torch'}, 0)])
def test_set_up_asks_pip_where_that_can_help(monkeypatch, platform, lacking, pip):
    import importlib.util
    from IPython.core.error import UsageError
    asked = []
    real = importlib.util.find_spec
    monkeypatch.setattr(sys, 'platform', platform)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda m: None if m in lacking else real(m))
    code = re.sub('^( *)%pip.*', r'\1asked.append(1)', setup(CFG), flags=re.M)
    try: exec(code, dict(asked=asked))
    except UsageError: assert lacking
    else: assert not lacking
    assert len(asked) == pip
