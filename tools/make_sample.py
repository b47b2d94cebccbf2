"""Cuts the sample of MNIST that the package carries.

    python tools/make_sample.py FOLDER            writes backprop_nb/mnist_sample/
    python tools/make_sample.py FOLDER --check    compares it with a fresh cut, writes nothing

FOLDER, or FOLDER/MNIST/raw, holds MNIST's two training files, packed (.gz) or not. Needs Python
alone. The draw orders digits by a hash of their number, so that it does not hang on any random
generator: every Python cuts the same bytes. (The packed files may differ between versions of zlib;
`--check` unpacks them.)
"""
import argparse, gzip, hashlib, io, struct, sys, zlib
from pathlib import Path

here = Path(__file__).resolve().parent.parent
default_out = here/'backprop_nb'/'mnist_sample'
seed = 'backprop_nb 1'
n_train, n_valid = 1000, 200  # of each digit
max_bytes = 2_500_000
md5 = {'train-images-idx3-ubyte': '6bbc9ace898e44ae57da46a324031adb',
       'train-labels-idx1-ubyte': 'a25bea736e30d166cdddb491f175f624'}

readme = f"""# A sample of MNIST

{10*n_train:,} handwritten digits to train on ({n_train:,} of each) and {10*n_valid:,} to validate on ({n_valid} of each),
28 x 28 pixels of one byte. All of them come from the training file of MNIST, none is in both parts, and
MNIST's test file was not touched.

- **Origin**: the MNIST database of handwritten digits, by Yann LeCun, Corinna Cortes and Christopher J. C. Burges.
- **Licence**: Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA 3.0),
  https://creativecommons.org/licenses/by-sa/3.0/. It holds for these four data files, as it does for MNIST. The
  code of the package has a licence of its own.
- **Changed**: a selection in a new order. The pixels and the labels are MNIST's own.
- **Cut** by `tools/make_sample.py` of the package's repository: the digits of each class are put in the order of
  sha256("{seed} draw NUMBER"), where NUMBER counts from 0 in the training file; the first {n_train:,} are for training,
  the next {n_valid} for validation; each part is then put in the order of sha256("{seed} order NUMBER").
- **Format**: IDX, compressed with gzip. `mnist()` checks the sha256 of the unpacked bytes whenever it reads them.
"""  # noqa: E501  (lines of the README, as it is in the package)

def rank(word, i):
    "A fixed number that looks random, for digit `i`."
    return hashlib.sha256(f'{seed} {word} {i}'.encode()).digest()

def unpack(path):
    "The bytes of a file, unpacked if it is a .gz."
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == '.gz' else raw

def read(folder, name):
    "The unpacked bytes of one of MNIST's files, their md5 verified."
    places = [d/n for d in (folder, folder/'MNIST'/'raw') for n in (name, f'{name}.gz')]
    path = next((p for p in places if p.is_file()), None)
    if path is None: sys.exit('found none of\n  ' + '\n  '.join(map(str, places)))
    try: raw = unpack(path)
    except (OSError, EOFError, zlib.error) as e: sys.exit(f'{path} cannot be read: {e}')
    found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if found != md5[name]:
        sys.exit(f'{path} is not the published file: md5 {found}, expected {md5[name]}')
    return raw

def draw(labels):
    "Numbers of the digits for training and for validation, in the order in which they are stored."
    train, valid = [], []
    for k in range(10):
        of_class = [i for i, y in enumerate(labels) if y == k]
        of_class.sort(key=lambda i: rank('draw', i))
        train += of_class[:n_train]
        valid += of_class[n_train:n_train+n_valid]
    return [sorted(part, key=lambda i: rank('order', i)) for part in (train, valid)]

def cut(folder):
    "The files of the sample: a dict from name to unpacked bytes."
    images, labels = [read(folder, name) for name in md5]
    images, labels = images[16:], labels[8:]
    digits = [images[i:i+784] for i in range(0, len(images), 784)]
    train, valid = draw(labels)
    if {digits[i] for i in train} & {digits[i] for i in valid}:
        sys.exit('an image is in both parts')
    files = {}
    for part, idx in ('train', train), ('valid', valid):
        files[f'{part}-images-idx3-ubyte'] = (struct.pack('>4B3I', 0, 0, 8, 3, len(idx), 28, 28)
                                              + b''.join(digits[i] for i in idx))
        files[f'{part}-labels-idx1-ubyte'] = (struct.pack('>4BI', 0, 0, 8, 1, len(idx))
                                              + bytes(labels[i] for i in idx))
    return files

def pack(raw):
    "Gzip with nothing in it but the data: no time, no file name."
    buf = io.BytesIO()
    with gzip.GzipFile(filename='', mode='wb', compresslevel=9, fileobj=buf, mtime=0) as f:
        f.write(raw)
    return buf.getvalue()

def write(files, out):
    "Write the packed files and the README."
    packed = {f'{name}.gz': pack(raw) for name, raw in files.items()}
    packed['README.md'] = readme.encode()
    total = sum(map(len, packed.values()))
    if total > max_bytes:
        sys.exit(f'{total:,} bytes, at most {max_bytes:,} are allowed: nothing written')
    out.mkdir(parents=True, exist_ok=True)
    for name, data in packed.items():
        (out/name).write_bytes(data)
        print(f'{len(data):>9,} bytes  {name}')
    print(f'{total:>9,} bytes in all, in {out}\n')
    print('sha256 of the unpacked files, for the notebook 01_data:')
    for name, raw in files.items(): print(f"    {name!r}: {hashlib.sha256(raw).hexdigest()!r},")

def check(files, out):
    "Names of the files in `out` that are not what a fresh cut gives."
    bad = []
    for name, raw in files.items():
        try: same = unpack(out/f'{name}.gz') == raw
        except (OSError, EOFError, zlib.error): same = False
        if not same: bad.append(f'{name}.gz')
    path = out/'README.md'
    if not path.is_file() or path.read_text(encoding='utf-8') != readme: bad.append('README.md')
    return bad

def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('folder', type=Path, help="holds MNIST's training files")
    p.add_argument('--out', type=Path, default=default_out, help='the folder of the sample')
    p.add_argument('--check', action='store_true', help='compare only')
    a = p.parse_args()
    files = cut(a.folder)
    if not a.check: return write(files, a.out)
    bad = check(files, a.out)
    if bad: sys.exit(f'not as a fresh cut: {", ".join(bad)} in {a.out}')
    print(f'{a.out} is what a fresh cut gives.')

if __name__ == '__main__': main()
