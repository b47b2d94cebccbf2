"""Build the site into _build/site with Sphinx: `make site`.

`python tools/build_site.py [folder [out]]` shows the notebooks of `folder` instead of nbs/. Nothing
is executed. A warning is an error, and so is a link, a picture or an anchor that leads nowhere."""
import shutil, sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from sphinx.cmd.build import build_main

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

def build(notebooks, out) -> int:
    "Build the site from the notebooks of a folder and the pages of site/; 0 if all is well."
    src = out.with_name(out.name + '-src')
    for folder in src, out: shutil.rmtree(folder, ignore_errors=True)
    src.mkdir(parents=True)
    for p in [*notebooks.glob('*.ipynb'), *(ROOT/'site').glob('*.md')]: shutil.copy(p, src)
    code = build_main(['-q', '-W', '--keep-going', '-b', 'html', '-c', str(ROOT/'site'),
                       '-d', str(src/'.doctrees'), str(src), str(out)])
    bad = broken(out)
    for b in bad: print(f'leads nowhere: {b}')
    return 1 if code or bad else 0

if __name__ == '__main__':
    usual = ROOT/'nbs', ROOT/'_build'/'site'
    notebooks, out = map(Path, [*sys.argv[1:], *usual[len(sys.argv) - 1:]])
    code = build(notebooks, out)
    if not code: print(f'The site is built, open {out/"index.html"}')
    sys.exit(code)
