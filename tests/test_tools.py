"The tools see what they are there to see."
import re, shutil, subprocess, sys, sysconfig
import course, pytest, nbformat, run_course, sync
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from outputs import compare
from run_course import ROOT

def stream(text, name='stdout'): return new_output('stream', name=name, text=text)
PICTURE = new_output('display_data', data={'image/png': 'aGk=', 'text/plain': '<Figure>'})

def nb(*outputs, source='f()'):
    return new_notebook(cells=[new_code_cell(source, outputs=list(outputs))])

@pytest.mark.parametrize('saved, fresh', [
    (stream('loss 1.00000'), stream('loss 1.00001')),
    (stream('a  1\n'), stream('a 1\n')),
    (stream('-0.000'), stream('0.000')),
    (PICTURE, PICTURE),
])
def test_same_outputs(saved, fresh): assert compare(nb(saved), nb(fresh)) == []

@pytest.mark.parametrize('saved, fresh, says', [
    ([stream('loss 1.00')], [stream('loss 1.01')], 'stdout differs'),
    ([stream('loss 1.00')], [stream('lost 1.00')], 'stdout differs'),
    ([stream('1 2')], [stream('1 2 3')], 'stdout differs'),
    ([stream('1')], [], 'fresh ones []'),
    ([], [stream('1')], 'saved outputs are []'),
    ([PICTURE], [stream('<Figure>')], 'fresh ones'),
    ([stream('!', 'stderr')], [stream('!', 'stderr')], 'stderr output'),
    ([stream('<f at 0x7f12a4b3c2d0>')], [stream('<f at 0x7f12a4b3c2d0>')], 'memory address'),
    ([stream('/home/me/x')], [stream('/home/me/x')], 'path of one machine'),
    ([new_output('error', ename='E', evalue='v', traceback=[])], [], 'error output'),
])
def test_other_outputs(saved, fresh, says):
    bad = compare(nb(*saved), nb(*fresh))
    assert bad and says in bad[0]

def test_timing_is_left_alone():
    saved, fresh = [nb(stream(s), source='#| timing\nf()') for s in ('1 s', '2 s')]
    assert not compare(saved, fresh)

def test_run_course(tmp_path, capsys):
    codes = {'00_good': ['a = 1', 'print(a)'], '01_bad': ['b = 1', 'b / 0'], '02_good': ['c = 2']}
    for name, lines in codes.items():
        cells = [new_markdown_cell('# Title'), *map(new_code_cell, lines)]
        nbformat.write(new_notebook(cells=cells), tmp_path/f'{name}.ipynb')
    assert run_course.main(sorted(tmp_path.glob('*.ipynb')), tmp_path/'out') == 1
    out = capsys.readouterr().out
    assert '01_bad.ipynb, cell 3 (In [2]): ZeroDivisionError: division by zero' in out
    assert 'in the line: b / 0' in out
    assert nbformat.read(tmp_path/'out'/'00_good.ipynb', 4).cells[2].outputs[0].text == '1\n'
    assert (tmp_path/'out'/'02_good.ipynb').exists()
    assert run_course.main([tmp_path/'00_good.ipynb'], tmp_path/'out') == 0
    assert run_course.main([], tmp_path/'out') == 1

def nbdev_test(tree, name):
    "`nbdev_test` for one notebook, as CONTRIBUTING has it."
    cmd = shutil.which('nbdev_test', path=sysconfig.get_path('scripts'))
    return subprocess.run([cmd, '--path', f'nbs/{name}.ipynb'], cwd=tree, capture_output=True,
                          text=True)

def test_nbdev_test(copy):
    assert nbdev_test(copy, '04_relu').returncode == 0
    nbformat.write(nb(source='1/0'), copy/'nbs'/'bad.ipynb')
    r = nbdev_test(copy, 'bad')
    assert r.returncode and 'ZeroDivisionError' in r.stdout + r.stderr

def ruff(path):
    "What ruff says of a file, by the rules of this project."
    cmd = [sys.executable, '-m', 'ruff', 'check', '--no-cache', '--config', ROOT/'pyproject.toml']
    return subprocess.run([*cmd, path], capture_output=True, text=True).stdout

