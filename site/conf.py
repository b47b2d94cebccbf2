"How Sphinx makes the site; `python tools/build_site.py` calls it."
import sys
from importlib.metadata import files
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent/'tools')]
import course, nbformat, pages, reference, sync

cfg = sync.settings()
project, author, copyright = cfg['title'], cfg['author'], cfg['copyright']
html_title = f"{cfg['title']}: backpropagation by hand"
root_doc, language = 'index', 'en'
extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.mathjax', 'sphinx_copybutton']

# the saved outputs are shown, nothing is run
nb_execution_mode, nb_merge_streams, nb_render_markdown_format = 'off', True, 'myst'
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence']
myst_dmath_double_inline, myst_heading_anchors = True, 3

autodoc_member_order, autodoc_typehints_format, add_module_names = 'bysource', 'short', False
toc_object_entries_show_parents, python_use_unqualified_type_names = 'hide', True

# the site brings all that it shows; TeX that is wrong is marked in the page, where a test finds it
MATHJAX = next(f for f in files('sphinx-mathjax-offline') if f.name == 'tex-svg-full.js').locate()
mathjax_path = 'tex-svg-full.js'
mathjax3_config = {'tex': {'packages': {'[-]': ['noundefined', 'noerrors']}}}
html_static_path = [str(HERE/'_static'), str(MATHJAX)]
html_css_files, html_js_files = ['course.css'], ['course.js']
html_favicon = str(HERE/'_static'/'favicon.svg')
html_context = {'default_mode': 'auto'}  # light or dark as the reader's system has it

html_theme = 'sphinx_book_theme'
html_baseurl = f"{cfg['doc_host']}{cfg['doc_baseurl']}/"
html_theme_options = {
    'repository_url': cfg['git_url'], 'repository_branch': cfg['branch'],
    'path_to_docs': cfg['nbs_path'], 'use_repository_button': True,
    'launch_buttons': {'colab_url': 'https://colab.research.google.com'},
    'home_page_in_toc': True, 'show_toc_level': 2, 'navbar_persistent': [],
    'use_fullscreen_button': False, 'pygments_light_style': 'a11y-high-contrast-light',
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
            content[0] = nbformat.writes(nb)
        elif name == 'reference': content[0] = reference.source(homes, titles)
        else: content[0] = content[0].replace('FORMULAS', course.formulas()).replace(
            'LETTERS', course.letters())
    app.connect('source-read', read)
    app.connect('autodoc-process-docstring', reference.documented(homes, names, titles))
    app.connect('autodoc-skip-member', reference.skip)
    return {'parallel_read_safe': True}
