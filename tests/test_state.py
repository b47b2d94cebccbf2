"""Saved states, steps, interrupts: what raises changes nothing, and nothing is ever half done."""
import json, os, signal, subprocess, sys, threading
from fractions import Fraction
from pathlib import Path
import numpy as np, pytest, torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.testing import assert_close
from backprop_nb.all import *
from backprop_nb.clinic import ClinicError, FileError, RangeError
from backprop_nb.training import _digest

class Shifted(Module):
    "A layer with a buffer, which it changes while it learns."
    not_learned = 'mean',
    def __init__(self, d): self.mean, self.scale = torch.zeros(d), torch.ones(d)
    def forward(self, inp):
        if self.training: self.mean = 0.9*self.mean + 0.1*inp.mean(0)
        return (inp - self.mean) * self.scale
    def bwd(self, out, inp): inp.g, self.scale.g = out.g * self.scale, (out.g*inp).sum(0)

def make(optimiser=Adam, seed=0, **how):
    torch.manual_seed(seed)
    model = Model([*mlp(3, 4), Shifted(4), Relu(), *mlp(4, 2)], CrossEntropy())
    return model, optimiser(model.parameters(), 0.01, **how)

def data(n=12):
    g = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, generator=g), torch.arange(n) % 2

def everything(model, opt):
    "All numbers that a state holds, as copies."
    moments = [t for name in opt.moments for t in getattr(opt, name)]
    return [t.clone() for t in (*model.state().values(), *moments)], opt.t, opt.lr

def same(a, b): return all(map(torch.equal, a[0], b[0])) and a[1:] == b[1:]

@pytest.fixture
def saved(tmp_path):
    model, opt = make()
    history = fit(model, opt, data(), 2, data(), 5, progress=False)
    save_state(tmp_path/'net.safetensors', model, opt, history)
    return tmp_path/'net.safetensors', model, opt, history

# ---- there and back

def test_all_of_it(saved):
    path, model, opt, history = saved
    other = make(seed=3)
    assert load_state(path, *other) == history and same(everything(*other), everything(model, opt))
    for m, o in (model, opt), other: fit(m, o, data(), 1, batch_size=5, progress=False)
    assert same(everything(*other), everything(model, opt))

@pytest.mark.parametrize('entry', [None, 1, .5, float('inf'), 10**30, Fraction(1, 4),
                                   np.float32(.25), np.float64(.1), np.int64(3)], ids=repr)
def test_a_history_that_is_saved_can_be_read(tmp_path, entry):
    history = History([entry, 2.], [None, entry], [entry, None])
    save_state(tmp_path/'a', *make(), history)
    assert load_state(tmp_path/'a', *make()) == history

def test_no_history_no_file(tmp_path):
    for entry in 'a', True, [1.], torch.ones(()), 1j:
        history = History([entry], [1], [1])
        with pytest.raises(RangeError): save_state(tmp_path/'a', *make(), history)
        assert not any(tmp_path.iterdir())

def test_names_in_the_file(saved):
    path, model, *_ = saved
    with safe_open(path, 'pt') as f: names = {*f.keys()}
    params = [n for n, _ in model.named_parameters()]
    assert names == {*model.state(), *(f'opt.{m}.{n}' for m in 'mv' for n in params)}
    assert 'layers.1.mean' in names and 'opt.m.layers.1.mean' not in names

def test_weights_alone(saved, tmp_path):
    path, model, *_ = saved
    for file in path, tmp_path/'weights.safetensors':
        other, opt = make(seed=3)
        save_state(tmp_path/'weights.safetensors', model)
        load_state(file, other)
        assert all(map(torch.equal, other.state().values(), model.state().values())) and opt.t == 0
    with pytest.raises(RuntimeError, match='holds no optimizer'):
        load_state(tmp_path/'weights.safetensors', other, opt)

