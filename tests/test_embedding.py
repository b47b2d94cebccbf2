"""What chapter 13 does not hold itself: its gradient against aten's own entry by entry, the slips
of the field against the checks in common use, the names in the package."""
import gzip, hashlib, shutil
from pathlib import Path
import pytest, torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from backprop_nb import embedding as module
from backprop_nb.embedding import Embedding, embedding, embedding_grad, names
from backprop_nb.gradcheck import check_grads, refused
from backprop_nb.module import Lin, Model
from backprop_nb.conv import Flatten
from backprop_nb.softmax import CrossEntropy
from backprop_nb.training import SGD, accuracy, fit, load_state, save_state

TEXT = Path(module.__file__).parent/'text'

# ---- the gradient

@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('shape', [(), (5,), (3, 4), (2, 3, 5), (0,), (2, 0, 3), (700,)])
def test_as_aten(shape, dtype):
    "Entry by entry `embedding_dense_backward`, with repeated rows and rows that nobody asked for."
    torch.manual_seed(0)
    idx, w = torch.randint(6, shape), torch.randn(9, 4, dtype=dtype)
    out = embedding(idx, w)
    out.g = torch.randn_like(out)
    embedding_grad(idx, out, w)
    assert_close(w.g, torch.ops.aten.embedding_dense_backward(out.g, idx, 9, -1, False))
    assert torch.equal(out, F.embedding(idx, w)) and not w.g[6:].any()

def test_module_as_torch():
    torch.manual_seed(0)
    idx, w = torch.randint(7, (3, 5)), torch.randn(7, 4)
    ours, theirs = Embedding(w), nn.Embedding.from_pretrained(w.clone(), freeze=False)
    out, want = ours(idx), theirs(idx)
    out.g = torch.randn_like(out)
    ours.backward()
    want.backward(out.g)
    assert_close(out, want.detach())
    assert_close(w.g, theirs.weight.grad)
    assert not hasattr(idx, 'g') and [n for n, _ in ours.named_parameters()] == ['w']

def test_forward_leaves_the_table_alone():
    "What goes out is a copy: a write into it does not reach the table."
    w = torch.randn(4, 3)
    kept = w.clone()
    for idx in torch.tensor(1), torch.tensor([1, 2]): embedding(idx, w).zero_()
    assert torch.equal(w, kept)

def test_trains_evaluates_and_comes_back(tmp_path):
    "`fit`, `accuracy`, `predict` and saved states take whole numbers as inputs."
    def fresh():
        torch.manual_seed(0)
        return Model([Embedding(torch.randn(5, 3)), Flatten(),
                      Lin(torch.randn(6, 5), torch.zeros(5))], CrossEntropy())
    model, x = fresh(), torch.randint(5, (200, 2))
    data = x, x[:, 1]                                   # the answer is the second symbol
    opt = SGD(model.parameters(), lr=0.5)
    fit(model, opt, data, 30, valid=data, progress=False)
    assert accuracy(model, data) > 0.95 and model.predict(x).shape == (200, 5)
    save_state(tmp_path/'a', model)
    other = fresh()
    load_state(tmp_path/'a', other)
    assert torch.equal(other.predict(x), model.predict(x))

# ---- slips of the field, and which check in common use would let them through

def table(change):
    "A gradient function that changes what the right one gives."
    def slip(idx, out, w): embedding_grad(idx, out, w); w.g = change(idx, out, w)
    return slip

def rows(idx, g, w): return torch.zeros_like(w).index_add_(0, idx.flatten(), g.flatten(0, -2))

def overwritten(idx, out, w): w.g = torch.zeros_like(w); w.g[idx] += out.g
def deaf(idx, out, w): w.g = rows(idx, torch.ones_like(out.g), w)
def flat_only(idx, out, w):
    "The last axis but one is taken for the only one; more are looked at in part."
    one = (idx, out.g) if idx.dim() == 1 else (idx[-1], out.g[-1])
    w.g = rows(*one, w)
def averaged(idx, out, w):
    w.g = rows(idx, out.g, w) / torch.bincount(idx.flatten(), minlength=len(w)).clamp(1)[:, None]
def padded(idx, out, w): w.g = rows(idx, out.g, w); w.g[0] = 0
def turned(idx, out, w): w.g = rows(idx, out.g.flip(-1), w)
slightly = table(lambda idx, out, w: w.g * 1.01)

