"The site: built without a warning, it refuses what is broken, and works in a real browser."
import gzip, re, subprocess, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote_plus, urlsplit
import nbformat, pytest, sync
from nbformat.v4 import new_markdown_cell, new_notebook
from build_site import Links
from course import EXERCISE, Notebook, chapters, how_long
from run_course import ROOT

pytest.importorskip('sphinx')
CHAPTERS = sorted(p.stem for p in (ROOT/'nbs').glob('[0-9][0-9]_*.ipynb'))
NAMES = sorted(p.stem for p in [*(ROOT/'nbs').glob('*.ipynb'), *(ROOT/'site').glob('*.md')])
CAPTIONED = (r'<figure [^>]*id="([\w-]+)">\s*<a [^>]*><img [^>]*alt="Figure ([\d.]+)" [^>]*_images'
             r'[^>]*>\s*</a>\s*<figcaption>.*?Figure \2: ([^<]+\.)<.*?</figcaption>\s*</figure>')
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
    "By a caption or, where there is none, by words in its place."
    text = re.sub(CAPTIONED, '', (site/f'{name}.html').read_text('utf-8'), flags=re.S)
    pictures = re.findall(r'<img\b[^>]*_images[^>]*>', text)
    assert not [p for p in pictures if not re.search(r'\balt="(?!_images)[^"]{15}', p)]

@pytest.mark.parametrize('name', CHAPTERS)
def test_figures_have_numbers_captions_and_anchors(site, name):
    text = (site/f'{name}.html').read_text('utf-8')
    found = re.findall(CAPTIONED, text, re.S)
    assert len(found) == len(re.findall(r'<img\b[^>]*_images', text)) > 0 or name == '03_mse'
    numbers = [f'{name[:2]}.{k}' for k in range(1, len(found) + 1)]
    assert [n for _, n, _ in found] == numbers
    assert [anchor for anchor, *_ in found] == [f"figure-{n.replace('.', '-')}" for n in numbers]
    assert all(f'href="#{anchor}"' in text and len(says) > 15 for anchor, _, says in found)
    assert name != '01_data' or 'torch.Size([10, 784])' in text  # the value of a cell that draws

def test_ink_keeps_its_paper_and_nothing_else(site):
    "In the dark, light and dark are swapped, except where that would be wrong."
    kept = {p.stem: re.findall(r'<img\b[^>]*\bpaper\b', p.read_text('utf-8'))
            for p in site.glob('[0-9]*.html')}
    assert sum(map(len, kept.values())) < 25 and len(kept['01_data']) == 8  # digits, no moons
    assert not kept['16_gpt'] + kept['19_parallel']  # white only under letters

def test_colours_have_one_home():
    "They are written in the first rules of course.css; the rest names them."
    files = {p.name: p.read_text('utf-8') for p in (ROOT/'site').rglob('*') if p.suffix in
             ('.css', '.js', '.md', '.py')}
    home, files['course.css'] = files['course.css'].split('/* 100 columns')
    assert {n: c for n, t in files.items() if (c := re.findall(r'#[0-9a-fA-F]{6}\b', t))} == {}
    used = set(re.findall(r'var\((--(?!pst|icon|shade|head)\w[\w-]*)', ''.join(files.values())))
    assert used == set(re.findall(r'(--(?!pst)[\w-]+):', home))

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
    text = (site/'reference.html').read_text('utf-8')
    assert 'factory' not in text and len(re.findall('keyword arguments of both', text)) == 1
    assert not re.search('Returns<.{,90}keyword arguments of both', text, re.S)
    some = {'relu', 'relu_grad', 'check_grads', 'Value', 'Model', 'fit', 'conv2d'}
    assert some <= {u.split('#def-')[1] for u in there}

