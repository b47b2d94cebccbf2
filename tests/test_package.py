"What a package index and a reader of citations see is whole, and of one version."
import inspect, re, subprocess, sys, tarfile, zipfile
from email import message_from_string
from importlib import import_module
from typing import Any, get_args
import pytest, yaml
from markdown_it import MarkdownIt
from run_course import ROOT
from sync import settings

CFG = settings()
MARKDOWN = MarkdownIt('commonmark').enable('table')
VERSION = re.compile(r'^## \[(.*?)\] - (unreleased|\d{4}-\d{2}-\d{2})$', re.M)

def read(name): return (ROOT/name).read_text(encoding='utf-8')

def metadata(wheel):
    with zipfile.ZipFile(wheel) as z:
        name = next(n for n in z.namelist() if n.endswith('.dist-info/METADATA'))
        return name, z.read(name).decode()

def tokens(text):
    "All tokens of a Markdown text, those inside others too."
    return [t for block in MARKDOWN.parse(text) for t in [block, *(block.children or [])]]

def code(text):
    return [t.content for t in tokens(text) if t.type in ('fence', 'code_block', 'code_inline')]

def twine_check(*paths):
    return subprocess.run([sys.executable, '-m', 'twine', 'check', '--strict', *paths],
                          capture_output=True, text=True)

def test_twine_check(dist):
    r = twine_check(*dist.iterdir())
    assert r.returncode == 0 and r.stdout.count('PASSED') == 2, r.stdout

def test_twine_check_can_fail(wheel, tmp_path):
    name, text = metadata(wheel)
    bad = tmp_path/wheel.name
    with zipfile.ZipFile(bad, 'w') as z:
        z.writestr(name, text.replace('text/markdown', 'text/x-rst'))
    assert twine_check(bad).returncode

def test_source_distribution_installs(dist, wheel, tmp_path):
    sdist = next(dist.glob('*.tar.gz'))
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index', sdist,
                    '--no-build-isolation', '--target', tmp_path], check=True)
    package = tmp_path/CFG['lib_path']
    held = {p.relative_to(tmp_path).as_posix() for p in package.rglob('*') if p.suffix != '.pyc'
            and p.is_file()}
    assert held == {n for n in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in n}
    top = {n.split('/', 1)[1] for n in tarfile.open(sdist).getnames() if n.count('/') == 1}
    assert top >= {'README.md', 'LICENSE', 'CHANGELOG.md', 'CITATION.cff', 'settings.ini'}
    assert 'tests' not in top and 'site' not in top

def test_the_index_shows_the_readme(wheel):
    meta = message_from_string(metadata(wheel)[1])
    text, mine = meta.get_payload(), read('README.md')
    assert meta['Description-Content-Type'].startswith('text/markdown')
    assert code(text) == code(mine) != []
    links = [t.attrs.get('href') or t.attrs.get('src') for t in tokens(text)
             if t.type in ('link_open', 'image')]
    assert links and all(x.startswith(('https://', '#')) for x in links), links
    words = ''.join(t.content for t in tokens(text) if t.type == 'text')
    assert '$' not in words, 'an index shows no formulas'
    assert f"{CFG['git_url']}/raw/{CFG['branch']}/nbs/images/index-1.png" in links

def test_metadata(wheel):
    meta = message_from_string(metadata(wheel)[1])
    assert (meta['Name'], meta['Version']) == (CFG['lib_name'], CFG['version'])
    urls = dict(u.split(', ') for u in meta.get_all('Project-URL'))
    assert urls['Documentation'] == CFG['doc_host'] + CFG['doc_baseurl']
    changelog = f"{CFG['git_url']}/blob/{CFG['branch']}/"
    assert (ROOT/urls['Changelog'].removeprefix(changelog)).is_file()

def test_changelog():
    versions = VERSION.findall(read('CHANGELOG.md'))
    assert len(versions) == len(re.findall('^## ', read('CHANGELOG.md'), re.M))
    assert versions[0][0] == CFG['version'], 'the newest comes first'
    assert all(date != 'unreleased' for _, date in versions[1:])
    kinds = set(re.findall('^### (.*)', read('CHANGELOG.md'), re.M))
    assert kinds <= {*'Added Changed Deprecated Removed Fixed Security'.split(), 'Known limits'}

