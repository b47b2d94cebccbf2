"Slides by the command of the teachers' page: each section once, all formulas, no answers."
import copy, re, shlex, shutil, subprocess, sys
from html.parser import HTMLParser
import course, nbformat, pytest
from bs4 import BeautifulSoup
from nbconvert import SlidesExporter
from run_course import ROOT
from backprop_nb.grade import slides

def plain(text): return ' '.join(text.split())

class Deck(HTMLParser):
    "The columns of a page, lists of slides: [what is seen at once, what comes at a later key]."
    def __init__(self, html):
        super().__init__()
        self.columns, self.inside = [], []
        self.feed(html)
    def handle_starttag(self, tag, attrs):
        if tag not in ('section', 'div', 'style', 'script'): return
        if tag == 'section' and 'section' in self.inside: self.columns[-1].append(['', ''])
        elif tag == 'section': self.columns.append([])
        self.inside.append('later' if ('class', 'fragment') in attrs else tag)
    def handle_endtag(self, tag):
        if tag in ('section', 'div', 'style', 'script'): self.inside.pop()
    def handle_data(self, data):
        if self.inside.count('section') == 2 and not {'style', 'script'} & {*self.inside}:
            self.columns[-1][-1]['later' in self.inside] += data

def formulas(text): return [plain(f) for f in re.findall(r'\$\$.*?\$\$', text, re.S)]

def solutions(nb):
    "Lines of the answers to a chapter that it does not hold itself."
    answers = course.Notebook(nb.path.with_name(f'answers_{nb.path.name}')).code
    lines = {plain(x) for c in answers if c.startswith('#| export') for x in c.split('\n')[1:]}
    return {x for x in lines if len(x) > 20 and x not in plain(' '.join(nb.code))}

def wrong(columns, nb):
    "What is wrong with the slides of a chapter that has no appendix."
    now, later = (plain(' '.join(s[k] for column in columns for s in column)) for k in (0, 1))
    if [plain(column[0][0]).split('¶')[0] for column in columns] != [nb.title, *nb.headings]:
        yield 'sections'
    if formulas(now) != formulas('\n'.join(nb.markdown)): yield 'formulas'
    for word in ('find_spec', 'import', '#|', 'Colab', 'minutes to read', '04_relu.ipynb',
                 'not written yet', *solutions(nb)):
        if word in now + later: yield word
    for cell in (c for c in nb.lesson if c.get('outputs') and '#| fold' not in c.source):
        for text in (plain(o['text']) for o in cell.outputs if o.output_type == 'stream'):
            if text in now or text not in later: yield text
    for name, *_ in course.EXERCISE.findall('\n\n'.join(nb.markdown)):
        on = [k for k, s in enumerate(columns[-1]) if plain(s[0]).startswith(name)]
        if len(on) != 1 or f"check('{name}'" not in columns[-1][on[0]][0]: yield name

@pytest.fixture(scope='module')
def chapter(): return course.Notebook(ROOT/'nbs'/'04_relu.ipynb')

@pytest.fixture(scope='module')
def deck(tmp_path_factory, chapter):
    at = tmp_path_factory.mktemp('slides')
    text = '\n'.join(course.Notebook(ROOT/'nbs'/'teachers.ipynb').markdown)
    command = re.search(r'^jupyter nbconvert --to slides .*', text, re.M)[0]
    assert command.endswith(f' {chapter.path.name}')
    shutil.copy(chapter.path, at)
    subprocess.run([sys.executable, '-m', *shlex.split(command)], cwd=at, check=True)
    page = (at/f'{chapter.name}.slides.html').read_text(encoding='utf-8')
    assert re.search(r'width: 1280,\s+height: 720,', page) and page.count('data:image/png') >= 3
    return Deck(page).columns

def test_slides_of_a_chapter(deck, chapter): assert not [*wrong(deck, chapter)]

def at_once(deck):
    for column in deck:
        for slide in column: slide[:] = ' '.join(slide), ''

@pytest.mark.parametrize('fault', [
    lambda deck: deck.pop(3), lambda deck: deck.insert(3, deck[3]), lambda deck: deck[-1].pop(),
    lambda deck: deck[2].pop(0), lambda deck: deck[2].append(deck[2][0]), at_once,
    lambda deck: deck[-1].append(deck[-1][-1]),
    lambda deck: deck[1].append(['from importlib.util import find_spec', '']),
    lambda deck: deck[1].append(['', '04.1 not written yet']),
    lambda deck: deck[-1].append(['rate = 1 - (-out).exp()', ''])])
def test_a_fault_in_them_is_seen(deck, chapter, fault):
    deck = copy.deepcopy(deck)
    fault(deck)
    assert [*wrong(deck, chapter)]

@pytest.mark.parametrize('nb', course.chapters(), ids=lambda nb: nb.name)
def test_no_piece_of_a_chapter_is_lost(nb):
    "Nor is a heading left alone on its slide."
    at = [k for k, c in enumerate(nb.cells) if c.source.startswith('progress(')][0]
    markdown = [c.source for c in nb.cells[:at] if c.cell_type == 'markdown']
    made, look = slides(nbformat.read(nb.path, as_version=4), dict(reveal={}))
    kinds = [c.metadata.slideshow.slide_type for c in made.cells]
    texts = [c.source for c in made.cells if c.cell_type == 'markdown']
    assert look['reveal']['width'] == '1280' and kinds.count('slide') == len(
        [1 for text in markdown for line in text.split('\n') if line.startswith('## ')]) + 1
    assert formulas('\n'.join(texts)) == formulas('\n'.join(markdown))
    alone = [c.source for c, kind in zip(made.cells, [*kinds[1:], 'slide'])
             if re.fullmatch('##+ .*', c.source) and kind.endswith('slide')]
    assert not alone
    nbformat.validate(made)

def pieces(nb):
    made, _ = slides(copy.deepcopy(nb), dict(reveal={}))
    return [(c.metadata.slideshow.slide_type, c.source, c.get('outputs', [])) for c in made.cells]

def test_exercises_in_a_language_of_their_own(chapter):
    "By whatever name they go: a question and its stub on one slide, without what `check` gives."
    nb = nbformat.read(chapter.path, as_version=4)
    ours = pieces(nb)
    for c in nb.cells: c.source = c.source.replace('## Your turn', '## Aufgaben')
    theirs = pieces(nb)
    assert ours != theirs == [
        (kind, text.replace('Your turn', 'Aufgaben'), out) for kind, text, out in ours]

def test_pictures_keep_their_words(chapter):
    nb = nbformat.read(chapter.path, as_version=4)
    for c in nb.cells: c.source = c.source.replace('fig-alt: Left', 'fig-alt: "Left" <b>')
    told = re.findall('^#[|] fig-alt: (.*)', '\n'.join(c.source for c in nb.cells), re.M)
    page, _ = SlidesExporter(preprocessors=[slides]).from_notebook_node(nb)
    said = [img['alt'] for img in BeautifulSoup(page, 'html.parser').select('img')]
    assert len(told) == 2 and [x for x in said if x in told] == told

def test_any_notebook_makes_slides():
    cells = [nbformat.v4.new_markdown_cell('Words'), nbformat.v4.new_code_cell('f(x)')]
    made, _ = slides(nbformat.v4.new_notebook(cells=cells), dict(reveal={}))
    assert [c.source.split('\n')[0] for c in made.cells] == ['Words', 'f(x)']
