"What GitHub, Binder, a devcontainer, pre-commit and make read is sound, and fits together."
import json, os, re, shutil, subprocess, sysconfig
import pytest, work, yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from run_course import ROOT
from sync import settings

CFG = settings()
GITHUB = ROOT/'.github'
FLOWS = {p.stem: p for p in sorted((GITHUB/'workflows').glob('*.yml'))}
PINNED = re.compile(r'([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)')

def read(name): return (ROOT/name).read_text(encoding='utf-8')
def load(name): return yaml.safe_load(read(name))
def uses(text): return re.findall(r'\buses: *(.*)', text)
def version(text): return tuple(map(int, text.split('.')))

PYTHONS = re.findall(r"Python :: (3\.\d+)'", read('setup.py'))
TARGETS = set(re.search(r'^\.PHONY: (.*)', read('Makefile'), re.M)[1].split()) - {'help', 'FORCE'}

def every(key, tree):
    "The values of `key` at any depth of what YAML holds."
    if isinstance(tree, list): return [v for x in tree for v in every(key, x)]
    if not isinstance(tree, dict): return []
    return [v for k, x in tree.items() for v in ([x] if k == key else every(key, x))]

def loose(text):
    "The actions that are not pinned by a commit with its version beside it; in every file of YAML."
    found = every('uses', yaml.safe_load(text))
    pinned = [m[1] for m in re.finditer(rf'\buses: *{PINNED.pattern} *$', text, re.M)]
    return [u for u in found if u.split('@')[0] not in pinned or not re.search('@[0-9a-f]{40}$', u)]

@pytest.mark.parametrize('path', sorted(GITHUB.rglob('*.y*ml')), ids=lambda p: p.name)
def test_actions_are_pinned(path): assert not loose(path.read_text(encoding='utf-8'))

@pytest.mark.parametrize('name', FLOWS)
def test_workflow(name):
    "Actions cannot change under us, and get no more rights than they need."
    text = FLOWS[name].read_text(encoding='utf-8')
    flow = yaml.safe_load(text)
    assert uses(text)
    assert flow['permissions'] == {'contents': 'read'} and flow['concurrency']['group']
    assert all(job['timeout-minutes'] for job in flow['jobs'].values())
    steps = [s for job in flow['jobs'].values() for s in job['steps']]
    checkouts = [s for s in steps if s.get('uses', '').startswith('actions/checkout@')]
    assert all(s['with']['persist-credentials'] is False for s in checkouts)
    assert not re.search(r'run:[^\n]*\$\{\{ *(inputs|github\.(event|head_ref))', text)
    assert set(re.findall(r'\bmake (\w+)', re.sub('#.*', '', text))) <= TARGETS

SHA = 40*'0'

@pytest.mark.parametrize('step', [
    'uses: actions/checkout@v6', 'uses: actions/checkout@de0fac2e # v6.0.2',
    f'uses: actions/checkout@{SHA}', f'uses: actions/checkout@{SHA} # v6', 'uses: docker://x:1',
    f'{{uses: actions/checkout@{SHA}}} # v6.0.2', '"uses": actions/checkout@v6'])
def test_a_loose_action_is_seen(step):
    assert loose(f'runs:\n  using: composite\n  steps:\n    - {step}\n')
    assert not loose(f'steps:\n  - uses: a/b@{SHA} # v6.0.2\n')

def rights(flow): return {k: job.get('permissions') for k, job in flow['jobs'].items()}

def test_the_site_is_built_and_deployed_in_two_jobs():
    flow = load('.github/workflows/site.yml')
    assert rights(flow) == {'build': None, 'deploy': {'pages': 'write', 'id-token': 'write'}}
    build, deploy = flow['jobs'].values()
    assert deploy['needs'] == 'build' and deploy['environment']['name'] == 'github-pages'
    assert [u.split('@')[0] for u in every('uses', deploy)] == ['actions/deploy-pages']
    assert not flow['concurrency']['cancel-in-progress']

@pytest.mark.parametrize('name', ['site', 'release'])
def test_what_is_published_has_no_cache(name):
    flow = load(f'.github/workflows/{name}.yml')
    assert not [x for x in every('with', flow) if any('cache' in k for k in x)]
    assert not [u for u in every('uses', flow) if 'cache' in u]

def lock():
    "Of the lock that builds a release: the pinned version of each package, and its checksums."
    entries = re.split(r'\n(?=\S)', re.sub('^ *#.*\n', '', read('.github/release.txt'), flags=re.M))
    pins = [re.fullmatch(r'([\w.-]+)==(\S+) \\\n(.*)', e.strip(), re.S) for e in entries]
    assert all(pins), entries
    return {canonicalize_name(m[1]): (m[2], m[3].split()) for m in pins}