@pytest.mark.parametrize('source, says', [
    ('import os', 'F401'), ('def f(): return x', 'F821'), (f'x = {"1 + " * 25}1', 'E501'),
    ('def f(x=[]): return x', 'B006'), ('import os, sys; f = os, sys\nx = dict(a=1)', 'passed')])
def test_ruff(tmp_path, source, says):
    (tmp_path/'a.py').write_text(source + '\n')
    assert says in ruff(tmp_path/'a.py')

def test_ruff_reads_notebooks(tmp_path):
    nbformat.write(nb(source='%config a = 1\nf(x)'), tmp_path/'a.ipynb')
    assert ruff(tmp_path/'a.ipynb').count('F821') == 2

@pytest.fixture
def project(tmp_path):
    "A project of settings.ini and an index."
    (tmp_path/'nbs').mkdir()
    shutil.copy(ROOT/'settings.ini', tmp_path)
    cells = [
        new_markdown_cell('# T\n> S\n\n' + sync.badge('index', sync.settings(tmp_path))),
        new_code_cell("import sys"), new_code_cell('#| hide\nhidden()', outputs=[stream('hidden')]),
        new_markdown_cell('[03](03_mse.ipynb#in-code), [c](../LICENSE), [w](https://example.com)'),
        new_code_cell('#| fig-alt: A line\n#| timing\ndraw[0](1)', outputs=[PICTURE]),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path/'nbs'/'index.ipynb')
    assert sync.main(root=tmp_path) == 0
    return tmp_path

def test_readme(project):
    text = (project/'README.md').read_text()
    assert '[03](nbs/03_mse.ipynb#in-code), [c](LICENSE), [w](https://example.com)' in text
    assert 'draw[0](1)' in text and '![A line](nbs/images/index-1.png)' in text
    assert (project/'nbs'/'images'/'index-1.png').read_bytes() == b'hi'
    assert not any(word in text for word in ('import sys', 'hidden', '#|', 'timing'))

def test_sync_check(project, capsys):
    def stale():
        code = sync.main(check=True, root=project)
        names = re.findall('out of date: (.*)', capsys.readouterr().out)
        assert code == (1 if names else 0)
        return names
    assert stale() == []
    (project/'README.md').write_text('old')
    (project/'nbs'/'images'/'index-2.png').write_bytes(b'old')
    assert stale() == ['nbs/images/index-2.png', 'README.md']
    sync.main(root=project)
    assert stale() == [] and not (project/'nbs'/'images'/'index-2.png').exists()
    ini = project/'settings.ini'
    ini.write_text(ini.read_text().replace('user = backprop-nb', 'user = someone'))
    assert stale() == ['nbs/index.ipynb', 'README.md']
    sync.main(root=project)
    assert stale() == [] and 'github/someone/' in (project/'README.md').read_text()

def test_what_is_printed_in_pieces_is_joined(project, capsys):
    "However a kernel cuts what a cell prints, it is saved alike; other outputs stay in between."
    path, made = project/'nbs'/'index.ipynb', []
    for pieces in ['a\nb\n'], ['a\n', 'b\n'], ['a', '\n', 'b', '\n']:
        outs = [*map(stream, pieces), stream('no', 'stderr'), stream('c'), stream('d'), PICTURE]
        book = nbformat.read(path, as_version=4)
        book.cells[2].outputs = outs
        nbformat.write(book, path)
        assert sync.main(root=project) == 0 and sync.main(check=True, root=project) == 0
        made.append(nbformat.read(path, as_version=4).cells[2].outputs)
    assert made[0] == made[1] == made[2]
    assert [o.get('text') for o in made[0]] == ['a\nb\n', 'no', 'cd', None]
    text = path.read_text(encoding='utf-8')
    assert sync.joined(text) is text

def test_links_to_the_project():
    cfg = sync.settings()
    old = f"https://github.com/old/{cfg['repo']}/blob/old/nbs/a.ipynb"
    other = 'https://github.com/other/thing'
    assert sync.relink(old, 'x', cfg) == f"{cfg['git_url']}/blob/{cfg['branch']}/nbs/a.ipynb"
    assert sync.relink(other, 'x', cfg) == other

