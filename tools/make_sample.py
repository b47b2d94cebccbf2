"""Cuts the sample of MNIST that the package carries.

    python tools/make_sample.py FOLDER            writes backprop_nb/mnist_sample/
    python tools/make_sample.py FOLDER --check    compares it with a fresh cut, writes nothing

FOLDER, or FOLDER/MNIST/raw, holds MNIST's two training files, packed (.gz) or not. Needs Python
alone. The draw orders digits by a hash of their number, so that it depends on no random
generator: every Python cuts the same bytes. (The packed files may differ between versions of zlib;
`--check` unpacks them.)
"""
import struct, sys
import packing
from packing import rank, seed

out = packing.here/'backprop_nb'/'mnist_sample'
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

def read(folder, name):
    "The unpacked bytes of one of MNIST's files, their md5 verified."
    return packing.read([folder/name, folder/'MNIST'/'raw'/name], 'md5', md5[name])

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

if __name__ == '__main__': packing.main(__doc__, cut, readme, out, max_bytes)
