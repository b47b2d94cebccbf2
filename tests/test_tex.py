"Formulas keep to the subset of TeX that CONTRIBUTING.md writes down."
import re
import nbformat, pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from run_course import ROOT

TEXT = (ROOT/'CONTRIBUTING.md').read_text(encoding='utf-8')
COMMAND = re.compile(r'\\(?:[A-Za-z]+|.)', re.S)
ALLOWED = {*COMMAND.findall(re.search(r'```tex\n(.*?)```', TEXT, re.S)[1]), r'\begin', r'\end'}
ENVIRONMENTS = set(re.findall(r'`(\w+)`', re.search('^Environments: (.*)', TEXT, re.M)[1]))
PLAIN = MarkdownIt('commonmark').enable('table')
MATHS = MarkdownIt('commonmark').enable('table').use(
    dollarmath_plugin, allow_labels=False, allow_space=False, double_inline=True)
PAGES = [*sorted((ROOT/'nbs').glob('*.ipynb')), *sorted((ROOT/'site').glob('*.md')),
         ROOT/'README.md', ROOT/'CONTRIBUTING.md']
FIRST_MARKDOWN = 'README.md', 'CONTRIBUTING.md'  # pages that GitHub reads as Markdown first

def tokens(md, text):
    "All tokens of a Markdown text, those inside others too."
    todo = md.parse(text)
    while todo:
        t = todo.pop(0)
        yield t
        todo = (t.children or []) + todo

def in_pairs(opening, closing, tex):
    "Does each `opening` have its `closing`, in the right order?"
    depth = 0
    for m in re.finditer(f'({opening})|({closing})', tex):
        depth += 1 if m[1] else -1
        if depth < 0: return False
    return depth == 0

def outside(tex):
    "`tex` without its environments, the inner ones first."
    inner = r'\\begin\{(\w+)\}((?:(?!\\begin\{|\\end\{).)*)\\end\{\1\}'
    while (rest := re.sub(inner, '', tex, flags=re.S)) != tex: tex = rest
    return tex

def formula_problems(tex):
    "What is wrong with one formula, the dollars around it taken off."
    for c in COMMAND.findall(re.sub(r'\\\\', '', tex)):
        if c not in ALLOWED: yield f'{c} is not in the list'
    for e in re.findall(r'\\begin\{(.*?)\}', tex):
        if e not in ENVIRONMENTS: yield f'environment {e} is not in the list'
    rest = outside(tex)
    if re.search(r'\\(begin|end)\b', rest): yield 'an environment is not closed'
    if re.search(r'\\\\|(?<!\\)&', rest): yield r'\\ or & outside of an environment'
    if re.search(r'\\\\\s*[\[*]', tex): yield r'\\ with an argument'
    bare = re.sub(r'\\[{}]', '', tex)
    if not in_pairs(r'\{', r'\}', bare): yield 'braces do not pair'
    if not in_pairs(r'\\left\b', r'\\right\b', tex): yield r'\left and \right do not pair'
    if re.search(r'<(?! )', tex): yield '< without a space after it'
    if re.search(r'\[[^][]*\]\(', tex): yield '[...](...) is a link in Markdown'
    if re.search(r'[%#~$]', tex): yield 'one of % # ~ $'
    if not tex.isascii(): yield 'a letter that is not ASCII'
    if re.search(r'\\text\{[^}]*[_^&\\{]', tex): yield r'more than words in \text'

def alone(lines, first, last):
    "Are the lines from `first` up to `last` between empty lines, or the ends of the text?"
    before, after = lines[:first][-1:], lines[last:][:1]
    return not any(line.strip(' >') for line in before + after)

def touched(inline):
    "The formulas in a line of text that stand right next to a letter or digit."
    words = ['', *(c.content if c.type == 'text' else '' for c in inline.children), '']
    for c, before, after in zip(inline.children, words, words[2:]):
        if c.type == 'math_inline' and (before[-1:].isalnum() or after[:1].isalnum()):
            yield c.content

def problems(text, first_markdown=False):
    "What is wrong with the formulas of a Markdown text."
    lines = text.split('\n')
    for t in tokens(MATHS, text):
        if t.type == 'math_inline':
            if '\n' in t.content: yield f'inline on two lines: {t.content}'
            yield from (f'{p}: {t.content}' for p in formula_problems(t.content))
            if first_markdown and not survives(t.content): yield f'Markdown breaks it: {t.content}'
        elif t.type == 'inline': yield from (f'touches a letter or digit: {m}' for m in touched(t))
        elif t.type == 'math_block':
            if not alone(lines, *t.map): yield f'no empty line around: {t.content.strip()}'
            if '\n\n' in t.content.strip(): yield f'empty line inside: {t.content.strip()}'
            yield from (f'{p}: {t.content.strip()}' for p in formula_problems(t.content))
        elif t.type == 'math_inline_double': yield f'$$ in a line of text: {t.content}'
        elif t.type == 'text' and '$' in t.content: yield f'a dollar is left: {t.content}'