def test_parameters_of_torch(tmp_path):
    a, b = (Lin(torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(2)))
            for _ in 'ab')
    save_state(tmp_path/'lin', a)
    load_state(tmp_path/'lin', b)
    assert torch.equal(a.w, b.w) and b.w.requires_grad

def test_what_cannot_be_written_into(tmp_path):
    a, b = Lin(torch.randn(3, 2), torch.ones(2)), Lin(torch.randn(3, 2), torch.ones(1).expand(2))
    save_state(tmp_path/'lin', a)
    before = b.w.clone()
    with pytest.raises(RuntimeError, match='b cannot be written'): load_state(tmp_path/'lin', b)
    assert torch.equal(b.w, before)

def test_a_single_layer(tmp_path):
    a, b = (Lin(torch.randn(3, 2), torch.randn(2)) for _ in 'ab')
    save_state(tmp_path/'lin', a)
    load_state(tmp_path/'lin', b)
    assert torch.equal(a.w, b.w) and torch.equal(a.b, b.b)

def test_files_from_before_names():
    "Saved by version 0.1.0, when tensors were numbered."
    path = Path(__file__).parent/'data'/'state_0.1.safetensors'
    model = Model(mlp(3, 4, 2), CrossEntropy())
    opt = Adam(model.parameters(), 1.)
    history = load_state(path, model, opt)
    assert len(history) == 2 and opt.t == 6 and opt.lr == 0.01
    assert_close(torch.stack([p.sum() for p in model.parameters()]), torch.tensor(
        [-3.111496686935425, -0.699873149394989, 0.9472489356994629, 1.4556641578674316]))
    assert all(m.any() and (v > 0).any() for m, v in zip(opt.m, opt.v))
    load_state(path, Model(mlp(3, 4, 2), CrossEntropy()))
    with pytest.raises(RuntimeError, match='layers.2.w is'):
        load_state(path, Model(mlp(3, 4, 3), CrossEntropy()))
    with pytest.raises(RuntimeError, match='layers.4.w is missing'):
        load_state(path, Model(mlp(3, 4, 2, 2), CrossEntropy()))

# ---- what does not fit is named, and nothing changes

@pytest.mark.parametrize('other, words', [
    (lambda: Model([*mlp(3, 4), Relu(), *mlp(4, 2)], CrossEntropy()), 'layers.2.w is missing'),
    (lambda: Model([*mlp(3, 5), Shifted(5), Relu(), *mlp(5, 2)], CrossEntropy()),
     r'layers.0.w is \(3, 4\)'),
    (lambda: Model([*mlp(3, 4), Shifted(4), Relu(), *mlp(4, 2), Shifted(2)], CrossEntropy()),
     'layers.4.mean is missing')])
@pytest.mark.parametrize('alone', [True, False])
def test_names_that_do_not_fit(saved, other, words, alone):
    model = other()
    opt = Adam(model.parameters(), 0.01)
    before = everything(model, opt)
    with pytest.raises(RuntimeError, match=words): load_state(saved[0], model, *[opt]*(not alone))
    assert same(everything(model, opt), before)

def spoiled(about, **change):
    "The description with another entry, or without one."
    about = {**about, **change}
    return {k: v for k, v in about.items() if v is not KeyError}

H = {'train_loss': [1., 1.], 'valid_loss': [1., None], 'valid_acc': [None, None]}
ODD = {'no t': dict(t=KeyError), 't below 0': dict(t=-1), 't a float': dict(t=1.5),
       't true': dict(t=True), 't a text': dict(t='7'), 't huge': dict(t=10**30),
       'lr huge': dict(lr=1e39), 'lr a whole number too large': dict(lr=10**400),
       'no lr': dict(lr=KeyError), 'lr below 0': dict(lr=-1.), 'lr nan': dict(lr=float('nan')),
       'lr a text': dict(lr='fast'), 'lr none': dict(lr=None), 'no kind': dict(kind=KeyError),
       'another kind': dict(kind=['SGD', {}]), 'kind a number': dict(kind=3),
       'no history': dict(history=KeyError), 'history a list': dict(history=[]),
       'a column missing': dict(history={k: H[k] for k in ('train_loss', 'valid_acc')}),
       'a column more': dict(history={**H, 'more': []}),
       'columns of two lengths': dict(history={**H, 'valid_acc': [None]}),
       'a column no list': dict(history={**H, 'valid_acc': 'ab'}),
       'a text in a column': dict(history={**H, 'valid_acc': [None, 'high']}),
       'truth in a column': dict(history={**H, 'valid_acc': [None, True]})}

