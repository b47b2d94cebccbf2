"""Cuts the list of names that the package carries.

    python tools/make_names.py FOLDER            writes backprop_nb/text/
    python tools/make_names.py FOLDER --check    compares it with a fresh cut, writes nothing

FOLDER holds `names.dist.female.first` and `names.dist.male.first`, packed (.gz) or not, as in the
package `names` 0.3.0 on PyPI. Needs Python alone. The order is that of a hash of each name, so that
it does not hang on any random generator: every Python cuts the same bytes. (The packed file may
differ between versions of zlib; `--check` unpacks it.)
"""
import argparse, hashlib, sys, zlib
from pathlib import Path
from make_sample import here, pack, unpack

default_out = here/'backprop_nb'/'text'
seed = 'backprop_nb 1'
max_bytes = 40_000
sha256 = {
    'names.dist.female.first': 'bd2f310fc4e5d5e5ea122c9d4342c9821145823118eb20db1647f305ec77b358',
    'names.dist.male.first': '0a5078ef6effe3b483d15b0f7f95047662126c9bfb624ecd5e5b978fc0f2470b'}

readme = f"""# Text

`names.txt`: 5,163 different first names in small letters, a to z, one to a line.

- **Origin**: the census of 1990 of the United States, lists of the first names of women and of men,
  as the package `names` 0.3.0 on PyPI has them.
- **Licence**: public domain.
- **Changed**: both lists in one, each name once, small letters, frequencies left out, a new order.
- **Cut** by `tools/make_names.py` of the package's repository: the names stand in the order of
  sha256("{seed} NAME"). `names()` gives the first 8 of 10 as `train`, the next as `valid`, the rest
  as `test`.
- **Format**: lines of text, compressed with gzip. `names()` checks the sha256 of the unpacked bytes
  whenever it reads them.
"""

def read(folder, name):
    "The unpacked bytes of one list, its sha256 verified."
    path = next((p for p in (folder/name, folder/f'{name}.gz') if p.is_file()), None)
    if path is None: sys.exit(f'found neither {folder/name} nor {folder/name}.gz')
    try: raw = unpack(path)
    except (OSError, EOFError, zlib.error) as e: sys.exit(f'{path} cannot be read: {e}')
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256[name]:
        sys.exit(f'{path} is not the published file: sha256 {found}, expected {sha256[name]}')
    return raw

def rank(name):
    "A fixed number that looks random, for a name."
    return hashlib.sha256(f'{seed} {name}'.encode()).digest()

def cut(folder):
    "The text: the first word of each line of both lists, each once."
    lines = b''.join(read(folder, name) for name in sha256).decode('ascii').lower().splitlines()
    return ''.join(f'{name}\n' for name in sorted({x.split()[0] for x in lines}, key=rank)).encode()

def write(text, out):
    "Write the packed list and the README."
    packed = {'names.txt.gz': pack(text), 'README.md': readme.encode()}
    total = sum(map(len, packed.values()))
    if total > max_bytes:
        sys.exit(f'{total:,} bytes, at most {max_bytes:,} are allowed: nothing written')
    out.mkdir(parents=True, exist_ok=True)
    for name, data in packed.items():
        (out/name).write_bytes(data)
        print(f'{len(data):>9,} bytes  {name}')
    print('sha256 of the unpacked list, for the notebook 13_embedding:')
    print(f'    {hashlib.sha256(text).hexdigest()!r}')

def check(text, out):
    "Names of the files in `out` that are not what a fresh cut gives."
    bad, path = [], out/'README.md'
    try: same = unpack(out/'names.txt.gz') == text
    except (OSError, EOFError, zlib.error): same = False
    if not same: bad.append('names.txt.gz')
    if not path.is_file() or path.read_text(encoding='utf-8') != readme: bad.append('README.md')
    return bad

def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('folder', type=Path, help='holds the two lists of the census')
    p.add_argument('--out', type=Path, default=default_out, help='the folder of the text')
    p.add_argument('--check', action='store_true', help='compare only')
    a = p.parse_args()
    text = cut(a.folder)
    if not a.check: return write(text, a.out)
    bad = check(text, a.out)
    if bad: sys.exit(f'not as a fresh cut: {", ".join(bad)} in {a.out}')
    print(f'{a.out} is what a fresh cut gives.')

if __name__ == '__main__': main()