def test_the_lock_of_a_release():
    "Checksums everywhere, versions as settings.ini allows, and the steps of the job that use it."
    held, dev = lock(), [Requirement(r) for r in CFG['dev_requirements'].split()]
    wanted = [x for x in read('.github/release.in').split('\n') if x and x[0] != '#']
    assert {*wanted} == {'build', 'setuptools', 'twine'} and {*wanted} <= {*held}
    assert all(x == '\\' or re.fullmatch('--hash=sha256:[0-9a-f]{64}', x)
               for _, rest in held.values() for x in rest)
    assert all(held[r.name][0] in r.specifier for r in dev if r.name in wanted)
    runs = '\n'.join(every('run', load('.github/workflows/release.yml')['jobs']['build']))
    assert runs.count('pip install') == runs.count('--require-hashes') == 1
    assert 'build --no-isolation' in runs and 'make' not in runs

def test_the_command_that_makes_the_lock_is_told():
    said = re.search('^# (uv pip compile .*)', read('.github/release.in'), re.M)[1]
    python = load('.github/workflows/release.yml')['jobs']['build']['steps'][1]['with']
    assert f"--python-version {python['python-version']} " in said
    assert said.replace(' --upgrade', '') in read('.github/release.txt')

def check_dist(folder, tag):
    "The exit code of the step that looks at what was built."
    steps = load('.github/workflows/release.yml')['jobs']['build']['steps']
    step = next(s for s in steps if s.get('name', '').startswith('Two files'))
    return subprocess.run(['bash', '-ec', step['run']], cwd=folder,
                          env={**os.environ, 'GITHUB_REF_NAME': tag}).returncode

@pytest.mark.skipif(os.name != 'posix', reason='a step for Linux')
def test_what_is_built_is_of_the_tag(tmp_path):
    name, version = CFG['lib_name'], CFG['version']
    (tmp_path/'dist').mkdir()
    for end in ('-py3-none-any.whl', '.tar.gz'): (tmp_path/'dist'/f'{name}-{version}{end}').touch()
    assert check_dist(tmp_path, f'v{version}') == 0 and check_dist(tmp_path, 'v9.9.9')
    (tmp_path/'dist'/'more.whl').touch()
    assert check_dist(tmp_path, f'v{version}')

def zizmor(folder):
    tool = shutil.which('zizmor', path=sysconfig.get_path('scripts')) or shutil.which('zizmor')
    if not tool: pytest.skip('zizmor is not installed')
    options = '--offline', '--persona=auditor', '--strict-collection', '--no-progress'
    return subprocess.run([tool, *options, folder], capture_output=True, text=True)

def test_zizmor():
    "A linter that knows how workflows are attacked."
    r = zizmor(ROOT)
    assert r.returncode == 0, r.stdout + r.stderr

def test_zizmor_sees(tmp_path):
    text = read('.github/workflows/site.yml').replace('persist-credentials: false', '')
    (tmp_path/'site.yml').write_text(text)
    assert zizmor(tmp_path/'site.yml').returncode

def test_each_action_has_one_version():
    found = {u for p in FLOWS.values() for u in uses(p.read_text(encoding='utf-8'))}
    assert len(found) == len({u.split('@')[0] for u in found})

def test_the_pythons_that_are_tested_are_those_of_the_package():
    rows = load('.github/workflows/test.yml')['jobs']['make']['strategy']['matrix']['include']
    assert [row['python'] for row in rows] == PYTHONS and PYTHONS[0] == CFG['min_python']

def test_what_can_be_measured_is_in_the_makefile():
    flow = load('.github/workflows/measure.yml')
    assert set(flow[True]['workflow_dispatch']['inputs']['what']['options']) <= TARGETS  # True: on

@pytest.mark.parametrize('name', sorted(p.name for p in (GITHUB/'ISSUE_TEMPLATE').iterdir()))
def test_issue_form(name):
    form = load(f'.github/ISSUE_TEMPLATE/{name}')
    assert form['name'] and form['description'] and len(form['labels']) == 1
    assert {e['type'] for e in form['body']} <= {'input', 'textarea'}
    assert all(e['attributes']['label'] and e['validations']['required'] for e in form['body'])
    assert len({e['id'] for e in form['body']}) == len(form['body'])

def test_a_pull_request_asks_for_what_contributing_says():
    asked = re.findall('`(.*?)`', read('.github/pull_request_template.md'))
    assert asked and not [c for c in asked if f'`{c}`' not in read('CONTRIBUTING.md')]

def test_the_code_of_conduct_has_our_address():
    assert re.findall(r'[\w.-]+@[\w.-]+\w', read('CODE_OF_CONDUCT.md')) == [CFG['author_email']]