@pytest.mark.parametrize('what', ODD)
def test_odd_descriptions(saved, what):
    path, model, opt, _ = saved
    with safe_open(path, 'pt') as f:
        tensors, meta = {n: f.get_tensor(n) for n in f.keys()}, f.metadata()
    text = json.dumps(spoiled(json.loads(meta['backprop_nb']), **ODD[what]))
    save_file(tensors, path, {'backprop_nb': text, 'sha256': _digest(text, tensors)})
    refused_and_unchanged(path)

@pytest.mark.parametrize('text', ['', 'null', '[]', '3', '{', '{}', '"a"', 'NaN', '['*5000])
def test_descriptions_that_are_none(saved, text):
    path, *_ = saved
    with safe_open(path, 'pt') as f: tensors = {n: f.get_tensor(n) for n in f.keys()}
    save_file(tensors, path, {'backprop_nb': text, 'sha256': _digest(text, tensors)})
    refused_and_unchanged(path)

@pytest.mark.parametrize('raw', [b'', b'x', b'\0'*8, b'\xff'*8, b'\0'*100, b'\xff'*100,
                                 (8).to_bytes(8, 'little') + b'{}      '])
def test_bytes_that_are_no_state(tmp_path, raw):
    (tmp_path/'net').write_bytes(raw)
    refused_and_unchanged(tmp_path/'net')

def test_no_plain_file(tmp_path):
    places = [tmp_path, tmp_path/'none', tmp_path/'none'/'none', Path(os.devnull)]
    for place in places: refused_and_unchanged(place)
    for place in tmp_path, Path(os.devnull):
        with pytest.raises(RuntimeError, match='not a plain'): save_state(place, *make())
    assert not [*tmp_path.iterdir()]

def test_far_too_large(saved):
    path, model, opt, _ = saved
    os.truncate(path, 2**40)  # of zeros that take no room
    with pytest.raises(RuntimeError, match='1,099,511,627,776 bytes'): load_state(path, model, opt)

@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no pipes in folders')
def test_a_pipe(tmp_path):
    os.mkfifo(tmp_path/'pipe'); (tmp_path/'link').symlink_to(tmp_path/'pipe')
    for name in 'pipe', 'link':
        with pytest.raises(RuntimeError, match='not a plain file'):
            save_state(tmp_path/name, *make())
        with pytest.raises(RuntimeError, match='not a plain file'):
            load_state(tmp_path/name, *make())
    assert (tmp_path/'pipe').is_fifo()

def test_errors_of_the_system_are_worded(saved, monkeypatch):
    path, model, opt, _ = saved
    before = path.read_bytes()
    for bad in path/'below', path.parent/'none'/'net', path.parent/('n'*5000):
        with pytest.raises(FileError, match='cannot be written'): save_state(bad, model, opt)
        refused_and_unchanged(bad)
    def refuse(*args): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(Path, 'read_bytes', refuse)
    refused_and_unchanged(path)
    monkeypatch.undo()
    monkeypatch.setattr(os, 'replace', refuse)
    with pytest.raises(FileError, match='Permission denied'): save_state(path, model, opt)
    assert path.read_bytes() == before and [*path.parent.iterdir()] == [path]