def test_signs_are_no_marks(site):
    "Nowhere have `*` or `__` in a sum or a name been taken for marks of Markdown."
    wrong = r'(?<=[\w)\]])<(?:strong|em)>|</(?:strong|em)>(?=\w)|<strong>init</strong>'
    pages = {p.name: p.read_text('utf-8') for p in site.glob('*.html')}
    assert [name for name, text in pages.items() if re.search(wrong, text)] == []

def compressed(path):
    data = path.read_bytes()
    return len(data if path.suffix in ('.png', '.woff2') else gzip.compress(data))

def weight(site, name) -> int:
    "The bytes that a page loads, compressed, without MathJax; each picture counts at once."
    loads = {urlsplit(u).path for u in Links((site/f'{name}.html').read_text('utf-8')).loads}
    return sum(compressed(site/u) for u in {*loads, f'{name}.html'}
               if u and 'tex-svg' not in u and (site/u).is_file())

@pytest.mark.parametrize('name', NAMES)
def test_a_page_is_light(site, name): assert weight(site, name) < 1_000_000

def test_pictures_wait_until_they_are_near(site):
    for name in '04_relu', 'index':
        pictures = re.findall(r'<img\b[^>]*_images[^>]*>', (site/f'{name}.html').read_text('utf-8'))
        assert len(pictures) > 1 or name == 'index'
        assert ['loading="lazy"' in p for p in pictures] == [k > 0 for k in range(len(pictures))]
        assert all('height=' in p and 'width=' in p for p in pictures)  # nothing jumps

@pytest.mark.parametrize('name', NAMES)
def test_a_page_says_what_it_is(site, name):
    "To a search engine, and to whoever gets a link to it."
    text = (site/f'{name}.html').read_text('utf-8')
    meta = dict(re.findall(r'<meta (?:name|property)="([\w:]+)" content="([^"]*)"', text))
    assert len(meta['description']) > 30 and meta['og:description'] == meta['description']
    assert meta['og:title'] and meta['og:url'].endswith(f'/{name}.html')
    assert (site/'_static'/meta['og:image'].rsplit('/', 1)[1]).is_file()

def test_there_is_a_page_for_what_is_not_there(site):
    links = Links((site/'404.html').read_text('utf-8'))
    cfg = sync.settings()
    assert f"{cfg['doc_host']}{cfg['doc_baseurl']}/" in links.links and not links.loads

def test_the_front_page_begins_with_results_and_three_ways(site):
    text = (site/'index.html').read_text('utf-8')
    text = text[text.index('<h1>'):]
    order = [text.index(x) for x in ('<img', 'Start with chapter 00', '>Play<', '>Colab<',
                                     how_long(), 'id="start"', 'network-map')]
    assert order == sorted(order) and '<div class="cell_input' not in text[:order[-1]]

def asked_in(nb): return EXERCISE.findall('\n\n'.join(nb.markdown))

@pytest.mark.parametrize('name', CHAPTERS)
def test_the_head_and_the_end_of_a_chapter(site, name):
    "Minutes, needs, what one can do then; buttons twice; both neighbours by title."
    text = (site/f'{name}.html').read_text('utf-8')
    for says in r'Builds on ', r'About \d+ minutes to read and run', 'After it you can':
        assert re.search(says, text)
    assert text.count('<p class="run headerlink">') == 2
    turn = text.index('id="your-turn"')
    assert text.index('<p class="run', turn) < text.index('<section', turn)
    marks = re.findall(r'data-done="([\d.]+)"', text)
    asked = [n for n, *_ in asked_in(Notebook(ROOT/'nbs'/f'{name}.ipynb'))]
    assert marks == [name[:2], name[:2], *asked] and asked

def test_all_exercises_stand_on_one_page(site):
    text = (site/'practice.html').read_text('utf-8')
    marks = re.findall(r'data-done="([\d.]+)"', text)
    assert marks == [n for nb in chapters() for n, *_ in asked_in(nb)]
    contents = (site/'01_data.html').read_text('utf-8')
    assert re.search(r'href="practice.html">\s*Exercises', contents)

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
FOREIGN, TEXTS = 'mjx-container svg text', 'es => es.map(e => e.textContent)'
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

