"""Run every notebook of nbs/ in a fresh kernel and an empty folder, into _build/notebooks.

As many at once as there are cores, four at most: half of the time goes into importing torch."""
import os, re, shutil, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
PEAK = '''import resource, sys
unit = 1 if sys.platform == 'darwin' else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)'''

class Run(NamedTuple):
    nb: nbformat.NotebookNode  # with the outputs of this run
    error: str                 # empty when all went well
    cells: int                 # code cells
    seconds: float
    peak: float                # bytes of memory, 0 where the system does not tell

def code_cells(nb): return [c for c in nb.cells if c.cell_type == 'code' and c.source.strip()]

def explain(cell, index, exc):
    "What went wrong in `cell`, in a few lines."
    err = next((o for o in cell.outputs if o.output_type == 'error'), None)
    if err is None: return f'cell {index + 1}: {type(exc).__name__}: {exc}'
    trace = re.sub(r'\x1b\[[\d;]*m', '', '\n'.join(err.traceback))
    line = re.search(r'^-+> *\d+ (.*)', trace, re.M)  # IPython's arrow: the first is in the cell
    what = '\n    '.join(err.evalue.strip().split('\n')[:10])
    return (f'cell {index + 1} (In [{cell.execution_count}]): {err.ename}: {what}'
            + (f'\n    in the line: {line[1].strip()}' if line else ''))

def run(
    path,                   # the notebook
    python=sys.executable,  # whose kernel runs it
    env=None,               # instead of this process's environment
    done=lambda: None,      # called after each code cell
    folder=None,            # to run in, instead of an empty one
) -> Run:
    "Execute a notebook in a fresh kernel, in an empty folder; the file itself is left alone."
    class Kernel(AsyncKernelManager):
        "Runs `python`, whatever kernels the user has installed."
        kernel_spec = KernelSpec(argv=[  # level 40: errors, no warning that loopback is plain text
            str(python), '-m', 'ipykernel_launcher', '-f', '{connection_file}', '--log-level=40'])
    nb, at = nbformat.read(path, as_version=4), [0]
    cells, start, error, peak = len(code_cells(nb)), time.perf_counter(), '', 0.
    if os.name == 'posix': nb.cells.append(nbformat.v4.new_code_cell(PEAK))
    with (tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as empty,
          tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile):
        client = NotebookClient(nb, timeout=600, kernel_manager_class=Kernel,
            resources={'metadata': {'path': str(folder or empty)}},
            on_cell_executed=lambda **kw: done(),
            on_cell_start=lambda cell, cell_index: at.__setitem__(0, cell_index))
        env = dict(os.environ if env is None else env)
        env['IPYTHONDIR'] = profile  # without the user's start-up files
        env['BACKPROP_NB_PROGRESS'] = str(Path(profile)/'progress.json')  # nobody's exercises
        env['TQDM_DISABLE'] = '1'  # no bar in an output where the machine is slow
        env['PYDEVD_DISABLE_FILE_VALIDATION'] = '1'  # no debugger warning in the terminal
        try: client.execute(env=env)
        except Exception as exc: error = explain(nb.cells[at[0]], at[0], exc)
    if os.name == 'posix':
        last = nb.cells.pop()
        if last.outputs: peak = float(last.outputs[0].text)
    return Run(nb, error, cells, time.perf_counter() - start, peak)

def main(notebooks, out) -> int:
    "Run `notebooks`, write copies with outputs to folder `out`, print a table; 1 if a cell failed."
    notebooks = [Path(p) for p in notebooks]
    shutil.rmtree(out, ignore_errors=True)
    Path(out).mkdir(parents=True)
    total = sum(len(code_cells(nbformat.read(p, as_version=4))) for p in notebooks)
    at_once = min(4, os.cpu_count() or 1)
    env = os.environ | dict(OMP_NUM_THREADS=str(max(1, (os.cpu_count() or 1) // at_once)))
    wide = max((len(p.stem) for p in notebooks), default=7) + 2
    runs, start = {}, time.perf_counter()
    with tqdm(total=total, unit='cell', disable=None) as bar, ThreadPoolExecutor(at_once) as pool:
        found = pool.map(lambda p: run(p, env=env, done=bar.update), notebooks)
        try:
            for p, r in zip(notebooks, found):
                runs[p.stem] = r
                nbformat.write(r.nb, Path(out)/p.name)
                tqdm.write(f'{p.stem:{wide}}' + (f'FAILED in {r.error}' if r.error else 'ok'))
        finally: pool.shutdown(cancel_futures=True)  # after Ctrl-C none begins any more
    print(f'\n{"chapter":{wide}}{"cells":>6}{"seconds":>9}{"peak GB":>9}')
    for name, r in runs.items():
        failed = '  FAILED' if r.error else ''
        print(f'{name:{wide}}{r.cells:6}{r.seconds:9.1f}{r.peak / 1e9:9.2f}{failed}')
    seconds = time.perf_counter() - start
    peak = max((r.peak for r in runs.values()), default=0)
    print(f'{"all":{wide}}{total:6}{seconds:9.1f}{peak / 1e9:9.2f}')
    failed = {name: r.error for name, r in runs.items() if r.error}
    for name, error in failed.items(): print(f'\n{name}.ipynb, {error}')
    return 1 if failed or not runs else 0

if __name__ == '__main__':
    sys.exit(main(sys.argv[1:] or sorted((ROOT/'nbs').glob('*.ipynb')), ROOT/'_build'/'notebooks'))
