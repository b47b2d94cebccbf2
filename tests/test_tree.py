"What is generated is up to date: the package, the README, links; and the notebooks are clean."
import subprocess, sys
import sync
from run_course import ROOT

def python(code, cwd): subprocess.run([sys.executable, '-c', code], cwd=cwd, check=True)

def texts(folder, pattern):
    return {p.name: p.read_text(encoding='utf-8') for p in sorted(folder.glob(pattern))}

def differing(a, b): return sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))

def test_package_is_what_nbdev_exports(copy):
    for p in (copy/'backprop_nb').glob('*.py'):
        if p.name != '__init__.py': p.unlink()  # a module that has lost its notebook stays away
    python('from nbdev.doclinks import nbdev_export; nbdev_export()', copy)
    stale = differing(texts(ROOT/'backprop_nb', '*.py'), texts(copy/'backprop_nb', '*.py'))
    assert not stale, f'run nbdev_export: {stale}'

def test_notebooks_are_clean(copy):
    python('from nbdev.clean import nbdev_clean; nbdev_clean()', copy)
    unclean = differing(texts(ROOT/'nbs', '*.ipynb'), texts(copy/'nbs', '*.ipynb'))
    assert not unclean, f'run nbdev_clean: {unclean}'

def test_readme_and_links_follow_index_and_settings(capsys):
    assert sync.main(check=True) == 0, capsys.readouterr().out
