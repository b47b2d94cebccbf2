"The saved outputs of each notebook are those of a fresh run."
import os
import matplotlib.font_manager  # builds the font cache, so that no notebook is the one to say so
import nbformat, pytest
from outputs import compare
from run_course import ROOT, run

@pytest.mark.parametrize('path', sorted((ROOT/'nbs').glob('*.ipynb')), ids=lambda p: p.stem)
def test_outputs(path):
    # on the CPU, whose random numbers the saved outputs have
    r = run(path, env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''})
    bad = [r.error] if r.error else compare(nbformat.read(path, as_version=4), r.nb)
    if bad: pytest.fail('\n'.join(bad), pytrace=False)