def test_a_zero_byte_in_a_name(saved):
    path, model, opt, _ = saved
    with pytest.raises(FileError, match='cannot be written'):
        save_state(path.parent/'a\0b', model, opt)
    with pytest.raises(FileError, match='there is no file'):
        load_state(path.parent/'a\0b', model, opt)

def test_model_and_path_the_other_way_round(saved):
    path, model, opt, _ = saved
    for f in save_state, load_state:
        with pytest.raises(ClinicError, match=f'^{f.__name__}: model is [A-Za-z]*Path, want'):
            f(model, path, opt)

def refused_and_unchanged(path):
    model, opt = make(seed=5)
    before = everything(model, opt)
    with pytest.raises(ClinicError) as e: load_state(path, model, opt)
    assert str(path) in str(e.value) and same(everything(model, opt), before)

# ---- files that are there

def test_links_and_parts_of_others(tmp_path):
    (tmp_path/'far').mkdir()
    real, link, part = tmp_path/'far'/'net', tmp_path/'net', tmp_path/'net.part'
    part.write_text("somebody's own"); real.write_text('old'); real.chmod(0o640)
    link.symlink_to(real)
    model, opt = make()
    save_state(link, model, opt)
    assert link.is_symlink() and part.read_text() == "somebody's own"
    assert real.stat().st_mode & 0o777 == 0o640 or os.name == 'nt'
    load_state(real, *make(seed=2))
    assert {p.name for p in tmp_path.rglob('*')} == {'far', 'net', 'net.part'}

def test_two_savers_at_once(tmp_path):
    "Whoever comes last has it; what is there at any moment is whole."
    path, models = tmp_path/'net', [make(seed=s) for s in range(4)]
    save_state(path, *models[0])
    errors, done = [], threading.Event()
    def save(pair):
        try:
            for _ in range(25): save_state(path, *pair)
        except BaseException as e: errors.append(e)
    def load():
        while not done.is_set():
            try: load_state(path, *make())
            except BaseException as e: errors.append(e)
    savers = [threading.Thread(target=save, args=[m]) for m in models]
    reader = threading.Thread(target=load)
    for t in (reader, *savers): t.start()
    for t in savers: t.join()
    done.set(); reader.join()
    assert not errors and [p.name for p in tmp_path.iterdir()] == ['net']

# ---- a step is whole or not at all

BAD = {'none': lambda p: None, 'a number': lambda p: 1., 'another shape': lambda p: torch.ones(1),
       'another dtype': lambda p: torch.ones(3).double(),
       'sparse': lambda p: torch.ones(3).to_sparse(),
       'meta': lambda p: torch.ones(3, device='meta')}
OPTIMISERS = {'SGD': SGD, 'momentum': lambda ps, lr: SGD(ps, lr, 0.9),
              'decay': lambda ps, lr: SGD(ps, lr, 0., 0.1), 'Adam': Adam}

@pytest.mark.parametrize('bad', BAD)
@pytest.mark.parametrize('name', OPTIMISERS)
def test_a_step_that_raises_changes_nothing(name, bad):
    params = [torch.ones(3) for _ in range(3)]
    opt = OPTIMISERS[name](params, 0.1)
    for turn in range(2):                              # then there is something in the moments
        for p in params: p.g = torch.randn(3)
        if turn == 0: opt.step()
    params[1].g = BAD[bad](params[1])
    moments = [t for m in opt.moments for t in getattr(opt, m)]
    before = [t.clone() for t in (*params, *moments)]
    with pytest.raises(ClinicError, match=r'params\[1\]'): opt.step()
    assert all(map(torch.equal, (*params, *moments), before)) and opt.t == 1

@pytest.mark.parametrize('name', OPTIMISERS)
def test_parameters_that_autograd_has_begun_to_watch(name):
    params = [torch.ones(3) for _ in range(2)]
    opt = OPTIMISERS[name](params, 0.1)
    for p in params: p.g = torch.ones(3)
    params[1].requires_grad_()
    with pytest.raises(TypeError, match=r'params\[1\]'): opt.step()
    assert params[0].eq(1).all() and opt.t == 0