def survives(tex):
    "Does Markdown that knows no mathematics leave the formula as it is?"
    inline = [t for t in tokens(PLAIN, f'a ${tex}$ b') if t.type == 'inline']
    return [c.content for t in inline for c in t.children] == [f'a ${tex}$ b']

def texts(path):
    "The Markdown of a page, in pieces."
    if path.suffix != '.ipynb': return [path.read_text(encoding='utf-8')]
    cells = nbformat.read(path, as_version=4).cells
    shown = [o.get('data', {}).get('text/markdown') for c in cells for o in c.get('outputs', [])]
    return [c.source for c in cells if c.cell_type == 'markdown'] + [*filter(None, shown)]

@pytest.mark.parametrize('path', PAGES, ids=lambda p: p.name)
def test_formulas_keep_to_the_subset(path):
    bad = [p for text in texts(path) for p in problems(text, path.name in FIRST_MARKDOWN)]
    assert not bad, '\n'.join(bad)

def test_the_course_has_formulas():
    def count(p): return sum(t.type[:4] == 'math' for s in texts(p) for t in tokens(MATHS, s))
    derive = [p for p in PAGES if p.stem[:2].isdigit() and p.stem != '01_data']
    assert ENVIRONMENTS and derive and all(map(count, derive))

@pytest.mark.parametrize('text', [
    r'$\frac{a}{b}$, then $x$', '$$a\n= b$$',
    '$$\nX = \\begin{bmatrix} 1 & 2 \\\\ 3 & 4 \\end{bmatrix}\n$$',
    r'$$\begin{aligned} a &= \begin{cases} 1 \\ 2 \end{cases} \\ b &= c \end{aligned}$$',
    r'`$x` and `\newcommand`', '```\n$ \\tag{1} a & b\n```', r'$\left( a_{i} \right) \{z > 0\}$',
    '$a$ has 1', '$a$, `1` $b$', '> $$a$$'])
def test_right_formulas_pass(text): assert list(problems(text)) == []

@pytest.mark.parametrize('text, says', [
    (r'$a \tag{1}$', r'\tag is not in the list'),
    (r'$\operatorname{f}$', r'\operatorname is not'),
    (r'$\newcommand{\a}{b}$', r'\newcommand is not'),
    (r'$a\!b$', r'\! is not'),
    (r'$$\begin{align} a \end{align}$$', 'environment align is not'),
    (r'$$\begin{aligned} a$$', 'not closed'),
    (r'$$\begin{cases} a \end{aligned}$$', 'not closed'),
    (r'$$a \\ b$$', 'outside of an environment'),
    (r'$$a & b$$', 'outside of an environment'),
    (r'$$\begin{aligned} a \\[2pt] b \end{aligned}$$', 'with an argument'),
    (r'$\frac{a}{b$', 'braces do not pair'),
    (r'$a}{b$', 'braces do not pair'),
    (r'$\left( a )$', r'\left and \right'),
    (r'$a <b$', '< without'),
    (r'$w[a](b)$', 'is a link'),
    (r'$50 % of$', '% # ~ $'),
    ('$ä$', 'not ASCII'),
    (r'$\text{a_b}$', r'more than words'),
    (r'$\text{a $b$}$', 'a dollar is left'),
    ('5$ a day', 'a dollar is left'),
    ('$ a$', 'a dollar is left'),
    ('2$a$ b', 'touches'),
    ('the $a$th', 'touches'),
    ('$a\nb$', 'inline on two lines'),
    ('text\n$$a$$\n\ntext', '$$ in a line'),
    ('# Title\n$$a$$\n\ntext', 'no empty line'),
    ('text\n\n$$a$$\ntext', 'no empty line'),
    ('text $$a$$ text', '$$ in a line'),
    ('$$a\n\nb$$', 'empty line inside'),
    ('| a |\n|---|\n| $|a|$ |', 'a dollar is left')])
def test_faults_are_found(text, says):
    found = list(problems(text))
    assert any(says in p for p in found), found

@pytest.mark.parametrize('tex', [
    r'\{a\}', r'a\,b', '{a}_{i} {b}_{j}', 'a*b*c', 'a [b](c)', 'a <b> c'])
def test_markdown_first(tex):
    assert not survives(tex)
    assert any('Markdown breaks it' in p for p in problems(f'${tex}$', first_markdown=True))
