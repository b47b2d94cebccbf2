"""What the notebook 01_data cannot test about itself: damage of every kind, the full files, the
download, the sample's cut."""
import gzip, hashlib, itertools, math, os, pickle, random, shutil, struct
import subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from urllib.error import URLError

import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt
import make_sample, packing
import numpy as np, pytest, torch
from matplotlib.colors import to_hex
from torch.testing import assert_close

import backprop_nb
from backprop_nb import data
from backprop_nb.clinic import FileError
from backprop_nb.data import mnist, show_digits, two_moons

repo = Path(__file__).resolve().parent.parent
sample = Path(backprop_nb.__file__).parent/'mnist_sample'
kinds = 'images-idx3', 'labels-idx1'
sample_names = [f'{p}-{n}-ubyte' for p in ('train', 'valid') for n in kinds]
full_names = [f'{p}-{n}-ubyte' for p in ('train', 't10k') for n in kinds]

def _real():
    "The folder with MNIST's own four files, or None."
    places = [os.environ.get('BACKPROP_NB_DATA'), repo.parent/'shared'/'data'/'mnist']
    for p in (Path(p) for p in places if p):
        if p.is_dir() and None not in data._files_in(p).values(): return p

real = _real()
needs_real = pytest.mark.skipif(
    real is None, reason="MNIST's four files are not here; set BACKPROP_NB_DATA to their folder")

def unpacked(folder, name):
    "The bytes of one of MNIST's files, however it is stored."
    p = data._files_in(folder)[name]
    return gzip.decompress(p.read_bytes()) if p.suffix == '.gz' else p.read_bytes()

def contents(part):
    "The pixels and the labels of one part of MNIST's own files, without their headers."
    images, labels = (unpacked(real, f'{part}-{kind}-ubyte') for kind in kinds)
    return images[16:], labels[8:]

@pytest.fixture
def no_pickle(monkeypatch):
    "Nothing can be unpickled."
    import torchvision  # noqa: F401, what it imports makes unpicklers of its own
    def refuse(*args, **kwargs): raise AssertionError('something was unpickled')
    for mod, name in ((torch, 'load'), (pickle, 'load'), (pickle, 'loads'), (pickle, 'Unpickler')):
        monkeypatch.setattr(mod, name, refuse)

# ---- the sample

