import shutil, socket, subprocess, sys
from contextlib import contextmanager
import pytest
from hypothesis import settings
from run_course import ROOT

# the same examples on every run and machine, none stored, no limit on a slow machine
settings.register_profile('course', derandomize=True, database=None, deadline=None,
                          print_blob=False)
settings.load_profile('course')

def pytest_collection_modifyitems(items):
    "The files that take minutes come first, so that workers end at about the same time."
    slow = 'test_wheel.py', 'test_site.py', 'test_demo.py', 'test_exercises.py'
    items.sort(key=lambda item: slow.index(item.path.name) if item.path.name in slow else len(slow))

@pytest.fixture
def offline(monkeypatch):
    "No connection can be made, no name looked up."
    def refuse(*args, **kwargs): raise OSError('no network in this test')
    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)

def copied(folder):
    "A copy of the tree without what git ignores."
    ignored = [p.strip('/') for p in (ROOT/'.gitignore').read_text().split()]
    return shutil.copytree(ROOT, folder/'copy', ignore=shutil.ignore_patterns('.git', *ignored))

BROWSERS = 'chromium', 'chromium-browser', 'google-chrome'

@pytest.fixture(scope='module')
def chromium():
    "A browser that reaches nothing but this machine; where there is none, its tests are skipped."
    api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not path: pytest.skip('no Chromium on this machine')
    offline = '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path,
                                    args=['--no-sandbox', '--disable-gpu', offline])
        yield browser
        browser.close()

PAGE = ('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><title>play</title><link rel="stylesheet" '
        'href="_static/course.css"><body><link rel="icon" href="data:,">{}')

@pytest.fixture(scope='module')
def seeded_tab(chromium):
    "A tab whose random numbers are the same in every run."
    tab = chromium.new_page()
    tab.add_init_script('{let s = 7; Math.random = () => (s = s*16807 % 2147483647) / 2147483647}')
    yield tab
    tab.close()

@contextmanager
def quiet(tab, home, files):
    "Inside, no error may be logged, and these files of a folder are asked for and nothing else."
    said, asked = [], []
    hear = {'console': lambda m: said.append(m.text), 'pageerror': lambda e: said.append(str(e)),
            'request': lambda r: asked.append(r.url)}
    for event, f in hear.items(): tab.on(event, f)
    tab.set_viewport_size({'width': 1280, 'height': 900})
    yield
    for event, f in hear.items(): tab.remove_listener(event, f)
    assert not said
    assert {a.removeprefix(home) for a in asked} == {*files}

@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    "A copy of the tree, for tests that write."
    return copied(tmp_path_factory.mktemp('tree'))

@pytest.fixture(scope='session')
def dist(tmp_path_factory):
    "A folder with the source distribution, made from a copy of the tree, and its wheel."
    tree = copied(tmp_path_factory.mktemp('built'))
    subprocess.run([sys.executable, '-m', 'build', '--no-isolation'], cwd=tree, check=True)
    return tree/'dist'

@pytest.fixture(scope='session')
def wheel(dist): return next(dist.glob('*.whl'))