SHRUNK = '''() => [...document.querySelectorAll('.cell_output img[width]')].filter(
    e => e.getBoundingClientRect().width < 0.6 * e.getAttribute('width')).map(e => e.alt)'''

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
    found['letters that MathJax lacks'] = tab.eval_on_selector_all(FOREIGN, TEXTS)
    found['code that scrolls'] = tab.evaluate(WIDE)
    found['too wide at 1280'] = tab.evaluate(OUTSIDE)
    tab.set_viewport_size({'width': 390, 'height': 900})
    found['too wide at 390'] = tab.evaluate(OUTSIDE)
    found['figures shrunk at 390'] = tab.evaluate(SHRUNK)
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
    tab.add_style_tag(content='* { transition: none !important }')  # colours change at once
    assert audit(tab, ['color-contrast', 'scrollable-region-focusable']) == []

def test_wrong_tex_is_seen(tab, address, site):
    text = (site/'notation.html').read_text('utf-8')
    wrong = r'<p class="math">\(\undefinedmacro\) \(\frac{1\) \(\mathbb{1}\)</p>'
    text = text.replace('<h1>', wrong + '<h1>', 1)
    (site/'wrong.html').write_text(text, 'utf-8')
    visit(tab, f'{address}/wrong.html')
    (site/'wrong.html').unlink()
    assert len(tab.query_selector_all(ERRORS)) == 2
    assert tab.eval_on_selector_all(FOREIGN, TEXTS)[-1] == '\U0001d7d9'

def test_search(tab, address):
    visit(tab, f'{address}/index.html')
    for key in ('Control+k', *'relu', 'Enter'): tab.keyboard.press(key)
    tab.locator('#search-results a[href="04_relu.html"]').wait_for()

ASKED = {
    'relu': '04', 'mse': '03', 'softmax gradient': '09', 'linear layer': '05', 'transpose': '05',
    'chain rule': '00', 'finite differences': '02', 'momentum': '10', 'adam': '10', 'sigmoid': '08',
    'convolution': '11', 'max pool': '11', 'cross entropy': '09', 'batch norm': '12',
    'dropout': '12', 'embedding': '13', 'lstm': '14', 'vanishing gradients': '14',
    'two moons': '01', 'check_grads': '02', 'Module': '07', 'forward_and_backward': '06',
    'attention backward': '15', 'gpt': '16', 'checkpoint': '17',
    'loss scaling': '18', 'roofline': '18',
    # words that no page has, has otherwise, or has not all of
    'softmaxx': '09', 'convolusion': '11', 'back propagation': 'in', 'allreduce': '19',
    'batch normalisation': '12', 'l2 regularization': '10', 'BPTT': '14',
    'why divide by sqrt d': '15', 'numerically stable softmax': '08'}
PLACES = {  # what defines a name, and the entry that a message names
    'mse_grad': '03_mse.html#def-mse_grad',
    'bce_with_logits()': '08_binary.html#def-bce_with_logits',
    'Var': '17_tape.html#def-Var', 'check': 'exercises.html', 'relu': '04_relu.html',
    'clinic: upstream': 'clinic.html#upstream',
    'CheckError: inp.g is wrong at [0, 0]: backward gives -4.58859, finite differences -2.2943 '
    '(relative error 0.5) (clinic: checks)': 'clinic.html#checks',
    'RuntimeError: mat1 and mat2 shapes cannot be multiplied (3x4 and 3x4)':
        'clinic.html#the-transpose'}

def results(tab, address, query):
    "[(address, title, snippet)] of what a search finds."
    tab.goto(f'{address}/search.html?q={quote_plus(query)}')
    tab.locator('#search-results p').first.wait_for()
    return tab.eval_on_selector_all('ol.found li', """es => es.map(e => [
        e.querySelector('a').getAttribute('href'), e.querySelector('a').innerText,
        e.querySelector('p').innerText])""")

