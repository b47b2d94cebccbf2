"How Sphinx makes the site; `python tools/build_site.py` calls it."
import re, sys
from functools import partial
from html import escape
from importlib.metadata import files
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent/'tools')]
import course, nbformat, pages, reference, sync
from nbformat.v4 import new_markdown_cell

cfg = sync.settings()
project, author, copyright = cfg['title'], cfg['author'], cfg['copyright']
html_title = 'Backpropagation by hand'
root_doc, language = 'index', 'en'
extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.mathjax', 'sphinx_copybutton']

# the saved outputs are shown, nothing is run
nb_execution_mode, nb_merge_streams, nb_render_markdown_format = 'off', True, 'myst'
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence']
copybutton_selector = ':not(.output) > .highlight > pre'
myst_dmath_double_inline, myst_heading_anchors = True, 3

autodoc_member_order, autodoc_typehints_format, add_module_names = 'bysource', 'short', False
autodoc_preserve_defaults = True
toc_object_entries_show_parents, python_use_unqualified_type_names = 'hide', True

# the site brings all that it shows; TeX that is wrong is marked in the page, where a test finds it
MATHJAX = next(f for f in files('sphinx-mathjax-offline') if f.name == 'tex-svg-full.js').locate()
mathjax_path = 'tex-svg-full.js'
mathjax3_config = {
    'tex': {'packages': {'[-]': ['noundefined', 'noerrors']}},
    # Tab goes from link to link; course.js lets it stop at formulas that scroll
    'options': {'menuOptions': {'settings': {'inTabOrder': False, 'zoom': 'DoubleClick'}}}}
CARD = HERE.parent/cfg['nbs_path']/'images'/'index-1.png'  # what a shared link shows
html_static_path = [str(HERE/'_static'), str(MATHJAX), str(CARD)]
html_css_files, html_js_files = ['course.css'], ['course.js']
html_favicon = str(HERE/'_static'/'favicon.svg')
html_context = {'default_mode': 'auto'}  # light or dark as the reader's system has it

MADE = {  # words in the pages of this folder, and what comes in their place
    'FORMULAS': course.formulas, 'LETTERS': course.letters,
    'EXERCISES': partial(course.exercises, lambda n: pages.done(n, f'<span>{n}</span>'))}
ISSUE = f"{cfg['git_url']}/issues/new?template"
FOOTER = (f'<p class="tell">A slip on this page, or a sentence that is not clear? '
          f'<a class="slip" href="{ISSUE}=mistake.yml">Report it</a>. '
          f'A question? <a href="{ISSUE}=question.yml">Ask</a>. '
          f'Do you teach with the course? <a href="{ISSUE}=teaching.yml">Tell us</a>.</p>')
html_theme = 'sphinx_book_theme'
html_baseurl = f"{cfg['doc_host']}{cfg['doc_baseurl']}/"
html_theme_options = {
    'repository_url': cfg['git_url'], 'repository_branch': cfg['branch'],
    'path_to_docs': cfg['nbs_path'], 'use_repository_button': True,
    'launch_buttons': {'colab_url': 'https://colab.research.google.com'},
    'home_page_in_toc': True, 'show_toc_level': 2, 'navbar_persistent': [],
    'use_fullscreen_button': False, 'use_download_button': False, 'extra_footer': FOOTER,
    'pygments_light_style': 'a11y-high-contrast-light',
    'pygments_dark_style': 'a11y-high-contrast-dark',
}

def setup(app):
    books = {p.stem: nbformat.read(p, 4) for p in sorted(Path(app.srcdir).glob('*.ipynb'))}
    homes = reference.modules(books)
    names = reference.public_names(homes)
    titles = {k: nb.cells[0].source.split('\n')[0].lstrip('# ') for k, nb in books.items()}
    titles |= {p.stem: p.stem for p in Path(app.srcdir).glob('*.md')}
    chapters = {k[:2]: k for k in books if k[:2].isdigit()}

    def read(app, name, content):
        if name in books:
            nb = pages.page(nbformat.reads(content[0], 4), name, names, chapters)
            if name == root_doc: nb.cells.append(pages.contents(titles))
            if tree := pages.below(titles, name): nb.cells.append(new_markdown_cell(tree))
            for c in nb.cells: c.source = local(c.source)
            content[0] = nbformat.writes(nb)
        elif name == 'reference': content[0] = reference.source(homes, titles)
        else:
            for word, make in MADE.items(): content[0] = content[0].replace(word, make())
            content[0] += '\n\n' + pages.below(titles, name)

    def local(text):
        "Links to this site lead from page to page."
        site = re.escape(html_baseurl.rstrip('/'))
        text = re.sub(rf'\]\({site}/(\w+)\.html', lambda m:
                      f"]({m[1]}.{'ipynb' if m[1] in books else 'md'}", text)
        return re.sub(rf'\]\({site}/?\)', f']({root_doc}.ipynb)', text)

    def described(app, name, template, context, doctree):
        "What a search engine, or whoever shares a link, shows of a page."
        head = books[name].cells[0].source if name in books else ''
        says = ''.join(re.findall(r'^> (.*)', head, re.M)) or cfg['description'] + '.'
        says = escape(pages.plain(says))
        tags = {'og:title': context.get('title') or html_title, 'og:description': says,
                'og:type': 'website', 'og:url': f'{html_baseurl}{name}.html',
                'og:image': f'{html_baseurl}_static/{CARD.name}'}
        context['metatags'] = context.get('metatags', '') + ''.join(
            [f'<meta name="description" content="{says}"/>',
             '<meta name="twitter:card" content="summary_large_image"/>',
             *[f'<meta property="{k}" content="{v}"/>' for k, v in tags.items()]])

    app.connect('html-page-context', described)
    app.connect('source-read', read)
    app.connect('autodoc-process-docstring', reference.documented(homes, names, titles))
    app.connect('autodoc-process-signature', reference.signed)
    app.connect('autodoc-skip-member', reference.skip)
    return {'parallel_read_safe': True}
