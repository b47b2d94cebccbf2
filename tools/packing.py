"What the scripts have in common that cut the package's data: make_sample.py and make_text.py."
import argparse, gzip, hashlib, io, sys, zlib
from pathlib import Path

here = Path(__file__).resolve().parent.parent
seed = 'backprop_nb 1'

def rank(*words):
    "A fixed number that looks random, for some words: an order without a random generator."
    return hashlib.sha256(' '.join([seed, *map(str, words)]).encode()).digest()

def unpack(path):
    "The bytes of a file, unpacked if it is a .gz."
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == '.gz' else raw

def pack(raw):
    "Gzip with nothing in it but the data: no time, no file name."
    buf = io.BytesIO()
    with gzip.GzipFile(filename='', mode='wb', compresslevel=9, fileobj=buf, mtime=0) as f:
        f.write(raw)
    return buf.getvalue()

def read(places, kind, expected):
    "The unpacked bytes of the first of some paths at which there is a file, its checksum verified."
    places = [p for path in places for p in (path, path.with_name(f'{path.name}.gz'))]
    path = next((p for p in places if p.is_file()), None)
    if path is None: sys.exit('found none of\n  ' + '\n  '.join(map(str, places)))
    try: raw = unpack(path)
    except (OSError, EOFError, zlib.error) as e: sys.exit(f'{path} cannot be read: {e}')
    found = hashlib.new(kind, raw, usedforsecurity=False).hexdigest()
    if found != expected:
        sys.exit(f'{path} is not the published file: {kind} {found}, expected {expected}')
    return raw

def write(files, readme, out, most):
    "Write the packed files, a dict from name to bytes, and the README."
    packed = {f'{name}.gz': pack(raw) for name, raw in files.items()}
    packed['README.md'] = readme.encode()
    total = sum(map(len, packed.values()))
    if total > most: sys.exit(f'{total:,} bytes, at most {most:,} are allowed: nothing written')
    out.mkdir(parents=True, exist_ok=True)
    for name, data in packed.items():
        (out/name).write_bytes(data)
        print(f'{len(data):>9,} bytes  {name}')
    print(f'{total:>9,} bytes in all, in {out}\n')
    print('sha256 of the unpacked files, for the notebooks that read them:')
    for name, raw in files.items(): print(f"    {name!r}: {hashlib.sha256(raw).hexdigest()!r},")

def check(files, readme, out):
    "Names of the files in `out` that are not what a fresh cut gives."
    bad = []
    for name, raw in files.items():
        try: same = unpack(out/f'{name}.gz') == raw
        except (OSError, EOFError, zlib.error): same = False
        if not same: bad.append(f'{name}.gz')
    path = out/'README.md'
    if not path.is_file() or path.read_text(encoding='utf-8') != readme: bad.append('README.md')
    return bad

def main(doc, cut, readme, out, most):
    "The command of a script: its docstring, its cut, its README, where that goes, how many bytes."
    p = argparse.ArgumentParser(description=doc,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('folder', type=Path, help='holds the published files')
    p.add_argument('--out', type=Path, default=out, help='the folder to write')
    p.add_argument('--check', action='store_true', help='compare only')
    a = p.parse_args()
    files = cut(a.folder)
    if not a.check: return write(files, readme, a.out, most)
    bad = check(files, readme, a.out)
    if bad: sys.exit(f'not a fresh cut: {", ".join(bad)} in {a.out}')
    print(f'{a.out} is what a fresh cut gives.')