def test_search_finds_the_chapter_first(tab, address):
    found = {q: results(tab, address, q) for q in ASKED}
    assert {q: (r[0][0][:2] if r else '') for q, r in found.items()} == ASKED
    for r in found.values():
        kinds = [url.startswith('answers_') for url, *_ in r]
        assert kinds == sorted(kinds)  # answers last
        said = ' '.join(f'{title} {text}' for _, title, text in r)
        assert not re.search(r'\\\w|\$|\\\(|Show the|Open in Colab|Report it|Contents', said)
    assert results(tab, address, 'xyzzy') == []

def test_search_finds_the_place(tab, address):
    found = {q: results(tab, address, q)[0][0] for q in PLACES}
    assert found == PLACES

def test_search_says_what_it_did_not_find(tab, address):
    for query, missing in ('tensorflow', 'tensorflow'), ('softmaxx', 'softmaxx'):
        assert results(tab, address, query)
        said = tab.locator('#search-results p').first.inner_text()
        assert re.fullmatch(rf'No page has {missing}\. \d+ pages come close\.', said)
    for query in 'constructor', '__proto__', '<b>xyzzy</b>': results(tab, address, query)
    assert tab.locator('#search-results b').count() == 0
    assert results(tab, address, 'first half of the sum')[0][0] != '18_cost.html#digits'

def test_what_is_done_is_kept(tab, address):
    "A box that is ticked in a chapter is ticked on the page of exercises, and after a reload."
    tab.goto(f'{address}/04_relu.html', wait_until='domcontentloaded')
    def box(key): return tab.locator(f'input[data-done="{key}"]').first
    box('04.2').check()
    box('04').check()
    assert 'is-done' in tab.locator('.bd-links a', has_text='04 ReLU').get_attribute('class')
    tab.goto(f'{address}/practice.html', wait_until='domcontentloaded')
    assert box('04.2').is_checked() and not box('04.1').is_checked()
    assert tab.locator('p.counted').inner_text().startswith('1 of ')
    box('04.2').uncheck()
    tab.reload(wait_until='domcontentloaded')
    assert not box('04.2').is_checked()

def test_a_report_says_where(tab, address):
    tab.goto(f'{address}/04_relu.html', wait_until='domcontentloaded')
    tab.locator('#check-it').evaluate('e => e.scrollIntoView()')
    tab.route('**/issues/**', lambda r: r.abort())
    link = tab.locator('.bd-sidebar-secondary a.slip')
    link.evaluate("e => { e.addEventListener('click', x => x.preventDefault()); e.click() }")
    query = parse_qs(urlsplit(link.get_attribute('href')).query)
    assert query['template'] == ['mistake.yml'] and '04_relu.html#check-it' in query['where'][0]
    forms = {p.name for p in (ROOT/'.github'/'ISSUE_TEMPLATE').glob('*.yml')}
    asked = tab.eval_on_selector_all('.tell a', 'es => es.map(e => e.href)')
    assert {parse_qs(urlsplit(u).query)['template'][0] for u in asked} <= forms and len(asked) == 3

def test_answers_unfold_one_by_one(tab, address):
    tab.goto(f'{address}/answers_04_relu.html', wait_until='domcontentloaded')
    folds = tab.locator('details.answer')
    assert folds.count() == 2 * tab.locator('main article h2').count()
    assert not tab.locator('details.answer div.highlight').first.is_visible()
    folds.nth(1).locator('summary').first.click()
    assert folds.nth(1).locator('div.highlight').first.is_visible()
    assert not folds.nth(3).locator('div.highlight').first.is_visible()

def heard(tab) -> list:
    "(role, name, description) of all that a screen reader comes to."
    nodes = tab.context.new_cdp_session(tab).send('Accessibility.getFullAXTree')['nodes']
    return [tuple(n.get(k, {}).get('value', '') for k in ('role', 'name', 'description'))
            for n in nodes if not n['ignored']]

