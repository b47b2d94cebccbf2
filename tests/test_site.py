"The site: built without a warning, it refuses what is broken, and works in a real browser."
import re, subprocess, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
import nbformat, pytest, sync
from nbformat.v4 import new_markdown_cell, new_notebook
from build_site import Links
from run_course import ROOT

pytest.importorskip('sphinx')
CHAPTERS = sorted(p.stem for p in (ROOT/'nbs').glob('[0-9][0-9]_*.ipynb'))
NAMES = sorted(p.stem for p in [*(ROOT/'nbs').glob('*.ipynb'), *(ROOT/'site').glob('*.md')])
SAID = '.*(?:WARNING|ERROR|nowhere|Error:).*'

def build(notebooks, out):
    return subprocess.run([sys.executable, ROOT/'tools'/'build_site.py', notebooks, out],
                          capture_output=True, text=True)

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp('built')/'site'
    r = build(ROOT/'nbs', out)
    assert r.returncode == 0, '\n'.join(re.findall(SAID, r.stdout + r.stderr))
    return out

# ---- without a browser

def test_faults_are_refused(tmp_path):
    "Every fault is named, and nothing that is right."
    faults = {'no-page': '[a](no-page.ipynb)', 'no-section': '[b](demo.ipynb#no-section)',
              'no-anchor': '[c](#no-anchor)', 'no-picture': '![d](no-picture.png)',
              'no-raw': '<a href="no-raw.html">e</a>', 'no-file': '[`g`](../no-file)',
              'example.com/f.png': '<img src="https://example.com/f.png" alt="f">'}
    right = ['[a](demo.ipynb#a-section)', '[b](https://example.com)', '<a href="demo.html">c</a>']
    pages = {'index': ['# Front', *faults.values(), *right], 'demo': ['# Demo', '## A section'],
             'stray': ['# In no list']}
    for name, cells in pages.items():
        nb = new_notebook(cells=[*map(new_markdown_cell, cells)])
        nbformat.write(nb, tmp_path/f'{name}.ipynb')
    r = build(tmp_path, tmp_path/'out')
    said = re.findall(SAID, r.stdout + r.stderr)
    assert r.returncode
    assert not [f for f in faults if not any(f in s for s in said)]
    assert any('stray' in s and 'toctree' in s for s in said)
    assert not [s for s in said if re.search(r'#a-section|demo\.html$|example\.com$', s)]

def test_contents_are_in_order(site):
    links = Links((site/'index.html').read_text('utf-8')).links
    chapters = [u for u in links if re.fullmatch(r'\d\d_\w+\.html', u)]
    assert list(dict.fromkeys(chapters)) == [f'{c}.html' for c in CHAPTERS]

@pytest.mark.parametrize('name', NAMES)
def test_pictures_are_described(site, name):
    pictures = re.findall(r'<img\b[^>]*_images[^>]*>', (site/f'{name}.html').read_text('utf-8'))
    assert not [p for p in pictures if not re.search(r'\balt="(?!_images)[^"]{15}', p)]

@pytest.mark.parametrize('name', CHAPTERS)
def test_download_is_the_notebook(site, name):
    files = [folder/f'{name}.ipynb' for folder in (site/'_sources', ROOT/'nbs')]
    assert files[0].read_bytes() == files[1].read_bytes()

def test_reference_and_notebooks_lead_to_each_other(site):
    links = {p.stem: Links(p.read_text('utf-8')).links for p in site.glob('*.html')}
    there = {u for u in links['reference'] if '#def-' in u}
    back = {(home, u.split('.')[-1]) for home, urls in links.items() for u in urls
            if u.startswith('reference.html#')}
    assert not [u for u in there if tuple(u.split('.html#def-')) not in back]
    some = {'relu', 'relu_grad', 'check_grads', 'Value', 'Model', 'fit', 'conv2d'}
    assert some <= {u.split('#def-')[1] for u in there}

# ---- in a browser

@pytest.fixture(scope='module')
def address(site):
    "The site, served on this machine."
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()

@pytest.fixture
def tab(chromium):
    context = chromium.new_context(viewport={'width': 1280, 'height': 900}, color_scheme='light')
    yield context.new_page()
    context.close()

# axe-core takes seconds for thousands of words in a few colours: code is looked at on one page only
EMPTY = '''document.querySelectorAll('pre, dl.py dt, mjx-container > *').forEach(
    e => e.replaceChildren())'''