def test_sample_types():
    train, valid, test = m = mnist()
    assert m.train is train and m.valid is valid and m.test is test is None
    for part, n in ((train, 10_000), (valid, 2_000)):
        x, y = part[:]
        assert x.shape == (n, 784) and x.dtype == torch.float32 and x.min() == 0 and x.max() == 1
        assert y.shape == (n,) and y.dtype == torch.int64
        assert torch.bincount(y).tolist() == [n//10]*10
    x, y = mnist().train[:64]
    assert x.shape == (64, 784) and y.shape == (64,)

def test_sample_is_the_bytes_over_255():
    for part in ('train', 'valid'):
        x, y = getattr(mnist(), part)[:]
        pixels = gzip.decompress((sample/f'{part}-images-idx3-ubyte.gz').read_bytes())[16:]
        labels = gzip.decompress((sample/f'{part}-labels-idx1-ubyte.gz').read_bytes())[8:]
        assert bytes((x*255).round().to(torch.uint8).flatten().tolist()) == pixels
        assert y.tolist() == list(labels)
        assert_close(x[3, 28*14 + 11].item(), pixels[3*784 + 28*14 + 11] / 255, rtol=1e-7, atol=0)

def test_train_and_valid_share_no_image():
    train, valid, _ = mnist()
    a, b = ({bytes(r) for r in (p.tensors[0]*255).round().to(torch.uint8).tolist()}
            for p in (train, valid))
    assert len(a) == 10_000 and len(b) == 2_000 and not a & b

def test_sample_is_shuffled():
    for part in mnist()[:2]:
        assert all(len(set(y.tolist())) >= 8 for y in part.tensors[1].split(100))

def test_digits_are_upright_and_labels_fit():
    "Ones are tall, the nearest class average is mostly right: nothing is turned or mixed up."
    (x, y), (xv, yv) = (p.tensors for p in mnist()[:2])
    means = torch.stack([x[y == k].mean(0) for k in range(10)])
    one = means[1].reshape(28, 28) > 0.3
    assert one.any(1).sum() > 1.5*one.any(0).sum()
    assert (torch.cdist(xv, means).argmin(1) == yv).float().mean() > 0.75

def test_sample_size_and_readme():
    files = sorted(p.name for p in sample.iterdir())
    assert files == sorted(['README.md', *(f'{n}.gz' for n in sample_names)])
    assert sum(p.stat().st_size for p in sample.iterdir()) <= 2_500_000
    text = (sample/'README.md').read_text(encoding='utf-8')
    for word in ('LeCun', 'Cortes', 'Burges', 'CC BY-SA 3.0', 'make_sample.py'): assert word in text

def test_sample_packing_is_bare():
    "No time, no file name in the packed files: a new cut differs only where the digits do."
    for n in sample_names:
        head = (sample/f'{n}.gz').read_bytes()[:10]
        assert head[:3] == b'\x1f\x8b\x08' and head[3] == 0 and head[4:8] == b'\0\0\0\0'

def test_sample_needs_neither_network_nor_pickle(offline, no_pickle):
    assert len(mnist().train) == 10_000

def test_each_call_gives_fresh_tensors():
    mnist().train.tensors[0].zero_()
    assert mnist().train.tensors[0].max() == 1

def test_default_device_and_dtype():
    try:
        torch.set_default_device('meta')
        tensors = [*mnist().train.tensors, *mnist().valid.tensors, *two_moons(10)]
        assert {t.device.type for t in tensors} == {'meta'}
    finally: torch.set_default_device(None)
    try:
        torch.set_default_dtype(torch.float64)
        assert mnist().valid.tensors[0].dtype == two_moons(10)[0].dtype == torch.float32
    finally: torch.set_default_dtype(torch.float32)

def test_folder_without_full():
    with pytest.raises(ValueError, match='full=True'): mnist(folder='somewhere')

# ---- damage

def _repack(change):
    "A damage done to the unpacked bytes of a file that is then packed well."
    def f(p):
        raw = bytearray(gzip.decompress(p.read_bytes()))
        p.write_bytes(gzip.compress(change(raw), 1))
    return f

def _flip(at):
    def f(raw): raw[at] ^= 1; return raw
    return f

def _flip_packed(p):
    raw = bytearray(p.read_bytes())
    raw[len(raw)//2] ^= 16
    p.write_bytes(raw)

def _swap(raw): raw[8], raw[9] = raw[9], raw[8]; return raw # for labels: two neighbours

damages = {
    'missing': (lambda p: p.unlink(), 'missing'),
    'empty': (lambda p: p.write_bytes(b''), 'bytes|damaged'),
    'truncated': (lambda p: p.write_bytes(p.read_bytes()[:-100]), 'ended|damaged'),
    'half': (lambda p: p.write_bytes(p.read_bytes()[:p.stat().st_size//2]), 'ended|damaged'),
    'not gzip': (lambda p: p.write_bytes(b'<html>404</html>'*50), '[Gg]zip'),
    'junk behind': (lambda p: p.write_bytes(p.read_bytes() + b'junk'), '[Gg]zip'),
    'flipped in the packed file': (_flip_packed, 'damaged'),
    'flipped': (_repack(_flip(-1)), 'sha256 .*expected'),
    'first number flipped': (_repack(_flip(20)), 'sha256 .*expected'),
    'wrong magic': (_repack(_flip(2)), "'00 00 09 0[13]', expected"),
    'wrong count': (_repack(_flip(7)), 'expected [0-9,]+ for'),
    'one byte short': (_repack(lambda raw: raw[:-1]), 'expected [0-9,]+ for'),
    'one byte long': (_repack(lambda raw: raw + b'\0'), 'expected [0-9,]+ for'),
    'header only': (_repack(lambda raw: raw[:6]), 'expected [0-9,]+ for|damaged'),
    'three bytes': (_repack(lambda raw: raw[:3]), "'00 00 08', expected")}

@pytest.mark.parametrize('name', sample_names)
@pytest.mark.parametrize('damage', damages)
def test_damaged_sample_is_refused(tmp_path, name, damage):
    folder = tmp_path/'mnist_sample'
    shutil.copytree(sample, folder)
    path, (do, words) = folder/f'{name}.gz', damages[damage]
    do(path)
    with pytest.raises(RuntimeError, match=words) as e: data._sample(folder)
    assert str(path) in str(e.value) and 'pip install --force-reinstall' in str(e.value)
    assert e.value.__cause__ is not None

def test_swapped_labels_and_swapped_files_are_refused(tmp_path):
    folder = tmp_path/'mnist_sample'
    shutil.copytree(sample, folder)
    _repack(_swap)(folder/'train-labels-idx1-ubyte.gz')
    with pytest.raises(RuntimeError, match='train-labels'): data._sample(folder)
    shutil.copy(sample/'valid-labels-idx1-ubyte.gz', folder/'train-labels-idx1-ubyte.gz')
    with pytest.raises(RuntimeError, match='train-labels'): data._sample(folder)

def test_mnist_itself_refuses(monkeypatch, tmp_path):
    "It reads the same way: with another fingerprint expected, it refuses the package's own file."
    monkeypatch.setitem(data._sha256, 'valid-labels-idx1-ubyte', '0'*64)
    says = 'valid-labels-idx1-ubyte.gz.*expected 0000.*Install the package again'
    with pytest.raises(RuntimeError, match=says): mnist()

@pytest.mark.parametrize('name', ['valid-images-idx3-ubyte', 'valid-labels-idx1-ubyte'])
def test_any_flipped_byte_is_refused_or_harmless(tmp_path, name):
    "A few packed bytes mean nothing (the time, say); flipping any other must be an error."
    good, path, rng = (sample/f'{name}.gz').read_bytes(), tmp_path/f'{name}.gz', random.Random(0)
    def read(): return data._read(path, 'sha256', data._sha256[name], '')
    path.write_bytes(good)
    want, refused = read(), 0
    n = len(good)
    for at in [*range(12), *(rng.randrange(n) for _ in range(40)), *range(n - 8, n)]:
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << rng.randrange(8))]) + good[at+1:])
        try: assert torch.equal(read(), want)
        except RuntimeError: refused += 1
    assert refused >= 48

# ---- all of MNIST: on small files of the same names, whose checksums are put in

def idx(dims, numbers):
    return struct.pack(f'>4B{len(dims)}I', 0, 0, 8, len(dims), *dims) + bytes(numbers)

@pytest.fixture
def small(monkeypatch):
    "Four small files: 12 digits to train, 5 to test; the checksums follow."
    rng, files = random.Random(0), {}
    for part, n in (('train', 12), ('t10k', 5)):
        pixels, labels = ([rng.randrange(k) for _ in range(m)] for k, m in ((256, n*784), (10, n)))
        files[f'{part}-images-idx3-ubyte'] = idx((n, 28, 28), pixels)
        files[f'{part}-labels-idx1-ubyte'] = idx((n,), labels)
    for n, raw in files.items():
        md5 = hashlib.md5(raw, usedforsecurity=False).hexdigest()
        monkeypatch.setitem(data._md5, n, md5)
    return files

def lay(files, folder, packed):
    "Write files into a folder, packed or not."
    folder.mkdir(parents=True, exist_ok=True)
    for n, raw in files.items():
        (folder/(f'{n}.gz' if packed else n)).write_bytes(gzip.compress(raw, 1) if packed else raw)

def is_small(m, files):
    "Are these the digits of the small files?"
    for part, name in ((m.train, 'train'), (m.test, 't10k')):
        x, y = part[:]
        pixels = bytes((x*255).round().to(torch.uint8).flatten().tolist())
        assert pixels == files[f'{name}-images-idx3-ubyte'][16:]
        assert bytes(y.tolist()) == files[f'{name}-labels-idx1-ubyte'][8:]
    assert len(m.valid) == 0
    return True

def no_torchvision(monkeypatch): # importing it is then an ImportError
    monkeypatch.setitem(sys.modules, 'torchvision', None)

@pytest.mark.parametrize('packed', [True, False])
@pytest.mark.parametrize('under', ['.', 'MNIST/raw'])
@pytest.mark.parametrize('kind', [str, Path])
def test_full_layouts(tmp_path, monkeypatch, small, offline, no_pickle, packed, under, kind):
    lay(small, tmp_path/under, packed)
    no_torchvision(monkeypatch)
    assert is_small(mnist(full=True, folder=kind(tmp_path)), small)

def test_full_mixed_layout(tmp_path, small, offline):
    places = [('.', True), ('.', False), ('MNIST/raw', True), ('MNIST/raw', False)]
    for n, (under, packed) in zip(small, places):
        lay({n: small[n]}, tmp_path/under, packed)
    assert is_small(mnist(full=True, folder=tmp_path), small)

def test_full_default_folders(tmp_path, monkeypatch, small, offline):
    lay(small, tmp_path/'env', True)
    lay(small, tmp_path/'home'/'.cache'/'backprop_nb', False)
    monkeypatch.setenv('HOME', str(tmp_path/'home'))
    monkeypatch.setenv('USERPROFILE', str(tmp_path/'home'))
    monkeypatch.setenv('BACKPROP_NB_DATA', str(tmp_path/'env'))
    assert is_small(mnist(full=True), small)
    shutil.rmtree(tmp_path/'home')
    assert is_small(mnist(full=True), small) # from the environment variable's folder alone
    lay(small, tmp_path/'home'/'.cache'/'backprop_nb', False)
    shutil.rmtree(tmp_path/'env')
    for value in (None, ''):
        if value is None: monkeypatch.delenv('BACKPROP_NB_DATA')
        else: monkeypatch.setenv('BACKPROP_NB_DATA', value)
        assert is_small(mnist(full=True), small)
    assert is_small(mnist(full=True, folder='~/.cache/backprop_nb'), small)

@pytest.mark.parametrize('packed', [True, False])
@pytest.mark.parametrize('name', full_names)
@pytest.mark.parametrize('damage', ['half', 'flipped', 'empty'])
def test_full_damage_is_refused(tmp_path, small, offline, name, packed, damage):
    raw = bytearray(small[name])
    raw[-1] ^= 1
    lay(small, tmp_path, packed)
    path = tmp_path/(f'{name}.gz' if packed else name)
    if damage == 'flipped': path.write_bytes(gzip.compress(raw, 1) if packed else raw)
    else: path.write_bytes(path.read_bytes()[:path.stat().st_size//2 if damage == 'half' else 0])
    with pytest.raises(RuntimeError, match='missing or damaged.*Delete this file') as e:
        mnist(full=True, folder=tmp_path)
    assert str(path) in str(e.value) and ('md5' in str(e.value)) == (damage == 'flipped')

def fake_torchvision(monkeypatch, action):
    "Put `action(root)` in the place of torchvision's download; returns the list of its calls."
    from torchvision import datasets
    calls = []
    def MNIST(root, train=True, transform=None, target_transform=None, download=False):
        calls.append((root, download))
        action(Path(root))
    monkeypatch.setattr(datasets, 'MNIST', MNIST)
    return calls

def test_download(tmp_path, monkeypatch, small, offline, no_pickle):
    folder = tmp_path/'new'/'place'
    calls = fake_torchvision(monkeypatch, lambda root: lay(small, root/'MNIST'/'raw', False))
    assert is_small(mnist(full=True, folder=folder), small)
    assert is_small(mnist(full=True, folder=folder), small)
    (root, download), = calls # once; then the files are there
    assert download and Path(root).parent == folder and not Path(root).exists()

def test_download_completes_a_folder(tmp_path, monkeypatch, small, offline):
    name = 't10k-labels-idx1-ubyte'
    lay({n: raw for n, raw in small.items() if n != name}, tmp_path, True)
    rest = {name: small[name]}
    calls = fake_torchvision(monkeypatch, lambda root: lay(rest, root/'MNIST'/'raw', False))
    assert is_small(mnist(full=True, folder=tmp_path), small) and len(calls) == 1

def test_downloaded_files_are_verified(tmp_path, monkeypatch, small, offline):
    bad = small | {'t10k-labels-idx1-ubyte': idx((5,), [1, 2, 3, 4, 5])}
    fake_torchvision(monkeypatch, lambda root: lay(bad, root/'MNIST'/'raw', False))
    with pytest.raises(RuntimeError, match='t10k-labels-idx1-ubyte.*md5'):
        mnist(full=True, folder=tmp_path)

def says_what_to_do(e, folder):
    "Does the error tell the folder, the four files and the sample?"
    text = str(e.value)
    return all(w in text for w in (str(folder), *full_names, 'mnist()', 'could not be fetched'))

@pytest.mark.parametrize('error', [
    URLError('no route to host'), ConnectionResetError('reset'), TimeoutError('slow'),
    RuntimeError('Error downloading train-images'), EOFError('half a file')])
def test_failed_download(tmp_path, monkeypatch, small, error):
    def fail(root): raise error
    fake_torchvision(monkeypatch, fail)
    with pytest.raises(RuntimeError) as e: mnist(full=True, folder=tmp_path)
    assert says_what_to_do(e, tmp_path)
    assert e.value.__cause__ is error and str(error) in str(e.value)

def test_interrupted_download_is_not_swallowed(tmp_path, monkeypatch, small):
    def stop(root): raise KeyboardInterrupt
    fake_torchvision(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt): mnist(full=True, folder=tmp_path)

def test_download_that_leaves_nothing(tmp_path, monkeypatch, small):
    fake_torchvision(monkeypatch, lambda root: None)
    with pytest.raises(RuntimeError, match='files are still missing') as e:
        mnist(full=True, folder=tmp_path)
    assert says_what_to_do(e, tmp_path)

def test_torchvision_itself_without_network(tmp_path, offline):
    "No stand-in here: torchvision's own download, with the network cut."
    with pytest.raises(RuntimeError, match='no network in this test') as e:
        mnist(full=True, folder=tmp_path)
    assert says_what_to_do(e, tmp_path)

def test_old_pickled_files_are_not_read(tmp_path, monkeypatch, small, no_pickle):
    (tmp_path/'MNIST'/'processed').mkdir(parents=True)
    for n in ('training.pt', 'test.pt'): (tmp_path/'MNIST'/'processed'/n).write_bytes(b'anything')
    def lay_where_none_is(root):
        assert not [*root.iterdir()]
        lay(small, root/'MNIST'/'raw', False)
    fake_torchvision(monkeypatch, lay_where_none_is)
    assert is_small(mnist(full=True, folder=tmp_path), small)

def test_first_loads_at_once(tmp_path, monkeypatch, small, offline):
    "All fetch at the same time, some slowly; none reads what another has half written."
    together, pauses = threading.Barrier(4), [0, .002, .004, .008]
    def slowly(root):
        (root/'MNIST'/'raw').mkdir(parents=True, exist_ok=True)
        pause = pauses.pop()
        together.wait(60)
        for n, raw in small.items():
            with open(root/'MNIST'/'raw'/n, 'wb') as f:
                for k in range(0, len(raw), 1 + len(raw)//5):
                    f.write(raw[k:k + 1 + len(raw)//5]); f.flush(); time.sleep(pause)
    fake_torchvision(monkeypatch, slowly)
    with ThreadPoolExecutor(4) as pool:
        got = [*pool.map(lambda k: mnist(full=True, folder=tmp_path), range(4))]
    assert all(is_small(m, small) for m in got)
    assert sorted(p.name for p in tmp_path.rglob('*') if p.is_file()) == sorted(small)

def test_a_failed_download_leaves_nothing(tmp_path, monkeypatch, small):
    def half(root):
        lay(small, root/'MNIST'/'raw', False)
        raise OSError(28, 'No space left on device')
    fake_torchvision(monkeypatch, half)
    with pytest.raises(FileError, match='No space left') as e: mnist(full=True, folder=tmp_path)
    assert says_what_to_do(e, tmp_path) and not [p for p in tmp_path.rglob('*') if p.is_file()]

# ---- files that promise much, and other errors of the system

def bomb(path, n):
    "A packed file that would unpack to about `n` bytes, with the head of that many labels."
    zeros = gzip.compress(bytes(2**24))
    head = struct.pack('>4BI', 0, 0, 8, 1, min(n, 2**32 - 1))
    with open(path, 'wb') as f:
        f.write(gzip.compress(head))
        for _ in range(n >> 24): f.write(zeros)

@pytest.mark.parametrize('packed', [True, False])
def test_bombs_are_refused_by_size(tmp_path, monkeypatch, small, packed):
    resource = pytest.importorskip('resource')
    lay(small, tmp_path, packed)
    path = tmp_path/('train-labels-idx1-ubyte' + '.gz'*packed)
    if packed: bomb(path, 2**32)
    else: os.truncate(path, 2**40)  # of zeros that take no room
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileError, match='more than 47,040,016 bytes') as e:
        mnist(full=True, folder=tmp_path)
    assert str(path) in str(e.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB

def test_a_header_that_promises_much():
    with pytest.raises(ValueError, match='expected'):
        data._idx(struct.pack('>4B3I', 0, 0, 8, 3, *[2**32 - 1]*3) + bytes(100))

@pytest.mark.parametrize('error', [PermissionError(13, 'Permission denied'),
                                   IsADirectoryError(21, 'Is a directory'),
                                   OSError(5, 'Input/output error')])
def test_errors_of_the_system_are_worded(tmp_path, monkeypatch, small, error):
    lay(small, tmp_path, True)
    def refuse(*args, **how): raise error
    monkeypatch.setattr(Path, 'open', refuse)
    with pytest.raises(FileError, match=f'cannot be read.*{error.strerror}'):
        mnist(full=True, folder=tmp_path)

@pytest.mark.parametrize('folder', ['n'*5000, 'file', 'file/below', '~nobody-here/mnist'])
def test_odd_folders(tmp_path, monkeypatch, small, folder):
    (tmp_path/'file').write_text('')
    monkeypatch.chdir(tmp_path)
    fake_torchvision(monkeypatch, lambda root: None)
    with pytest.raises(FileError, match=folder[:20]): mnist(full=True, folder=folder)
    assert [p.name for p in tmp_path.iterdir()] == ['file']

# ---- all of MNIST: on its own files

@needs_real
def test_full_split(offline, no_pickle):
    m = mnist(full=True, folder=real)
    (x, y), (xt, yt) = contents('train'), contents('t10k')
    for part, pixels, labels in ((m.train, x[:50_000*784], y[:50_000]),
                                 (m.valid, x[50_000*784:], y[50_000:]), (m.test, xt, yt)):
        got, lab = part[:]
        assert got.shape == (len(labels), 784)
        assert got.dtype == torch.float32 and lab.dtype == torch.int64
        want = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(-1, 784)
        assert torch.equal((got*255).round().to(torch.uint8), want)
        assert bytes(lab.tolist()) == labels
    assert [len(p) for p in m] == [50_000, 10_000, 10_000]
    assert m.train[:10][1].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]

@needs_real
def test_full_torchvision_layout_and_torchvision_agrees(tmp_path, offline, no_pickle):
    lay({n: unpacked(real, n) for n in full_names}, tmp_path/'MNIST'/'raw', False)
    m = mnist(full=True, folder=tmp_path)
    from torchvision import datasets
    tv = datasets.MNIST(str(tmp_path), train=True, download=False)
    assert_close(m.train[:100][0], tv.data[:100].flatten(1) / 255)
    assert torch.equal(m.valid.tensors[1], tv.targets[50_000:])
    assert torch.equal(m.test.tensors[1], datasets.MNIST(str(tmp_path), train=False).targets)

@needs_real
def test_full_damaged(tmp_path, offline):
    files = {n: unpacked(real, n) for n in full_names}
    raw = bytearray(files['t10k-images-idx3-ubyte'])
    raw[4_000_000] ^= 1
    lay(files | {'t10k-images-idx3-ubyte': raw}, tmp_path, False)
    with pytest.raises(RuntimeError, match='t10k-images-idx3-ubyte is missing or damaged.*md5'):
        mnist(full=True, folder=tmp_path)
    lay({'t10k-images-idx3-ubyte': raw[:5_000_000]}, tmp_path, False)
    says = 'it has 5,000,000 bytes unpacked, expected 7,840,016 for 10000 x 28 x 28'
    with pytest.raises(RuntimeError, match=says):
        mnist(full=True, folder=tmp_path)

@needs_real
def test_download_of_the_real_files(tmp_path, monkeypatch, offline):
    files = {n: unpacked(real, n) for n in full_names}
    fake_torchvision(monkeypatch, lambda root: lay(files, root/'MNIST'/'raw', False))
    assert [len(p) for p in mnist(full=True, folder=tmp_path)] == [50_000, 10_000, 10_000]

# ---- the cut

@pytest.fixture(scope='module')
def fresh_cut(): return make_sample.cut(real)

def test_fingerprints_are_those_of_the_package():
    for n in sample_names:
        raw = gzip.decompress((sample/f'{n}.gz').read_bytes())
        assert hashlib.sha256(raw).hexdigest() == data._sha256[n]

@needs_real
def test_make_sample_check_reproduces_the_package():
    tool = repo/'tools'/'make_sample.py'
    r = subprocess.run([sys.executable, tool, real, '--check', '--out', sample],
                       capture_output=True, text=True)
    assert r.returncode == 0 and 'is what a fresh cut gives' in r.stdout, r.stderr

@needs_real
def test_make_sample_writes_what_it_checks(tmp_path, fresh_cut, capsys):
    readme = make_sample.readme
    packing.write(fresh_cut, readme, tmp_path, make_sample.max_bytes)
    assert packing.check(fresh_cut, readme, tmp_path) == []
    assert len(data._sample(tmp_path).train) == 10_000
    printed = capsys.readouterr().out
    assert all(f'{n!r}: {h!r}' in printed for n, h in data._sha256.items())
    _repack(_flip(-1))(tmp_path/'valid-labels-idx1-ubyte.gz')
    (tmp_path/'train-images-idx3-ubyte.gz').unlink()
    (tmp_path/'README.md').write_text('else')
    bad = ['train-images-idx3-ubyte.gz', 'valid-labels-idx1-ubyte.gz', 'README.md']
    assert packing.check(fresh_cut, readme, tmp_path) == bad

@needs_real
def test_sample_comes_from_the_training_file_with_its_labels():
    (x, y), (xt, _) = contents('train'), contents('t10k')
    label = {x[784*i:784*(i+1)]: k for i, k in enumerate(y)}
    test = {xt[i:i+784] for i in range(0, len(xt), 784)}
    for part in mnist()[:2]:
        pixels, labels = (part.tensors[0]*255).round().to(torch.uint8), part.tensors[1]
        for row, k in zip(pixels.tolist(), labels.tolist()):
            assert label[bytes(row)] == k and bytes(row) not in test

def test_make_sample_refuses_other_files(tmp_path, small):
    with pytest.raises(SystemExit, match='found none of'): make_sample.cut(tmp_path)
    lay(small, tmp_path/'MNIST'/'raw', True)
    says = 'train-images-idx3-ubyte.gz is not the published file: md5'
    with pytest.raises(SystemExit, match=says): make_sample.cut(tmp_path)
    (tmp_path/'train-images-idx3-ubyte.gz').write_bytes(b'\x1f\x8bhalf')
    with pytest.raises(SystemExit, match='cannot be read'): make_sample.cut(tmp_path)

# ---- two_moons

@pytest.mark.parametrize('n', [0, 1, 2, 7, 200])
def test_two_moons_shapes(n):
    X, y = two_moons(n)
    assert X.shape == (n, 2) and X.dtype == torch.float32
    assert y.shape == (n,) and y.dtype == torch.int64
    assert torch.bincount(y, minlength=2).tolist() == [n - n//2, n//2]

def test_two_moons_geometry():
    X, y = two_moons(400, noise=0)
    upper, lower = X[y == 0], X[y == 1]
    assert_close(upper.norm(dim=1), torch.ones(200))
    assert_close((lower - torch.tensor([1, 0.5])).norm(dim=1), torch.ones(200))
    assert (upper[:, 1] > -1e-6).all() and (lower[:, 1] < 0.5 + 1e-6).all()

def test_two_moons_noise():
    "The same seed gives the same noise, which grows with `noise`."
    clean, a, b = (two_moons(4000, noise=s, seed=3)[0] for s in (0, 0.1, 0.2))
    assert_close(b - clean, 2*(a - clean), rtol=1e-4, atol=1e-5)
    assert 0.095 < (a - clean).std() < 0.105

def test_two_moons_own_generator():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a = two_moons(50, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    b, c = two_moons(50, seed=1), two_moons(50, seed=2)
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and not torch.equal(a[0], c[0])
    assert 5 < (a[1][1:] != a[1][:-1]).sum() # shuffled

@pytest.mark.parametrize('kw, words', [
    (dict(n=-1), 'n is -1, want 0 or more'), (dict(noise=-0.1), 'noise is -0.1, want 0 <= noise'),
    *((dict(noise=bad), f'noise is {bad}, want 0 <= noise < inf') for bad in (math.nan, math.inf)),
    (dict(seed=-1), 'seed is -1, want 0 or more'),
    (dict(seed=2**63), f'seed is {2**63}, want at most {2**63 - 1}')])
def test_two_moons_errors(kw, words):
    with pytest.raises(ValueError, match=f'two_moons: {words}'): two_moons(**kw)

def test_two_moons_large_seeds_differ():
    points = [two_moons(50, seed=s)[0] for s in (0, 2**63 - 2, 2**63 - 1)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(points, 2))

def test_two_moons_noise_of_any_kind():
    for noise in np.float64(.25), np.float32(.25), Fraction(1, 4):
        assert torch.equal(two_moons(50, noise)[0], two_moons(50, .25)[0])

# ---- show_digits

@pytest.fixture
def figure(monkeypatch):
    "A function that shows digits; it returns the numbers of the picture, and titles with colours."
    monkeypatch.setattr(plt, 'show', lambda *a, **k: None)
    def f(*args, **kw):
        plt.close('all')
        assert show_digits(*args, **kw) is None
        if not plt.get_fignums(): return None
        ax = plt.gca()
        im = torch.from_numpy(ax.images[0].get_array().filled(float('nan')))
        return im, [(t.get_text(), to_hex(t.get_color())) for t in ax.texts]
    yield f
    plt.close('all')

@pytest.mark.parametrize('n,cols,rows', [(1, 10, 1), (10, 10, 1), (11, 10, 2), (7, 3, 3)])
def test_show_digits_places_each_digit_upright(figure, n, cols, rows):
    x = torch.rand(n, 784)
    im, titles = figure(x, cols=cols)
    assert titles == [] and im.shape == (rows*32, min(n, cols)*32)
    for i in range(n):
        r, c = i//cols*32, i%cols*32
        assert_close(im[r+4:r+32, c+2:c+30], x[i].reshape(28, 28), check_dtype=False)
    assert (~im.isnan()).sum() == n*784
    assert torch.equal(figure(x.reshape(n, 28, 28), cols=cols)[0].nan_to_num(-1), im.nan_to_num(-1))

def test_show_digits_titles(figure):
    x, grey, blue, red = torch.rand(3, 784), '#444444', '#0072b2', '#d55e00'
    y, pred = torch.tensor([3, 1, 4]), torch.tensor([3, 7, 4])
    assert figure(x, y)[1] == [('3', grey), ('1', grey), ('4', grey)]
    assert figure(x, pred=pred)[1] == [('3', grey), ('7', grey), ('4', grey)]
    assert figure(x, y, pred)[1] == [('3', blue), ('7 (is 1)', red), ('4', blue)]
    lists = figure(x, [3, 1, 4], [3, 7, 4])[1]
    assert figure(x, y.float(), pred)[1] == lists == figure(x, y, pred)[1]

def test_show_digits_other_kinds_of_tensors(figure):
    assert figure(torch.zeros(0, 784), torch.zeros(0)) is None
    assert figure(torch.rand(2, 784, requires_grad=True)) is not None
    assert figure(torch.randint(0, 256, (2, 28, 28), dtype=torch.uint8)) is not None
    assert figure(torch.randn(784, 4).double().T) is not None  # not contiguous, some negative

@pytest.mark.parametrize('args,words', [
    ((torch.zeros(784),),
     r'show_digits: x has shape \(784,\), want \(N, 784\) or \(N, 28, 28\).*x\[:1\]'),
    ((torch.zeros(28, 28),), r'\(28, 28\), want'),
    ((torch.zeros(3, 700),), r'\(3, 700\), want'),
    ((torch.zeros(2, 1, 28, 28),), r'\(2, 1, 28, 28\), want'),
    ((torch.tensor(1.),), r'\(\), want'),
    ((torch.zeros(2000, 784),), 'at most 1000'),
    ((torch.zeros(2, 784), torch.zeros(3)), r'y has shape \(3,\), want \(2,\)'),
    ((torch.zeros(2, 784), torch.zeros(2, 1)), r'y has shape \(2, 1\), want \(2,\)'),
    ((torch.zeros(2, 784), torch.zeros(2), torch.zeros(1)),
     r'pred has shape \(1,\), want \(2,\)'),
    ((torch.zeros(2, 784), None, None, 0), 'show_digits: cols is 0')])
def test_show_digits_errors(figure, args, words):
    with pytest.raises(ValueError, match=words): figure(*args)