def test_what_is_heard(tab, address):
    """A fold says what it folds, a box what it is for, an output that it is one, each formula
    itself; nothing is said twice."""
    visit(tab, f'{address}/04_relu.html')
    tab.locator('.copybtn').first.wait_for(state='attached')
    said = heard(tab)
    def names(of): return [name for role, name, _ in said if role == of]
    folds, boxes = names('DisclosureTriangle'), names('checkbox')
    assert len(folds) > 5 and {f.split()[0] for f in folds} == {'Show', 'Pages'}
    assert [b for b in boxes if b.endswith(' done')] == boxes and len(set(boxes)) == len(boxes) - 1
    assert {'chapter 04 done', 'exercise 04.2 done'} <= {*boxes}
    assert names('StaticText').count('Output:') == tab.locator('.output').count() > 20
    assert names('MathMLMath') and len(names('MathMLMath')) == tab.locator('mjx-container').count()
    assert not [s for s in said if s[1] and s[1] == s[2]]
    assert tab.locator('.output .copybtn').count() == 0  # no two stops for each cell
    tab.goto(f'{address}/search.html?q=relu')
    assert names('search') == [] and 'search' in [role for role, *_ in heard(tab)]
    tab.goto(f'{address}/practice.html', wait_until='domcontentloaded')
    assert tab.locator('.counted[role=status]').inner_text().endswith(' done')

def test_without_javascript(chromium, address):
    "A word on it, the colours of the light scheme, and nothing that does nothing."
    phone = {'width': 390, 'height': 900}
    context = chromium.new_context(viewport=phone, java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f'{address}/04_relu.html')
    assert 'JavaScript' in tab.locator('noscript p').inner_text()
    assert tab.locator('html').get_attribute('data-theme') == 'light'
    buttons = [b for b in tab.locator('button').all() if b.is_visible()]
    assert buttons == [] and not tab.locator('label.done').first.is_visible()
    tab.locator('details.hide summary').first.click()
    assert tab.locator('details.hide pre').first.is_visible()
    context.close()

STOPS = "[...document.querySelectorAll('mjx-container')].filter(e => e.tabIndex >= 0)"
SCROLL = f"{STOPS}.filter(e => e.scrollWidth > e.clientWidth).length"

def test_tab_goes_from_link_to_link(tab, address):
    "It stops at no formula but one that scrolls; each can be looked at closely."
    visit(tab, f'{address}/06_network.html')
    tab.locator('mjx-container[tabindex="-1"]').first.wait_for()
    assert tab.locator('mjx-container').count() > 100
    assert tab.evaluate(f'{STOPS}.length') == tab.evaluate(SCROLL)
    tab.locator('p.run a').first.focus()
    stops = []
    for _ in range(30):
        tab.keyboard.press('Tab')
        stops.append(tab.evaluate('document.activeElement.tagName.toUpperCase()'))
    assert set(stops) <= {'A', 'BUTTON', 'SUMMARY', 'INPUT', 'PRE'} and stops.count('A') > 9
    tab.set_viewport_size({'width': 390, 'height': 900})
    tab.wait_for_function(f'{STOPS}.length > 0')
    assert tab.evaluate(f'{STOPS}.length') == tab.evaluate(SCROLL)
    tab.locator('p mjx-container').first.dblclick()
    tab.get_by_text('MathJax Zoomed Expression').wait_for()

