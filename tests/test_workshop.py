"What GitHub, Binder, a devcontainer, pre-commit and make read is sound, and fits together."
import json, os, re
import pytest, yaml
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

@pytest.mark.parametrize('name', FLOWS)
def test_workflow(name):
    "Actions cannot change under us, and get no more rights than they need."
    text = FLOWS[name].read_text(encoding='utf-8')
    flow = yaml.safe_load(text)
    assert uses(text) and not [u for u in uses(text) if not PINNED.fullmatch(u)]
    assert flow['permissions'] == {'contents': 'read'} and flow['concurrency']['group']
    assert all(job['timeout-minutes'] for job in flow['jobs'].values())
    steps = [s for job in flow['jobs'].values() for s in job['steps']]
    checkouts = [s for s in steps if s.get('uses', '').startswith('actions/checkout@')]
    assert all(s['with']['persist-credentials'] is False for s in checkouts)
    assert not re.search(r'run:[^\n]*\$\{\{ *(inputs|github\.(event|head_ref))', text)
    assert set(re.findall(r'\bmake (\w+)', re.sub('#.*', '', text))) <= TARGETS

@pytest.mark.parametrize('ref', ['actions/checkout@v6', 'actions/checkout@de0fac2e # v6.0.2',
                                 f'actions/checkout@{40*"0"}', f'actions/checkout@{40*"0"} # v6'])
def test_a_loose_action_is_seen(ref): assert not PINNED.fullmatch(ref)

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
    assert box['postCreateCommand'] == f"make {re.search('^STAMP +:= (.*)', makefile, re.M)[1]}"
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

def test_make_help_and_clean():
    makefile = read('Makefile')
    assert set(re.findall(r'@echo "make (\w+) ', makefile)) == TARGETS
    removed = re.search(r'^clean:\n\trm -rf (.*)', makefile, re.M)[1].split()
    assert {f'{name}/' for name in removed} <= set(read('.gitignore').split())