# ---- not finite

def test_fit_stops_at_what_is_not_finite():
    x, y = 1e5*torch.randn(8, 3), torch.randn(8)
    def net(lr):
        torch.manual_seed(0)
        model = Model(mlp(3, 4, 1), Mse())
        return model, SGD(model.parameters(), lr)
    for lr, bad, words in [(1e34, None, 'no longer finite after epoch 1'),
                           (1e-20, torch.inf, 'fit: valid'), (1e-20, torch.nan, 'fit: valid: '),
                           (1e-20, 1e30, 'in epoch 1, validation; ')]:
        model, opt = net(lr)
        before, history = everything(model, opt), History()
        valid = bad and (torch.full((8, 3), bad), y)
        with pytest.raises(FloatingPointError, match=words):
            fit(model, opt, (x, y), 1, valid, 8, history=history, progress=False)
        assert same(everything(model, opt), before) and history == History()

def test_accuracy_of_nan():
    model = Model([Lin(torch.full((3, 4), torch.nan), torch.zeros(4))], CrossEntropy())
    data = torch.randn(9, 3), torch.zeros(9).long()
    with pytest.raises(FloatingPointError, match='nan'): accuracy(model, data)

# ---- Ctrl-C, held down

HELD = '''
import os, signal, sys, threading, time, torch
from backprop_nb.all import *
torch.set_num_threads(1)
class Slow(Module):
    not_learned = 'count',
    def __init__(self): self.count = torch.zeros(())
    def forward(self, inp): self.count = self.count + 1; return inp
    def bwd(self, out, inp): inp.g = out.g
model = Model([*mlp(200, 2500), Relu(), Slow(), *mlp(2500, 2000, 5)], CrossEntropy())
opt = Adam(model.parameters())
data = torch.randn(20_000, 200), torch.randint(5, (20_000,))
fit(model, opt, tuple(t[:64] for t in data), 1, progress=False)
before = [t.clone() for t in (*model.state().values(), *opt.m, *opt.v)]
history, stop, pressed = History(), threading.Event(), [0]
def press():
    time.sleep(.3)
    while not stop.is_set(): os.kill(os.getpid(), signal.SIGINT); pressed[0] += 1; time.sleep(.002)
finger = threading.Thread(target=press)
caught = 0
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    finger.start()
    fit(model, opt, data, 1, history=history, progress=False)
except KeyboardInterrupt: caught = 1
try: stop.set()
except KeyboardInterrupt: stop.set()
for _ in range(9):
    try: finger.join(); time.sleep(.05); break
    except KeyboardInterrupt: pass
whole = all(map(torch.equal, (*model.state().values(), *opt.m, *opt.v), before))
print(caught, whole, opt.t, len(history), pressed[0] > 1)
'''

@pytest.mark.skipif(os.name == 'nt', reason='signals of another kind')
def test_ctrl_c_held_down():
    r = subprocess.run([sys.executable, '-c', HELD], capture_output=True, text=True, timeout=300)
    assert r.stdout.split() == ['1', 'True', '1', '0', 'True'], (r.stdout, r.stderr[-2000:])

def test_ctrl_c_goes_back_to_whose_it_was():
    model, opt = make()
    for handler in signal.default_int_handler, lambda *_: None:
        before = signal.signal(signal.SIGINT, handler)
        try:
            fit(model, opt, data(), 1, progress=False)
            assert signal.getsignal(signal.SIGINT) is handler
        finally: signal.signal(signal.SIGINT, before)
    failed = []
    def run():
        try: fit(model, opt, data(), 1, progress=False)
        except BaseException as e: failed.append(e)
    thread = threading.Thread(target=run); thread.start(); thread.join()
    assert not failed
