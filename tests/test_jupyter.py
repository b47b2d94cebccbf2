"What `make lab` starts, in a real browser: a chapter is opened from the index, all its cells run."
import json, os, shlex, shutil, signal, socket, subprocess, sys, time
import nbformat, pytest, work
from nbformat.v4 import new_code_cell, new_markdown_cell
from outputs import compare
from run_course import ROOT
from test_tex import MATHS, tokens
sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')

pytestmark = pytest.mark.skipif(not shutil.which('make'), reason='no make on this machine')
CHAPTER, TOKEN, LIMIT = '04_relu', 'course', 240  # seconds: how long a busy machine may take

def until(read, what, alive=lambda: True):
    "Wait for `read()` to find something, and return it; a file may be half written at first."
    end = time.monotonic() + LIMIT
    while True:
        try: value = read()
        except ValueError: value = None  # no JSON yet
        if value: return value
        assert alive(), f'ended while we waited for {what}'
        assert time.monotonic() < end, f'{what}: not in {LIMIT} s'
        time.sleep(.1)

def lab_command():
    "What `make lab` runs, with the Python of this test."
    env = {k: v for k, v in os.environ.items() if not k.startswith('MAKE')}  # of another make
    out = subprocess.run(['make', '-n', 'lab'], cwd=ROOT, env=env, check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    line = next(x for x in out.replace('\\\n', ' ').split('\n') if '-m jupyterlab' in x)
    return [sys.executable, *shlex.split(line)[1:]]

def write(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Notebooks without outputs, a bad one among them, and a set-up of Jupyter that is all ours."
    folder = tmp_path_factory.mktemp('lab')
    shutil.copytree(ROOT/'nbs', folder/'course'/'nbs')
    work.copy(folder/'course')
    for path in (folder/'course'/'work').glob('*.ipynb'):
        nb = nbformat.read(path, as_version=4)
        for c in nb.cells:
            if c.cell_type == 'code': c.outputs, c.execution_count = [], None
        nbformat.write(nb, path)
    cells = [new_markdown_cell(r'# A bad notebook'), new_markdown_cell(r'$\frac{a}$ is not whole'),
             new_markdown_cell(r'$\nosuch$ is no command'),
             *map(new_code_cell, ['1 + 1', '1 / 0', '2 + 2'])]
    bad = nbformat.v4.new_notebook(cells=cells, metadata=nb.metadata)
    nbformat.write(bad, folder/'course'/'work'/'bad.ipynb')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    write(folder/'config'/'jupyter_server_config.json',
          ServerApp=dict(ip='127.0.0.1', port=port, open_browser=False,
                         root_dir=str(folder/'course')),
          IdentityProvider=dict(token=TOKEN), LabApp=dict(news_url=None))
    settings = folder/'settings'/'@jupyterlab'
    write(settings/'notebook-extension'/'tracker.jupyterlab-settings', windowingMode='none')
    write(settings/'apputils-extension'/'notification.jupyterlab-settings', fetchNews='false',
          checkForUpdates=False)
    return folder

@pytest.fixture(scope='module')
def lab(folder):
    "The address of a JupyterLab, started as `make lab` starts it."
    ours = {k: v for k, v in os.environ.items() if not k.startswith(('JUPYTER', 'IPYTHON', 'MPL'))}
    places = {'JUPYTER_CONFIG_DIR': 'config', 'JUPYTER_RUNTIME_DIR': 'runtime', 'HOME': 'home',
              'JUPYTER_DATA_DIR': 'data', 'JUPYTERLAB_SETTINGS_DIR': 'settings',
              'JUPYTERLAB_WORKSPACES_DIR': 'workspaces', 'IPYTHONDIR': 'ipython'}
    env = ours | {k: str(folder/v) for k, v in places.items()}
    (folder/'home').mkdir()
    with open(folder/'log', 'w') as log:
        p = subprocess.Popen(lab_command(), cwd=ROOT, env=env, stdout=log, stderr=log)
    def address():
        files = (folder/'runtime').glob('jpserver-*.json')
        return [json.loads(f.read_text())['url'] for f in files]
    try:
        yield until(address, 'JupyterLab', lambda: p.poll() is None)[0]
    finally:
        p.send_signal(signal.SIGTERM)
        try: p.wait(30)
        except subprocess.TimeoutExpired: p.kill()

@pytest.fixture(scope='module')
def page(chromium, lab):
    page = chromium.new_page(viewport=dict(width=1400, height=1000))
    page.set_default_timeout(LIMIT * 1000)
    page.goto(f'{lab}?token={TOKEN}')
    return page

def shown(page, folder, name):
    "The part of JupyterLab where a notebook is shown, when it is in front and its title is drawn."
    nb = nbformat.read(folder/'course'/'work'/f'{name}.ipynb', as_version=4)
    title = nb.cells[0].source.split('\n')[0].lstrip('# ')
    panel = page.locator('.jp-NotebookPanel:not(.lm-mod-hidden)')
    panel = panel.filter(has=page.get_by_role('heading', name=title, level=1))
    panel.wait_for()
    assert page.url.endswith(f'/lab/tree/work/{name}.ipynb')
    return panel

PROMPTS = """panel => {
    const said = [...panel.querySelectorAll('.jp-InputPrompt')].map(p => p.innerText).join(' ');
    const state = panel.querySelector('.jp-Notebook-ExecutionIndicator').dataset.status;
    return """

def run_all(page, panel):
    "Run all cells by the menu, and wait for the last one, or for the first error."
    at = panel.element_handle()
    page.wait_for_function(PROMPTS + 'state == "idle"}', arg=at)
    page.locator('#jp-main-statusbar').get_by_text('| Idle').wait_for()
    for _ in range(5):  # what is asked of a kernel that is not yet there is lost
        page.get_by_role('menubar').get_by_text('Run', exact=True).click()
        page.get_by_text('Run All Cells', exact=True).click()
        try: page.wait_for_function(PROMPTS + r'/[\d*]/.test(said)}', arg=at, timeout=20_000)
        except sync_api.TimeoutError: continue
        break
    page.wait_for_function(PROMPTS + r'state == "idle" && /^[^*]*\d[^*]*$/.test(said)}', arg=at)
    return panel

def errors(panel):
    "Outputs that are errors or come from stderr."
    kinds = 'error', 'stderr'
    return [x for kind in kinds for x in
            panel.locator(f'[data-mime-type="application/vnd.jupyter.{kind}"]').all_inner_texts()]

def bad_formulas(panel):
    "How many formulas are wrong, or name what MathJax does not know, which it writes in red."
    return panel.locator('math merror, math mtext[mathcolor="red"]').count()

@pytest.fixture(scope='module')
def chapter(page, folder):
    "The chapter, opened by a click on its link in the index, after all its cells have run."
    index = shown(page, folder, 'index')
    index.locator(f'.jp-RenderedMarkdown a[href*="{CHAPTER}"]').first.click()
    return run_all(page, shown(page, folder, CHAPTER))

@pytest.fixture(scope='module')
def saved(): return nbformat.read(ROOT/'nbs'/f'{CHAPTER}.ipynb', as_version=4)

def code_cells(nb): return [c for c in nb.cells if c.cell_type == 'code']

def test_all_cells_run(chapter, saved):
    said = [p.strip() for p in chapter.locator('.jp-CodeCell .jp-InputPrompt').all_inner_texts()]
    folded = ['jupyter' in c.metadata for c in code_cells(saved)]  # their prompts are hidden, too
    assert said == ['' if hidden else f'[{k}]:' for k, hidden in enumerate(folded, 1)]
    assert any(folded)
    assert not errors(chapter)

def test_figures_are_there(chapter, saved):
    figures = chapter.locator('.jp-OutputArea-output img')
    wanted = sum('image/png' in o.get('data', {}) for c in code_cells(saved) for o in c.outputs)
    sizes = figures.evaluate_all('all => all.map(i => i.complete && i.naturalWidth)')
    assert len(sizes) == wanted > 0 and min(sizes) > 100

def test_formulas_are_there(page, chapter, saved):
    wanted = sum(t.type.startswith('math') for c in saved.cells if c.cell_type == 'markdown'
                 for t in tokens(MATHS, c.source))
    done = "([panel, n]) => panel.querySelectorAll('mjx-container').length >= n"
    page.wait_for_function(done, arg=[chapter.element_handle(), wanted])
    assert chapter.locator('mjx-container').count() == wanted > 0
    assert not bad_formulas(chapter)

def test_what_is_saved_is_what_the_course_has(page, chapter, saved, folder):
    page.keyboard.press('Control+s')
    path = folder/'course'/'work'/f'{CHAPTER}.ipynb'
    def fresh():
        nb = nbformat.read(path, as_version=4)
        return all(c.execution_count for c in code_cells(nb)) and nb
    assert not compare(saved, until(fresh, 'the saved notebook'))

def test_a_bad_notebook_is_seen(page, lab, chapter, folder):
    page.goto(f'{lab}lab/tree/work/bad.ipynb')
    panel = run_all(page, shown(page, folder, 'bad'))
    said = [p.strip() for p in panel.locator('.jp-CodeCell .jp-InputPrompt').all_inner_texts()]
    assert said == ['[1]:', '[2]:', '[ ]:']
    assert len(errors(panel)) == 1 and 'ZeroDivisionError' in errors(panel)[0]
    assert bad_formulas(panel) == 2 == panel.locator('mjx-container').count()
