import shutil
import pytest
from hypothesis import settings
from run_course import ROOT

# the same examples on every run and machine, none stored, no limit on a slow machine
settings.register_profile('course', derandomize=True, database=None, deadline=None, print_blob=False)
settings.load_profile('course')

@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    "A copy of the tree without what git ignores, for tests that write."
    ignored = [p.strip('/') for p in (ROOT/'.gitignore').read_text().split()]
    return shutil.copytree(ROOT, tmp_path_factory.mktemp('tree')/'copy',
                           ignore=shutil.ignore_patterns('.git', *ignored))
