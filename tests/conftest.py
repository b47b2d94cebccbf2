import shutil
import pytest
from run_course import ROOT

@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    "A copy of the tree without what git ignores, for tests that write."
    ignored = [p.strip('/') for p in (ROOT/'.gitignore').read_text().split()]
    return shutil.copytree(ROOT, tmp_path_factory.mktemp('tree')/'copy',
                           ignore=shutil.ignore_patterns('.git', *ignored))