def test_changelog_names_what_is_there():
    names = {}
    exec('from backprop_nb.all import *', names)
    for name in re.findall(r'`(\w+)[`(]', read('CHANGELOG.md')):
        assert name in names or name in ('backprop_nb', 'python'), name

def functions(module):
    "The public functions of a module, and what its public classes do, `__init__` too."
    own = [x for n, x in vars(import_module(f'backprop_nb.{module}')).items()
           if n[0] != '_' and getattr(x, '__module__', '') == f'backprop_nb.{module}']
    inner = [f for x in own if inspect.isclass(x) for n, f in vars(x).items()
             if n == '__init__' or n[0] != '_']
    return [f for f in own + inner if inspect.isfunction(f)]

@pytest.mark.parametrize('module', sorted(p.stem for p in (ROOT/'backprop_nb').glob('*.py')
                                          if p.stem not in ('__init__', '_modidx', 'all')))
def test_hints_allow_a_default_of_none(module):
    "Type checkers read the hints: the package has a py.typed."
    bad = []
    for f in functions(module):
        for p in inspect.signature(f, eval_str=True).parameters.values():
            free = p.annotation in (p.empty, None, object, Any)
            if p.default is None and not free and type(None) not in get_args(p.annotation):
                bad.append(f'{f.__qualname__}: {p}')
    assert not bad

def test_citation():
    cite = yaml.safe_load(read('CITATION.cff'))
    allowed = ('cff-version message type title abstract authors version license repository-code '
               'url keywords date-released doi')  # fields of the format that we may use
    assert set(cite) <= set(allowed.split())
    assert (cite['cff-version'], cite['type']) == ('1.2.0', 'software')
    assert cite['license'] == 'Apache-2.0' and CFG['license'] == 'apache2'
    assert cite['message'] and cite['title'].startswith(CFG['lib_name'])
    assert cite['authors'] == [{'name': CFG['author']}]
    assert cite['version'] == CFG['version'] and isinstance(cite['version'], str)
    assert cite['repository-code'] == CFG['git_url']
    assert cite['url'] == CFG['doc_host'] + CFG['doc_baseurl']
    assert cite['keywords'] == CFG['keywords'].split()

def test_release_is_by_trusted_publishing():
    flow = yaml.safe_load(read('.github/workflows/release.yml'))
    test, build, publish = flow['jobs'].values()
    assert flow['permissions'] == {'contents': 'read'}
    assert 'permissions' not in test and 'permissions' not in build
    assert publish['permissions'] == {'id-token': 'write'} and publish['environment'] == 'release'
    assert (build['needs'], publish['needs']) == ('test', 'build')
    assert all('uses' in s for s in publish['steps']), 'no code of ours where the rights are'
    steps = [s.get('run') or s['uses'] for job in flow['jobs'].values() for s in job['steps']]
    wanted = ['make test', '-m build', 'twine check --strict', 'upload-artifact',
              'download-artifact', 'pypa/gh-action-pypi-publish@']
    at = [next(i for i, step in enumerate(steps) if what in step) for what in wanted]
    assert at == sorted(at)
    assert 'secrets.' not in read('.github/workflows/release.yml')

def hosts(text):
    return re.findall(r'\b(?:pypi|pythonhosted|npmjs)\.(?:org|com|io)\b', text)

def test_no_file_names_the_host_of_a_registry(copy):
    texts = {'', *'.py .md .ipynb .ini .yml .toml .cff .html .js .css .svg .in .txt'.split()}
    found = {p.relative_to(copy).as_posix(): hosts(p.read_text(encoding='utf-8'))
             for p in copy.rglob('*') if p.is_file() and p.suffix in texts}
    assert found and not {n: h for n, h in found.items() if h}

@pytest.mark.parametrize('name', ['pypi', 'files.pythonhosted', 'registry.npmjs'])
def test_a_host_is_seen(name): assert hosts(f'see https://{name}.org/x')