WIDE = '''() => [...document.querySelectorAll('div.cell_input pre')].filter(
    e => e.scrollWidth > e.clientWidth && !/.{101}/.test(e.innerText)
    ).map(e => e.innerText.slice(0, 60))'''
ERRORS = '[data-mjx-error]'
TEX = "es => es.filter(e => !e.querySelector('mjx-container')).map(e => e.innerText)"
CUT = '''() => [...document.querySelectorAll('main span.math svg')].filter(
    e => e.getBoundingClientRect().right > e.closest('span.math').getBoundingClientRect().right + 1
    ).map(e => e.closest('section').id)'''
OUTSIDE = '''() => {
    const page = document.documentElement,
          edge = document.querySelector('main article').getBoundingClientRect().right + 1,
          boxed = e => !e.matches('main article') &&
                       (getComputedStyle(e).overflowX != 'visible' || boxed(e.parentElement))
    return [...document.querySelectorAll('main article :not(svg *)')].filter(
        e => e.getBoundingClientRect().right > edge && !boxed(e)).map(e => e.outerHTML.slice(0, 150)
        ).concat(page.scrollWidth > page.clientWidth ? ['the page'] : [])
}'''

def audit(tab, rules=None) -> list:
    "The serious findings of axe-core."
    from axe_playwright_python.sync_playwright import Axe
    options = {'resultTypes': ['violations'], 'preload': False}
    if rules: options['runOnly'] = rules
    found = Axe().run(tab, options=options).response['violations']
    return [f"{v['id']}: {n['html'][:150]} ({n['any'][0]['message'] if n['any'] else ''})"
            for v in found if v['impact'] in ('serious', 'critical') for n in v['nodes'][:3]]

def visit(tab, url):
    "Open a page and wait for its equations; what it logged, and what it asked of other hosts."
    said, asked = [], []
    tab.on('console', lambda m: said.append(m.text) if m.type in ('error', 'warning') else None)
    tab.on('pageerror', lambda e: said.append(str(e)))
    tab.on('response', lambda r: said.append(f'{r.status} {r.url}') if r.status >= 400 else None)
    ours = url.rpartition('/')[0], 'data:'
    tab.on('request', lambda r: None if r.url.startswith(ours) else asked.append(r.url))
    tab.goto(url)
    tab.evaluate('window.MathJax?.startup?.promise.then(() => 0)')
    return said, asked

def troubles(tab, url) -> dict:
    "What is wrong with a page, in light and dark, on a laptop and on a phone."
    said, asked = visit(tab, url)
    found = {'logged': said, 'asked of others': asked}
    found['TeX'] = tab.eval_on_selector_all(ERRORS, 'es => es.map(e => e.dataset.mjxError)')
    found['TeX that is left'] = tab.eval_on_selector_all('.math', TEX)
    found['code that scrolls'] = tab.evaluate(WIDE)
    found['too wide at 1280'] = tab.evaluate(OUTSIDE)
    tab.set_viewport_size({'width': 390, 'height': 900})
    found['too wide at 390'] = tab.evaluate(OUTSIDE)
    found['formulas that are cut'] = tab.evaluate(CUT)
    tab.set_viewport_size({'width': 1280, 'height': 900})
    tab.evaluate(EMPTY)
    tab.add_style_tag(content='* { transition: none !important }')  # colours change at once
    found['light'] = audit(tab)
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")
    found['dark'] = audit(tab, ['color-contrast', 'link-in-text-block'])
    return {k: v for k, v in found.items() if v}

@pytest.mark.parametrize('name', NAMES)
def test_page(tab, address, name): assert troubles(tab, f'{address}/{name}.html') == {}

@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_contrast_of_code(tab, address, scheme):
    tab.emulate_media(color_scheme=scheme)
    visit(tab, f'{address}/03_mse.html')
    assert audit(tab, ['color-contrast', 'scrollable-region-focusable']) == []

def test_wrong_tex_is_seen(tab, address, site):
    text = (site/'notation.html').read_text('utf-8')
    wrong = r'<p class="math">\(\undefinedmacro\) \(\frac{1\)</p>'
    text = text.replace('<h1>', wrong + '<h1>', 1)
    (site/'wrong.html').write_text(text, 'utf-8')
    visit(tab, f'{address}/wrong.html')
    (site/'wrong.html').unlink()
    assert len(tab.query_selector_all(ERRORS)) == 2

