"All checks, as `make test` runs them, by the Python that runs this file; the tree stays as it is."
import hashlib, os, subprocess, sys, time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CPUS = os.cpu_count() or 1
WORKERS = min(CPUS, 4)
THREADS = str(CPUS//WORKERS)  # of torch in each worker: more would wait for each other
PYTEST = ['-m', 'pytest', '-v', '-n', str(WORKERS), '--dist', 'loadfile',  # a file to a worker,
          '--no-loadscope-reorder', '--durations=40']                # in the order of conftest.py

def tree() -> dict:
    "The checksum of each file that git does not ignore; nothing outside a git checkout."
    if not (ROOT/'.git').exists(): return {}
    git = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
    out = subprocess.run(git, cwd=ROOT, capture_output=True, encoding='utf-8', check=True).stdout
    files = {n: ROOT/n for n in out.split('\0') if (ROOT/n).is_file()}
    return {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in files.items()}

def stream(*args) -> tuple:
    "Run Python with `args`, show what it prints but the last line; return exit code and last line."
    proc = subprocess.Popen([sys.executable, '-u', *args], cwd=ROOT, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, encoding='utf-8', errors='replace',
                            env={**os.environ, 'PYTHONUTF8': '1', 'OMP_NUM_THREADS': THREADS})
    last = ''
    for line in proc.stdout:
        print(last, end='', flush=True)
        last = line
    return proc.wait(), last

def main() -> int:
    needed = ('ruff', 'nbdev', 'nbclient', 'nbconvert', 'pytest', 'xdist', 'hypothesis', 'build',
              'jupyterlab', 'twine', 'yaml', 'markdown_it', 'mdit_py_plugins', 'playwright',
              'sphinx', 'myst_nb')
    lacking = [m for m in needed if not find_spec(m)]
    if lacking: sys.exit(f'no {", ".join(lacking)} here; run: pip install -e ".[dev]"')
    sys.stdout.reconfigure(errors='replace')  # for consoles that know fewer letters
    before, results = tree(), {}
    for name, args in {'ruff': ['-m', 'ruff', 'check'], 'pytest': PYTEST}.items():
        print(f'== {name}', flush=True)
        start = time.perf_counter()
        code, last = stream(*args)
        if name != 'pytest': print(last, end='')
        results[name] = (code == 0, f'{time.perf_counter() - start:.0f} s')
    after = tree()
    changed = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    results['tree unchanged'] = (not changed, ', '.join(changed))
    print()
    for name, (ok, note) in results.items(): print(f"{'ok    ' if ok else 'FAILED'} {name}  {note}")
    print(last, end='')  # the counts of pytest
    return 0 if all(ok for ok, _ in results.values()) else 1

if __name__ == '__main__': sys.exit(main())