@pytest.mark.parametrize('name', ['index', '04_relu'])
def test_set_up_follows_the_settings(name):
    cfg = {**sync.settings(), 'git_url': 'https://example.com/mine'}
    text = (ROOT/'nbs'/f'{name}.ipynb').read_text(encoding='utf-8')
    new = sync.set_up(text, cfg)
    assert 'pip install git+https://example.com/mine' in new and new == sync.set_up(new, cfg)
    assert sync.set_up(new, sync.settings()) == text

def test_fold():
    codes = '#| export\n#| fold Show the checks\n1', '2'
    book = new_notebook(cells=[*map(new_code_cell, codes)])
    assert course.fold(book) and not course.fold(book)
    assert [c.metadata.get('jupyter') for c in book.cells] == [{'source_hidden': True}, None]
    book.cells[0].source = '1'
    assert course.fold(book) and 'jupyter' not in book.cells[0].metadata

@pytest.mark.parametrize('name, old', [
    ('index', '| [04 ReLU]'), ('index', 'from backprop_nb.relu import *'),
    ('teachers', '| [04 ReLU]')])
def test_lists_follow_the_chapters(name, old):
    text = (ROOT/'nbs'/f'{name}.ipynb').read_text(encoding='utf-8')
    lines = text.split('\n')
    stale = '\n'.join(x for x in lines if old not in x)
    assert stale != text and course.made(name, stale) == course.made(name, text) == text

def test_questions_come_from_the_chapter():
    text = (ROOT/'nbs'/'answers_04_relu.ipynb').read_text(encoding='utf-8')
    stale = text.replace('A dead unit no longer', 'A stale unit no longer')
    assert stale != text and course.made('answers_04_relu', stale) == text
    for part in ('04.2 Leaky ReLU', 'A dead unit no longer', '**Hints**',
                 'the mask is open on the wrong side'):
        assert part in course.book(text)
    assert 'Open In Colab' not in course.book(text)

def test_a_chapter_says_what_it_is():
    nb = course.Notebook(ROOT/'nbs'/'04_relu.ipynb')
    assert (nb.number, nb.short, nb.module) == ('04', 'ReLU', 'relu')
    assert nb.exports == ['relu', 'relu_grad']
    assert nb.formulas and all('](#' not in block for block in nb.formulas)
    assert not any(block.startswith(course.LETTERS) for block in nb.formulas)
    assert nb.minutes > 0 and nb.exercises > 0 and not nb.command
    assert course.Notebook(ROOT/'nbs'/'demo.ipynb').command

def test_exercises_are_no_part_of_the_lesson():
    for nb in course.chapters(): assert not re.search(r"^check\(", '\n'.join(
        c.source for c in nb.lesson if c.cell_type == 'code'), re.M)

@pytest.mark.parametrize('line', ['Difficulty 4 of 3, 8 minutes', 'Difficulty 2 of 3: 8 minutes',
                                  'difficulty 2 of 3, 8 minutes', 'Difficulty 2 of 3, 8 to 9 '])
def test_no_exercise_is_lost_from_the_minutes(tmp_path, line):
    path = tmp_path/'04_relu.ipynb'
    text = (ROOT/'nbs'/path.name).read_text(encoding='utf-8')
    path.write_text(text.replace('Difficulty 2 of 3, 8 minutes', line), encoding='utf-8')
    with pytest.raises(ValueError, match=r'04_relu: below the heading of 04\.3 '):
        print(course.Notebook(path).exercises)

ASKED = '### {}.1 Title\n\n*Difficulty 1 of 3, 5 minutes.* Why?'

@pytest.mark.parametrize('names, codes, texts', [
    (('20_a', '20_b'), ('1', '2'), ('', '')),
    (('20_a', 'b'), 2 * ['#| default_exp a'], ('', '')),
    (('answers_20_a', 'answers_21_b'), 2 * ['#| default_exp answers.a'], ('', '')),
    (('20_a', '21_b'), ('1', '2'), 2 * [ASKED.format(20)])])
def test_two_of_a_kind_are_refused(project, names, codes, texts):
    "Two chapters with one number, notebooks with one module, exercises with one number."
    for name, code, text in zip(names, codes, texts):
        cells = [new_markdown_cell('# T\n> S'), new_code_cell(code), new_markdown_cell(text)]
        nbformat.write(new_notebook(cells=cells), project/'nbs'/f'{name}.ipynb')
    with pytest.raises(ValueError, match=f'{names[0]} and {names[1]} both have '):
        sync.wanted(project)
