"Each Python snippet of the README, run alone, prints what the page shows below it."
import io, re
from contextlib import redirect_stdout
import matplotlib.pyplot as plt
import nbformat, pytest, sync, torch
from markdown_it import MarkdownIt
from run_course import ROOT

def snippets(text) -> list:
    "(code, what it prints) of a page: a fence of Python, and the block of output right below it."
    tokens = [*MarkdownIt('commonmark').parse(text), None]
    return [(t.content, after.content if output(after) else '')
            for t, after in zip(tokens, tokens[1:]) if t.type == 'fence' and t.info == 'python']

def output(token):
    return token and (token.type == 'code_block' or (token.type, token.info) == ('fence', 'text'))

def page(name):
    if name != 'index': return (ROOT/name).read_text(encoding='utf-8')
    index = nbformat.read(ROOT/'nbs'/'index.ipynb', as_version=4)
    return sync.readme(index, sync.settings())['README.md']

PAGES = 'README.md', 'index', 'CONTRIBUTING.md'
SNIPPETS = [(name, *s) for name in PAGES for s in snippets(page(name))]

def printed(code, monkeypatch, folder):
    "What `code` prints to a reader who pastes it into a fresh Python, in a folder of its own."
    monkeypatch.chdir(folder)
    monkeypatch.setenv('BACKPROP_NB_PROGRESS', str(folder/'progress.json'))
    monkeypatch.setattr(plt, 'show', lambda *a, **k: None)
    out = io.StringIO()
    with torch.random.fork_rng(), redirect_stdout(out):
        torch.seed()  # nobody's seed but the snippet's own
        exec(compile(code, 'snippet', 'exec'), {'__name__': '__main__'})
    plt.close('all')
    return out.getvalue()

@pytest.mark.parametrize('name, code, shown', SNIPPETS, ids=[n for n, *_ in SNIPPETS])
def test_snippet(name, code, shown, monkeypatch, tmp_path):
    assert printed(code, monkeypatch, tmp_path).rstrip() == shown.rstrip()

def test_each_snippet_is_found():
    for name in ('README.md', 'index'):
        assert page(name).count('```python') == len(snippets(page(name))) > 2
        assert sum(bool(shown) for _, shown in snippets(page(name))) > 2

def test_a_snippet_without_a_seed_is_seen(monkeypatch, tmp_path):
    code = 'import torch\nprint(torch.randn(1))'
    assert printed(code, monkeypatch, tmp_path) != printed(code, monkeypatch, tmp_path)

def test_what_checks_let_through_is_what_chapter_17_counts():
    "Each row of its printed table stands on the front page, with the same number."
    nb = nbformat.read(ROOT/'nbs'/'17_tape.ipynb', as_version=4)
    said = '\n'.join(o.text for c in nb.cells for o in c.get('outputs', []) if 'text' in o)
    counted = re.findall(r'^(.+?) +(\d+) let through$', said, re.M)
    table = re.findall(r'^\| (.+?)(?:, the course\'s own)? \| (\d+) \|$', page('index'), re.M)
    named = [(check.strip('`'), n) for check, n in table]
    assert len(counted) == 6 and [(c.strip('`'), n) for c, n in counted] == named
    assert re.search(r'^\d+(?= faults in)', said, re.M)[0] + ' in all' in page('index')