def test_devcontainer():
    box = json.loads(read('.devcontainer/devcontainer.json'))
    assert box['image'].split(':')[1] in PYTHONS
    python = box['customizations']['vscode']['settings']['python.defaultInterpreterPath']
    makefile = read('Makefile')
    assert python == '${containerWorkspaceFolder}/' + re.search('^PY +:= (.*)', makefile, re.M)[1]
    stamp = re.search('^STAMP +:= (.*)', makefile, re.M)[1]
    assert box['postCreateCommand'] == f'make {stamp} TORCH=cpu'
    assert box['postAttachCommand'].removeprefix('make ') in TARGETS

def test_binder():
    text = read('binder/environment.yml')
    need = dict(re.split('(?=[>=])', d, maxsplit=1) for d in yaml.safe_load(text)['dependencies']
                if d != 'pip')
    assert need.pop('python').strip('=') in PYTHONS
    need['torch'] = need.pop('pytorch-cpu')
    assert need == dict(re.split('(?=>)', d, maxsplit=1) for d in CFG['requirements'].split())
    assert (ROOT/re.search(r'lab/tree/([\w/]+\.ipynb)', text)[1]).exists()
    script = read('binder/postBuild')
    assert script.startswith('#!') and os.access(ROOT/'binder'/'postBuild', os.X_OK)
    assert 'pip install --no-deps -e .' in script

def test_a_small_torch_where_there_is_no_gpu():
    "Each command that sets up a machine of GitHub, and the set-up itself, know of it."
    flows = [yaml.safe_load(p.read_text('utf-8')) for p in FLOWS.values()]
    runs = [x for x in every('run', flows) if 'make ' in x]
    assert runs and all('TORCH=cpu' in x or x == 'make test' for x in runs)
    said = subprocess.run(['make', '-n', 'lab', 'TORCH=cpu'], cwd=ROOT, capture_output=True,
                          text=True, check=True).stdout
    if '-m pip' in said: assert said.index('--torch-backend cpu torch') < said.index('-e ".[')

def test_learners_need_less():
    lab, dev = [{Requirement(r).name for r in CFG[f'{k}_requirements'].split()}
                for k in ('lab', 'dev')]
    assert lab < dev and 'jupyterlab' in lab and not lab & {'sphinx', 'pytest', 'nbdev'}

def test_working_copies(tmp_path, capsys):
    "What is in work/ is never written over; what is new, or newer, is told."
    (tmp_path/'nbs').mkdir()
    def course(name, text): (tmp_path/'nbs'/f'{name}.ipynb').write_text(text)
    def mine(name): return tmp_path/'work'/f'{name}.ipynb'
    course('00_a', 'old'); course('01_b', 'old')
    assert work.copy(tmp_path) == (['00_a', '01_b'], []) and mine('00_a').read_text() == 'old'
    mine('00_a').write_text('my answers')
    assert work.copy(tmp_path) == ([], [])
    course('00_a', 'new'); course('02_c', 'new')
    assert work.copy(tmp_path) == (['02_c'], ['00_a'])
    assert mine('00_a').read_text() == 'my answers' and mine('01_b').read_text() == 'old'
    mine('00_a').rename(mine('00_mine'))
    assert work.copy(tmp_path) == (['00_a'], []) and mine('00_a').read_text() == 'new'
    assert mine('00_mine').read_text() == 'my answers'

@pytest.mark.parametrize('damage', ['', '{"a', '[]', None])
def test_a_lost_note_of_the_copies_is_begun_anew(tmp_path, damage):
    (tmp_path/'nbs').mkdir()
    course, note = tmp_path/'nbs'/'00_a.ipynb', tmp_path/'work'/'.copied.json'
    course.write_text('old')
    work.copy(tmp_path)
    note.unlink() if damage is None else note.write_text(damage)
    assert work.copy(tmp_path) == ([], [])
    course.write_text('new')
    assert work.copy(tmp_path) == ([], ['00_a'])

def test_no_half_of_a_notebook_is_left(tmp_path):
    with pytest.raises(TypeError): work.create(tmp_path/'x', 'not bytes')
    assert not (tmp_path/'x').exists()
    work.create(tmp_path/'x', b'mine')
    with pytest.raises(FileExistsError): work.create(tmp_path/'x', b'other')
    assert (tmp_path/'x').read_bytes() == b'mine'

def test_git_leaves_the_working_copies_alone():
    said = subprocess.run(['git', 'check-ignore', 'work/04_relu.ipynb'], cwd=ROOT,
                          capture_output=True, text=True)
    if (ROOT/'.git').exists(): assert said.stdout.strip() == 'work/04_relu.ipynb'
    assert 'work' not in re.search(r'^clean:\n\trm -rf (.*)', read('Makefile'), re.M)[1].split()

def test_make_help_and_clean():
    makefile = read('Makefile')
    assert set(re.findall(r'@echo "make (\w+) ', makefile)) == TARGETS
    removed = re.search(r'^clean:\n\trm -rf (.*)', makefile, re.M)[1].split()
    assert {f'{name}/' for name in removed} <= set(read('.gitignore').split())