def test_search(tab, address):
    visit(tab, f'{address}/index.html')
    for key in ('Control+k', *'relu', 'Enter'): tab.keyboard.press(key)
    found = tab.locator('#search-results')
    for place in ('04_relu.html', 'reference.html#backprop_nb.relu.relu'):
        found.locator(f'a[href^="{place}"]').first.wait_for()

def test_dark_mode(tab, address):
    "The switch makes the paper darker than the ink, and the next page remembers it."
    def dark():
        colors = [tab.evaluate(f'getComputedStyle(document.body).{x}')
                  for x in ('backgroundColor', 'color')]
        paper, ink = (sum(map(int, re.findall(r'\d+', c)[:3])) for c in colors)
        return paper < ink
    def press(name): tab.get_by_role('button', name=re.compile(name, re.I)).first.click()
    visit(tab, f'{address}/04_relu.html')
    assert not dark()
    press('light.dark|colou?r mode')
    if not dark(): press('^ *dark')  # newer versions of the theme ask
    assert dark()
    visit(tab, f'{address}/05_linear.html')
    assert dark()

LIT = {'00_graph': [], '02_gradcheck': [], '04_relu': ['relu'], '05_linear': ['lin', 'lin'],
       '08_binary': ['sigmoid', 'bce'], '11_conv': ['conv2d']}

FILL = "es => es.map(e => getComputedStyle(e.querySelector('rect')).fill)"

def boxes(tab, width):
    "[(address, label)] of the boxes in the drawing that shows at this width."
    tab.set_viewport_size({'width': width, 'height': 900})
    shown = tab.locator('.network-map svg:visible').first
    assert shown.get_attribute('class') == ('wide' if width > 700 else 'small')
    return [(a.get_attribute('href'), a.get_attribute('aria-label'))
            for a in shown.locator('a').all()]

@pytest.mark.parametrize('name', LIT)
def test_map(tab, address, name):
    tab.goto(f'{address}/{name}.html', wait_until='domcontentloaded')
    found = boxes(tab, 1280)
    assert found == boxes(tab, 390)
    lead = {(label.split(',')[0], url) for url, label in found}
    assert lead >= {('data', '01_data.html'), ('lin', '05_linear.html'), ('relu', '04_relu.html')}
    here = [label.split(',')[0] for _, label in found if label.endswith('where we are')]
    assert here == LIT[name]
    assert all(f'chapter {url[:2]}' in label for url, label in found)
    lit, others = [set(tab.locator('.network-map').first.locator(f'a{which}').evaluate_all(FILL))
                   for which in ('.lit', ':not(.lit)')]
    assert bool(lit) == bool(LIT[name]) and not lit & others

def test_box_leads_to_its_chapter(tab, address):
    tab.goto(f'{address}/index.html', wait_until='domcontentloaded')
    tab.locator('.network-map svg:visible a[aria-label^="relu"]').click()
    tab.wait_for_url('**/04_relu.html')

def test_folded_cell_unfolds(tab, address):
    visit(tab, f'{address}/04_relu.html')
    code = tab.locator('details.hide div.highlight').first
    assert not code.is_visible()
    tab.locator('details.hide summary').first.click()
    assert code.is_visible() and 'import' in code.inner_text()

LOOSE = """[...document.querySelectorAll('span.math:not(.together *)')].map(
    e => e.nextSibling?.data ?? '').filter(text => /^[.,;:]/.test(text))"""
LINES = "es => es.map(e => e.getClientRects().length)"

def test_a_formula_keeps_its_comma(tab, address):
    tab.set_viewport_size({'width': 390, 'height': 900})
    visit(tab, f'{address}/08_binary.html')
    tab.locator('.together mjx-container').first.wait_for()
    assert tab.evaluate(LOOSE) == []
    assert set(tab.eval_on_selector_all('main .together', LINES)) == {1}

BELOW = "es => es.filter(e => !e.closest('article')).map(e => e.getAttribute('href'))"

def test_next_page_and_buttons(tab, address):
    visit(tab, f'{address}/04_relu.html')
    below = tab.eval_on_selector_all('main a', BELOW)
    assert {'03_mse.html', '05_linear.html'} <= set(below)
    colab, download = [a.get_attribute('href') for a in tab.locator('p.run a').all()]
    assert f']({colab})' in sync.badge('04_relu', sync.settings())
    assert download == '_sources/04_relu.ipynb'
    cells = tab.locator('.cell_input')
    assert cells.locator('.copybtn').count() == cells.count() > 0
