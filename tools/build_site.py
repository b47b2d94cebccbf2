"""Build the site into _build/site with Sphinx: `make site`.

`python tools/build_site.py [folder [out]]` shows the notebooks of `folder` instead of nbs/. Nothing
is executed. A warning is an error, and so is a link, a picture or an anchor that leads nowhere."""
import json, re, shutil, sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from sphinx.cmd.build import build_main
from sync import settings

ROOT = Path(__file__).resolve().parents[1]

class Links(HTMLParser):
    "What a page links to, what it loads, and its anchors."
    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids |= {a[k] for k in ('id', 'name') if a.get(k)}
        if tag == 'a' and a.get('href'): self.links.append(a['href'])
        if a.get('src'): self.loads.append(a['src'])
        if tag == 'link' and a.get('rel') != 'canonical': self.loads.append(a.get('href') or '')

def broken(site) -> list:
    "The links of the pages in `site` that lead nowhere, and what would be loaded from elsewhere."
    pages, bad = {p: Links(p.read_text(encoding='utf-8')) for p in sorted(site.glob('*.html'))}, []
    for p, page in pages.items():
        for link in dict.fromkeys(page.links + page.loads):
            url = urlsplit(link)
            target = site/unquote(url.path) if url.path else p
            if url.scheme or url.netloc: wrong = link in page.loads and url.scheme != 'data'
            else: wrong = not target.exists() or bool(
                url.fragment and target in pages and unquote(url.fragment) not in pages[target].ids)
            if wrong: bad.append(f'{p.name}: {link}')
    return bad

# what search.js looks through: the sections of each page
NO_TEXT = {'script', 'style', 'nav', 'button', 'summary', 'label', 'svg', 'table', 'pre',
           'figcaption'}
VOID = {'img', 'br', 'hr', 'input', 'wbr', 'meta', 'link', 'path', 'polygon', 'rect'}
HEAD = {'h1', 'h2', 'h3'}

def simple(tex) -> str:
    "A short formula as plain letters, any other as dots."
    tex = re.sub(r'\\[()]|[{}]', '', re.sub(r'\\(?:cdot|times) ', '* ', tex)).strip()
    return tex if len(tex) < 25 and '\\' not in tex else '...'

class Sections(HTMLParser):
    "[anchor, title, text to show, other words] of each section of a page."
    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.anchor = [], [], ''
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if tag in VOID: return
        kinds = {tag, *(f'.{c}' for c in (a.get('class') or '').split())}
        if tag == 'section': self.anchor = a.get('id', '')
        self.open.append((tag, kinds))
        if tag in HEAD and self.inside('.bd-article'): self.found.append([self.anchor, '', '', ''])

    def handle_endtag(self, tag):
        while any(t == tag for t, _ in self.open) and self.open.pop()[0] != tag: pass

    def inside(self, *names): return any(kinds & set(names) for _, kinds in self.open)

    def handle_data(self, data):
        if not self.found or not self.inside('.bd-article') or self.inside(
                '.headerlink', 'script', '.visually-hidden'): return
        k = 1 if self.inside(*HEAD) else 3 if self.inside(*NO_TEXT, '.output') else 2
        self.found[-1][k] += simple(data) if self.inside('.math') else data

def cut(text, most=1200):
    "Words with single spaces, not too many."
    text = ' '.join(text.split())
    return text if len(text) < most else text[:most].rsplit(' ', 1)[0]

def kind(name) -> int:
    "The lower, the earlier in a search: chapters, what is beside them, how they are made, answers."
    if name[:2].isdigit(): return 0
    if name.startswith('answers_'): return 3
    return 2 if name in ('checker', 'exercises', 'faults', 'one_change', 'progress') else 1

def search_index(site) -> str:
    "A script that holds the sections of all pages."
    pages = []
    for p in sorted(site.glob('*.html')):
        if p.stem in ('search', 'genindex', 'py-modindex', '404'): continue
        text = p.read_text(encoding='utf-8')
        defined = re.findall(r'id="def-(\w+)"', text)  # what it adds to the package
        found = [[a, cut(title), cut(says), ' '.join(dict.fromkeys(re.findall(r'\w+', words)))]
                 for a, title, says, words in Sections(text).found]
        if found: pages.append([p.stem, kind(p.stem), ' '.join(defined), found])
    return f'window.SECTIONS = {json.dumps(pages, ensure_ascii=False, separators=(",", ":"))};\n'

