"What is generated is up to date and clean: the hooks of .pre-commit-config.yaml change nothing."
import shlex, shutil, subprocess, sys, sysconfig
import pytest, yaml
from run_course import ROOT

CONFIG = yaml.safe_load((ROOT/'.pre-commit-config.yaml').read_text(encoding='utf-8'))
HOOKS = {hook['id']: hook['entry'] for repo in CONFIG['repos'] for hook in repo['hooks']}

def files(tree) -> dict:
    "What each file of a copy holds, whatever its line ends, but for what git ignores."
    paths = [p for p in tree.rglob('*') if p.is_file()
             and not {'__pycache__', '.ruff_cache'} & set(p.parts)]
    return {p.relative_to(tree).as_posix(): p.read_bytes().replace(b'\r\n', b'\n') for p in paths}

def run(entry, tree):
    name, *args = shlex.split(entry)
    scripts = sysconfig.get_path('scripts')
    cmd = sys.executable if name == 'python' else shutil.which(name, path=scripts)
    return subprocess.run([cmd, *args], cwd=tree, capture_output=True, text=True)

@pytest.mark.parametrize('hook', HOOKS)
def test_hook(copy, hook):
    before = files(copy)
    if hook == 'nbdev_export':  # a module that has lost its notebook stays away
        for p in (copy/'backprop_nb').glob('*.py'):
            if p.name != '__init__.py': p.unlink()
    r = run(HOOKS[hook], copy)
    assert r.returncode == 0, r.stdout + r.stderr
    after = files(copy)
    changed = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    assert not changed, f'run {HOOKS[hook]}: {changed}'

def test_a_stale_tree_is_seen(copy):
    clean = files(copy)
    stale = 'README.md', 'backprop_nb/relu.py', 'nbs/04_relu.ipynb'
    for name, old, new in zip(stale, ('##', 'def', '"execution_count": null'),
                              ('###', '\n\ndef', '"execution_count": 7')):
        text = (copy/name).read_text(encoding='utf-8')
        (copy/name).write_text(text.replace(old, new), encoding='utf-8')
        assert files(copy)[name] != clean[name]
    for hook in ('nbdev_export', 'nbdev_clean', 'sync'):
        assert run(HOOKS[hook], copy).returncode == 0
    assert files(copy) == clean

def test_no_merge_is_left_undone(copy):
    marks = b'<' * 7 + b' ', b'>' * 7 + b' '
    assert not [n for n, text in files(copy).items() for m in marks if m in text]