SLIPS = [overwritten, deaf, flat_only, averaged, padded, turned, slightly]

def same(slip, idx, w, up=None, atol=1e-6):
    "Does a comparison with autograd let the slip pass?"
    leaf = w.clone().requires_grad_()
    out = F.embedding(idx, leaf)
    up = torch.ones_like(out) if up is None else up
    want, = torch.autograd.grad(out, leaf, up)
    ours = embedding(idx, w)
    ours.g = up
    slip(idx, ours, w)
    return torch.allclose(w.g, want, rtol=0, atol=atol)

def drawn(*shape, **how):
    torch.manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64, **how)

ONCE, TWICE = torch.tensor([2, 1, 4]), torch.tensor([[2, 1, 2], [0, 2, 1]])
COMMON = {  # name of a check in common use: does it let the slip pass?
    'sum().backward()': lambda slip: same(slip, TWICE, drawn(5, 4)),
    'weights of 1': lambda slip: same(slip, TWICE, torch.ones(5, 4).double(), drawn(2, 3, 4)),
    'one axis of examples': lambda slip: same(slip, TWICE[0], drawn(5, 4), drawn(3, 4)),
    'no repeated index': lambda slip: same(slip, ONCE, drawn(5, 4), drawn(3, 4)),
    'atol 2e-2': lambda slip: same(slip, TWICE, drawn(5, 4), 0.5*drawn(2, 3, 4), atol=2e-2),
    'one rank': lambda slip: same(slip, TWICE, drawn(5, 4), drawn(2, 3, 4)),
}
PASSES = {  # which of them lets which slip pass
    'sum().backward()': {deaf, turned}, 'weights of 1': set(),
    'one axis of examples': {flat_only, padded},
    'no repeated index': {overwritten, flat_only, averaged, padded},
    'atol 2e-2': {slightly}, 'one rank': set(),
}

@pytest.mark.parametrize('check', COMMON)
def test_what_common_checks_let_pass(check):
    assert {slip for slip in SLIPS if COMMON[check](slip)} == PASSES[check]

@pytest.mark.parametrize('slip', SLIPS, ids=lambda f: f.__name__)
def test_our_check_refuses(slip):
    if slip is slightly: slip = table(lambda idx, out, w: w.g * 1.01)
    assert 'w.g is wrong' in refused(check_grads, embedding, slip, TWICE, torch.randn(5, 4))

# ---- the names

def test_names():
    parts = names()
    all = sum(parts, [])
    assert [*map(len, parts)] == [4130, 516, 517] and len({*all}) == 5163
    assert all == sorted(all, key=lambda n: hashlib.sha256(f'backprop_nb 1 {n}'.encode()).digest())
    assert {*''.join(all)} == {*'abcdefghijklmnopqrstuvwxyz'} and {'mary', 'james'} < {*all}

def test_names_are_lists_of_ones_own():
    names().train.clear()
    assert len(names().train) == 4130

def damaged(path, change):
    shutil.copytree(TEXT, path, dirs_exist_ok=True)
    change(path/'names.txt.gz')
    with pytest.raises(RuntimeError, match='names.txt.gz') as e: module._names_from(path)
    return str(e.value)

@pytest.mark.parametrize('change, says', [
    (lambda p: p.unlink(), 'missing or damaged'),
    (lambda p: p.write_bytes(p.read_bytes()[:-9]), 'missing or damaged'),
    (lambda p: p.write_bytes(b'no gzip'), 'missing or damaged'),
    (lambda p: p.write_bytes(gzip.compress(b'mary\n')), 'have the sha256'),
    (lambda p: p.write_bytes(gzip.compress(bytes(2**20 + 1))), 'more than 1,048,576 bytes'),
    (lambda p: p.write_bytes(p.read_bytes()[:40] + b'??' + p.read_bytes()[42:]), 'damaged')])
def test_damage_is_refused(tmp_path, change, says):
    said = damaged(tmp_path, change)
    assert says in said and 'pip install --force-reinstall' in said and said.endswith('files)')

def test_a_folder_in_its_place(tmp_path):
    said = damaged(tmp_path, lambda p: (p.unlink(), p.mkdir()))
    assert 'cannot be read' in said or 'missing or damaged' in said