ICONS = re.compile(r'<script defer src="[^"]*fontawesome\.js[^"]*"></script>')
SPHINX = re.compile(r'<script src="(?:_static/(?:searchtools|language_data)|searchindex)\.js[^"]*">'
                    r'</script>\s*')
OURS = ''.join(f'<script src="{n}.js"></script>' for n in ('search-index', '_static/search'))
PICTURE = re.compile(r'<img (?=[^>]*_images/)')
WORD = ('JavaScript draws the formulas; without it they stand as TeX. The search, the boxes to '
        'tick and the pages to play with need it, too.')
MENDED = [
    # who listens hears a fold's own words, what a list is of, what is a search, what is printed
    (r'<summary aria-label="Toggle hidden content">', r'<summary>'),
    (r'>([^<]+)</a>(<details[^>]*>)<summary>(?=<span class="toctree-toggle")',
     r'>\1</a>\2<summary aria-label="Pages below: \1">'),
    (r'<form class="bd-search', r'<form role="search" class="bd-search'),
    (r'<div class="output [^>]*>', r'\g<0><span class="visually-hidden">Output:</span>'),
    # who has no JavaScript gets colours, nothing that would be pressed in vain, and a word
    (r'data-theme="auto"', r'data-theme="light"'),
    (r'\.pst-js-only {', r'.sidebar-toggle, .dropdown-launch-buttons, label.done, \g<0>'),
    (r'<article class="bd-article">', rf'\g<0><noscript><p><em>{WORD}</em></p></noscript>')]

def lighter(text) -> str:
    "A page without half a megabyte of icons (see course.css); pictures wait until they are near."
    text = SPHINX.sub('', ICONS.sub('', text))
    first = PICTURE.search(text)
    at = first.end() if first else 0
    return text[:at] + PICTURE.sub('<img loading="lazy" ', text[at:])

NOWHERE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>No such page</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<style>:root {{ color-scheme: light dark }} body {{ font: 1.1rem/1.6 system-ui, sans-serif;
max-width: 36rem; margin: 15vh auto; padding: 0 1rem }}</style></head>
<body><main><h1>There is no such page</h1>
<p>A chapter may have moved. All of them are on <a href="{site}">the front page of the course</a>;
<a href="{site}search.html">the search</a> finds a word.</p></main></body></html>
"""

def finish(site):
    "What Sphinx leaves to be done."
    cfg = settings()
    for p in site.glob('*.html'):
        text = lighter(p.read_text(encoding='utf-8'))
        for old, new in MENDED: text = re.sub(old, new, text)
        if p.name == 'search.html': text = text.replace('</body>', f'{OURS}</body>')
        p.write_text(text, encoding='utf-8')
    (site/'search-index.js').write_text(search_index(site), encoding='utf-8')
    (site/'404.html').write_text(NOWHERE.format(site=f"{cfg['doc_host']}{cfg['doc_baseurl']}/"))
    unused = [*site.glob('_static/scripts/fontawesome*'), *site.glob('_static/**/*.map'),
              *site.glob('_static/vendor/**/*.*'), site/'searchindex.js']
    for p in unused: p.unlink(missing_ok=True)

def build(notebooks, out) -> int:
    "Build the site from the notebooks of a folder and the pages of site/; 0 if all is well."
    src = out.with_name(out.name + '-src')
    for folder in src, out: shutil.rmtree(folder, ignore_errors=True)
    src.mkdir(parents=True)
    for p in [*notebooks.glob('*.ipynb'), *(ROOT/'site').glob('*.md')]: shutil.copy(p, src)
    code = build_main(['-q', '-W', '--keep-going', '-b', 'html', '-c', str(ROOT/'site'),
                       '-d', str(src/'.doctrees'), str(src), str(out)])
    finish(out)
    bad = broken(out)
    for b in bad: print(f'leads nowhere: {b}')
    return 1 if code or bad else 0

if __name__ == '__main__':
    usual = ROOT/'nbs', ROOT/'_build'/'site'
    notebooks, out = map(Path, [*sys.argv[1:], *usual[len(sys.argv) - 1:]])
    code = build(notebooks, out)
    if not code: print(f'The site is built, open {out/"index.html"}')
    sys.exit(code)