def test_the_table_of_chapters_on_a_phone(tab, address):
    "A row is a card that says all of itself in the width of the screen."
    tab.set_viewport_size({'width': 390, 'height': 900})
    tab.goto(f'{address}/index.html', wait_until='domcontentloaded')
    rows = tab.locator('.chapters tbody tr:has(a)')
    assert rows.count() == len(CHAPTERS)
    box = tab.locator('.chapters .pst-scrollable-table-container')
    assert box.evaluate('e => e.scrollWidth <= e.clientWidth')
    title, minutes, *rest = [cell.bounding_box() for cell in rows.first.locator('td').all()]
    for r in title, minutes, *rest: assert 0 < r['x'] and r['x'] + r['width'] <= 390
    assert minutes['y'] == title['y'] < min(r['y'] for r in rest)
    assert tab.locator('.chapters td:nth-child(4)').first.evaluate(
        "e => getComputedStyle(e, '::before').content") == '"After it you can "'

def test_what_a_gpt_wrote_stands_beside_the_pictures(tab, address):
    tab.goto(f'{address}/index.html', wait_until='domcontentloaded')
    def sides(width):
        tab.set_viewport_size({'width': width, 'height': 900})
        picture, text = [tab.locator(f'.results {e}').first.bounding_box() for e in ('img', 'pre')]
        return (text['x'] - picture['x'] - picture['width'],
                text['y'] - picture['y'] - picture['height'])
    beside, below = sides(1280), sides(390)
    assert beside[0] > 0 > beside[1] and below[1] > 0 > below[0]
    lines = tab.locator('.results pre').inner_text().strip().split('\n')
    assert len(lines) == 6
    assert tab.locator('.results pre').evaluate('e => e.scrollWidth <= e.clientWidth')

ICONS = """es => es.filter(e => e.offsetParent).map(e => {
    const style = getComputedStyle(e); return [style.maskImage, e.className] })"""

def test_icons_are_drawn(tab, address):
    tab.goto(f'{address}/04_relu.html', wait_until='domcontentloaded')
    for width in 1280, 390:
        tab.set_viewport_size({'width': width, 'height': 900})
        drawn = tab.eval_on_selector_all('.fa-solid, .fas, .fab', ICONS)
        assert len(drawn) > 3 and all('svg' in mask for mask, _ in drawn), drawn

LETTERS = """es => Math.max(...es.map(e => {
    const line = document.createElement('span');
    line.textContent = 'a line of plain English text, not wide';
    line.style.whiteSpace = 'nowrap';
    e.append(line);
    const letters = line.textContent.length * e.clientWidth / line.offsetWidth;
    line.remove();
    return letters }))"""

def test_lines_are_not_too_long(tab, address):
    tab.goto(f'{address}/04_relu.html', wait_until='domcontentloaded')
    assert 60 < tab.eval_on_selector_all('section > p:not(.defined)', LETTERS) < 85

def test_on_paper(tab, address):
    "What is to be pressed does not print, the lesson does."
    tab.goto(f'{address}/04_relu.html', wait_until='domcontentloaded')
    tab.emulate_media(media='print')
    for gone in 'p.run', '.tell', '.bd-sidebar-primary', 'label.done':
        assert not tab.locator(gone).first.is_visible(), gone
    assert tab.locator('#check-it div.highlight').first.is_visible()

FOLDED = "es => es.filter(e => !e.querySelector('pre').checkVisibility()).length"
WRAPPED = """es => es.filter(e => !/.{101}/.test(e.innerText)).filter(e => {
    e.style.setProperty('white-space', 'pre', 'important')
    return e.scrollWidth > e.clientWidth }).length"""
HANDED = "e => getComputedStyle(e, '::after').content"

@pytest.mark.parametrize('width', [718, 740])
def test_paper_shows_all(tab, address, width):
    """On A4 and on Letter no table is cut, no line of code broken or shadowed, a fold is open and
    has no words to press, and a link to elsewhere says where it leads."""
    tab.set_viewport_size({'width': width, 'height': 1000})
    visit(tab, f'{address}/09_softmax.html')
    folds = tab.locator('details.hide')
    assert folds.evaluate_all(FOLDED) == folds.count() > 2
    tab.emulate_media(media='print')
    assert tab.evaluate(OUTSIDE) == []
    assert tab.eval_on_selector_all('.pst-scrollable-table-container', """es => es.filter(
        e => e.scrollWidth > e.clientWidth || getComputedStyle(e).overflowX != 'visible'
        ).length""") == 0
    assert folds.evaluate_all(FOLDED) == 0 and not folds.locator('summary').first.is_visible()
    assert tab.eval_on_selector_all('.bd-article pre', WRAPPED) == 0
    for place in '.bd-article pre', 'mjx-container[display="true"]':
        assert set(tab.eval_on_selector_all(place, """es => es.map(
            e => getComputedStyle(e).backgroundImage)""")) == {'none'}
    licence = tab.locator('.bd-article a.external').last
    assert licence.evaluate(HANDED) == f'" ({licence.get_attribute("href")})"'

def test_paper_is_light(tab, address):
    "On a dark screen, too, and afterwards the screen is as it was."
    tab.goto(f'{address}/04_relu.html', wait_until='domcontentloaded')
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")
    seen = [tab.evaluate(f"dispatchEvent(new Event('{e}')), document.documentElement.dataset.theme")
            for e in ('beforeprint', 'beforeprint', 'afterprint', 'afterprint')]
    assert seen == ['light', 'light', 'dark', 'dark']

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

def test_no_map_of_another_network(site):
    shown = {p.stem for p in site.glob('*.html') if 'network-map' in p.read_text('utf-8')}
    assert {'02_gradcheck', '13_embedding', 'index'} <= shown
    assert not {'14_recurrent', '16_gpt'} & shown

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

@pytest.mark.parametrize('name', [n for n in NAMES if n[:2].isdigit()])
def test_a_fold_says_what_it_defines(site, name):
    says = re.findall(r'>\s*Show ([^<]*)<', (site/f'{name}.html').read_text('utf-8'))
    named = [s for s in says if ': ' in s]
    assert named and len({*named}) == len(named) and not [s for s in named if len(s) > 60]

def test_lines_of_a_formula_keep_apart(site):
    text = (site/'04_relu.html').read_text('utf-8')
    assert r'\end{bmatrix} \\[0.4em] &amp;=' in text and r'0 &amp; 0 \\' + '\n' in text
    assert r'[0.4em]' not in re.sub(r'(?s)\\begin\{aligned\}.*?\\end\{aligned\}', '', text)

LOOSE = """[...document.querySelectorAll(
    'main p > :is(span.math, .together, a:has(code.together:only-child))')].map(
    e => [e.previousSibling?.data ?? '', e.nextSibling?.data ?? '']).filter(
    ([before, after]) => /\\($/.test(before) || /^[.,;:)]/.test(after))"""
LINES = "es => es.map(e => new Set([...e.getClientRects()].map(r => r.top)).size)"

def test_a_formula_or_code_keeps_its_signs(tab, address):
    tab.set_viewport_size({'width': 390, 'height': 900})
    visit(tab, f'{address}/08_binary.html')
    tab.locator('.together mjx-container').first.wait_for()
    assert tab.evaluate(LOOSE) == []
    assert set(tab.eval_on_selector_all('main .together', LINES)) == {1}
    said = tab.locator('main article').inner_text()
    assert '7\u00a0%' in said and not re.search(r'\d %', said)

BELOW = "es => es.filter(e => !e.closest('article')).map(e => e.getAttribute('href'))"

def test_next_page_and_buttons(tab, address):
    visit(tab, f'{address}/04_relu.html')
    below = tab.eval_on_selector_all('main a', BELOW)
    assert {'03_mse.html', '05_linear.html'} <= set(below)
    colab, download = [a.get_attribute('href') for a in tab.locator('p.run a').all()][:2]
    assert f']({colab})' in sync.badge('04_relu', sync.settings())
    assert download == '_sources/04_relu.ipynb'
    cells = tab.locator('.cell_input')
    assert cells.locator('.copybtn').count() == cells.count() > 0
