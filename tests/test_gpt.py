"""The GPT of chapter 16 against autograd, step for step; its block against that of torch; the
same with the Values of chapter 00; the slips of the field, and what sees them."""
import math, weakref
import nbformat, pytest, torch
from bench import gpt_loss, turned
from run_course import ROOT
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from backprop_nb.all import (
    GPT, AdamW, Attention, Block, CrossEntropy, Model, OrderError, check_grads, clip_grads, cosine,
    load_state, refused, sample, save_state, text_loss, windows)
from backprop_nb.embedding import embedding_grad
from backprop_nb.gpt import _back_through

@pytest.fixture(autouse=True)
def doubles():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)

def shaken(module, by=.3):
    for p in module.parameters(): p.add_(by * torch.randn_like(p))
    return module

def both(gpt): return {n: p.clone().requires_grad_() for n, p in gpt.named_parameters()}

@pytest.mark.parametrize('norm', ['layer', 'rms'])
@pytest.mark.parametrize('tied', [True, False])
def test_equal_step_for_step(tied, norm):
    "20 steps of AdamW: losses and all weights."
    gpt = GPT(13, 9, 8, 2, 3, tied=tied, norm=norm)
    model, P = Model([gpt], CrossEntropy()), both(gpt)
    how = dict(lr=.01, betas=(.9, .99), eps=1e-7, weight_decay=.1)
    ours, theirs = AdamW(model.parameters(), **how), torch.optim.AdamW(P.values(), **how)
    for step in range(20):
        idx, targ = torch.randint(13, (2, 4, 9 if step % 2 else 6))
        ours.lr = theirs.param_groups[0]['lr'] = cosine(step, 20, .01, 1e-3, 4)
        loss, again = model(idx, targ), gpt_loss(turned(P), idx, targ, 2, 3, norm)
        model.backward()
        theirs.zero_grad(); again.backward()
        length = clip_grads(model.parameters(), .7)
        want = torch.cat([p.grad.flatten() for p in P.values()]).norm()
        assert_close(length, want.item())
        for p in P.values(): p.grad.mul_((.7 / want).clamp(max=1))
        for n, p in gpt.named_parameters(): assert_close(p.g, P[n].grad, rtol=1e-7, atol=1e-10)
        ours.step(); theirs.step()
        assert_close(loss, again.detach(), rtol=0, atol=1e-9)
    for n, p in gpt.named_parameters(): assert_close(p, P[n].detach(), rtol=0, atol=1e-9)

@pytest.mark.parametrize('sizes', [(3, 5, 8, 2), (1, 1, 4, 1), (2, 6, 12, 3)])
def test_block_is_torchs(sizes):
    N, T, C, heads = sizes
    block, x, up = shaken(Block(C, heads)), torch.randn(N, T, C), torch.randn(N, T, C)
    how = dict(batch_first=True, norm_first=True)
    theirs = nn.TransformerEncoderLayer(C, heads, 4*C, 0., 'gelu', **how)
    a = theirs.self_attn
    params = [theirs.norm1.weight, theirs.norm1.bias, a.in_proj_weight, a.in_proj_bias,
              a.out_proj.weight, a.out_proj.bias, theirs.norm2.weight, theirs.norm2.bias,
              theirs.linear1.weight, theirs.linear1.bias, theirs.linear2.weight,
              theirs.linear2.bias]
    with torch.no_grad():
        for p, q in zip(params, block.parameters(), strict=True):
            p.copy_(q.t() if q.dim() == 2 else q)
    y = block(x)
    y.g = up
    block.backward()
    leaf = x.clone().requires_grad_()
    out = theirs(leaf, src_mask=torch.ones(T, T, dtype=torch.bool).triu(1))
    out.backward(up)
    assert_close(y, out.detach()); assert_close(x.g, leaf.grad)
    for p, q in zip(params, block.parameters()):
        assert_close(q.g, p.grad.t() if q.dim() == 2 else p.grad)

@pytest.mark.parametrize('steps, decay', [(7, 0.), (7, .3)])
def test_adamw_is_torchs(steps, decay):
    ps = [torch.randn(3, 4), torch.randn(5)]
    qs = [p.clone().requires_grad_() for p in ps]
    how = dict(lr=.02, betas=(.8, .95), eps=1e-6, weight_decay=decay)
    ours, theirs = AdamW(ps, **how), torch.optim.AdamW(qs, **how)
    for _ in range(steps):
        for p, q in zip(ps, qs): q.grad = p.g = torch.randn_like(p)
        ours.step(); theirs.step()
    for p, q in zip(ps, qs): assert_close(p, q.detach(), rtol=1e-12, atol=1e-14)

def test_adamw_defaults():
    ours, theirs = AdamW([torch.randn(2)]), torch.optim.AdamW([torch.randn(2)]).defaults
    assert all(getattr(ours, n) == theirs[n] for n in ('lr', 'betas', 'eps', 'weight_decay'))

# ---- one number at a time

def cells(*ids):
    "What the chapter's cells of these ids define."
    nb = nbformat.read(ROOT/'nbs'/'16_gpt.ipynb', as_version=4)
    space = dict(math=math, torch=torch)
    exec('from backprop_nb.all import *\nfrom backprop_nb.gpt import *', space)
    for c in nb.cells:
        if c.id in ids: exec(c.source, space)
    return space

def test_values_and_vectors_learn_the_same():
    space = cells(*[f'e16g02{k}' for k in (74, 69, 75, 76, 70, 77)])
    fast, slow, took = space['both_losses'](['ida', 'bo', 'ab'])
    assert_close(torch.tensor(fast), torch.tensor(slow), rtol=0, atol=1e-9)
    assert fast[0] != fast[1]
    matrices = space['scalar_pair']()[1]
    assert sum(p.numel() for p in matrices.values()) == 4192

# ---- shapes, modes, states

@pytest.mark.parametrize('shape', [(3, 5), (1, 1), (4, 1), (2, 7)])
def test_gradients(shape):
    for how in dict(), dict(tied=False, norm='rms'):
        check_grads(shaken(GPT(5, 7, 2, 2, 1, **how)), torch.randint(5, shape))

def test_no_text_at_all():
    gpt = GPT(5, 7, 4, 2, 2)
    out = gpt(torch.zeros(0, 3, dtype=torch.int64))
    assert out.shape == (0, 3, 5)
    out.g = torch.zeros_like(out)
    gpt.backward()
    assert all(not p.g.any() for p in gpt.parameters())

def test_places_beyond_the_text_get_nothing():
    gpt = shaken(GPT(5, 7, 4, 2, 1))
    out = gpt(torch.randint(5, (3, 4)))
    out.g = torch.randn_like(out)
    gpt.backward()
    assert gpt.places.g[:4].any(1).all() and not gpt.places.g[4:].any()

def test_dropout():
    "Drawn anew in each pass of training; its gradient is that of the masks; eval has none."
    gpt, idx = shaken(GPT(5, 4, 2, 2, 2, dropout=.5)), torch.randint(5, (3, 4))
    assert not torch.equal(gpt(idx), gpt(idx))
    gpt.eval()
    assert torch.equal(gpt(idx), gpt(idx))
    check_grads(gpt, idx)
    gpt.train()
    targ, model = torch.randint(5, (3, 4)), Model([gpt], CrossEntropy())
    def loss(): torch.manual_seed(3); return model(idx, targ).item()
    loss(); model.backward()
    for p in gpt.table, gpt.places, gpt.layers[1].mlp[1].w:
        g, kept = p.g[1, 1].item(), p[1, 1].item()
        p[1, 1] = kept + 1e-6; high = loss()
        p[1, 1] = kept - 1e-6; low = loss()
        p[1, 1] = kept
        assert_close(g, (high - low) / 2e-6, rtol=1e-5, atol=1e-8)

def test_dropout_one_mask_a_branch():
    assert sum(type(m).__name__ == 'Dropout' for m in GPT(5, 7, 4, 2, 3, dropout=.1).modules()) == 7

@pytest.mark.parametrize('tied', [True, False])
def test_state_saved_and_loaded(tmp_path, tied):
    def made():
        model = Model([GPT(5, 7, 4, 2, 2, tied=tied)], CrossEntropy())
        return model, AdamW(model.parameters(), .01)
    def step(model, opt):
        g = torch.Generator().manual_seed(4)
        for _ in range(3):
            model(*torch.randint(5, (2, 3, 6), generator=g)); model.backward(); opt.step()
    a, b = made(), made()
    step(*a)
    save_state(tmp_path/'gpt.safetensors', *a)
    load_state(tmp_path/'gpt.safetensors', *b)
    step(*a); step(*b)
    for p, q in zip(a[0].parameters(), b[0].parameters()): assert torch.equal(p, q)

def test_start():
    "Small; the ends of the branches smaller by sqrt(2 layers); biases 0, factors 1."
    gpt = GPT(50, 40, 64, 2, 8, tied=False)
    for n, p in gpt.named_parameters():
        want = .02 / 4 if n.endswith(('proj.w', 'mlp.3.w')) else .02
        if p.dim() == 2:
            assert_close(p.std().item(), want, rtol=.1, atol=0)
            assert abs(p.mean()) < want / 10
        else: assert (p == n.endswith(('.0.w', 'layers.8.w'))).all(), n
    assert gpt.table is not gpt.head
    for lin in Block(64).mlp[1:4:2]:                    # alone
        assert_close(lin.w.std().item() * math.sqrt(len(lin.w)), 1., rtol=.05, atol=0)
        assert not lin.b.any()

# ---- learning rate, windows, loss of a text, writing

def test_cosine():
    rates = [cosine(k, 20, 1., .1, 4) for k in range(25)]
    assert_close(rates[:5], [.2, .4, .6, .8, 1.])
    assert_close(rates[12], .55)                        # half way
    assert_close(rates[20:], [.1] * 5)
    assert rates[4:21] == sorted(rates[4:21], reverse=True)
    assert cosine(0, 10, 3.) == 3 and cosine(10, 10, 3.) == 0
    for warmup in range(11):                            # also where all of it is a warm-up
        assert [cosine(k, 10, 2., .25, warmup) for k in (10, 11, 99)] == [.25] * 3

def test_windows():
    text = torch.arange(20)
    x, targ = windows(text, torch.tensor([0, 3, 15]), 4)
    assert x.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [15, 16, 17, 18]] and torch.equal(targ, x + 1)
    assert windows(text, torch.tensor([], dtype=torch.int64), 4)[0].shape == (0, 4)

@pytest.mark.parametrize('batch_size', [1, 2, 100])
def test_text_loss(batch_size):
    gpt, text = shaken(GPT(5, 4, 4, 2, 1, dropout=.5)), torch.randint(5, (15,))
    want = [F.cross_entropy(gpt.eval()(text[None, s:s+4])[0], text[s+1:s+5]) for s in (0, 4, 8)]
    gpt.train()
    got = text_loss(gpt, text, batch_size)
    assert_close(got, (sum(want) / 3).item())
    assert gpt.training and text_loss(gpt, text[:13], batch_size) == got
    assert text_loss(gpt, text[:5]) == want[0].item()

def test_sample():
    gpt, start = shaken(GPT(5, 4, 4, 2, 1, dropout=.5)), torch.tensor([3, 1])
    out = sample(gpt, start, 30)
    assert out.shape == (32,) and out[:2].tolist() == [3, 1] and 0 <= out.min() <= out.max() < 5
    assert torch.equal(out, sample(gpt, start, 30)) and gpt.training
    assert not torch.equal(out, sample(gpt, start, 30, seed=1))
    assert torch.equal(sample(gpt, start, 0), start)
    best, idx = sample(gpt, start, 9, temperature=0), start
    gpt.eval()
    for _ in range(9): idx = torch.cat([idx, gpt(idx[None, -4:])[0, -1].argmax()[None]])
    assert torch.equal(best, idx) and torch.equal(best, sample(gpt, start, 9, top_k=1))
    assert torch.equal(best, sample(gpt, start, 9, temperature=5e-324))    # above 0

def test_sample_reads_the_last_letters():
    read = []
    class Reads(GPT):
        def forward(self, idx): read.append(idx[0].tolist()); return super().forward(idx)
    out = sample(Reads(5, 4, 4, 2, 1), torch.tensor([3, 1]), 9).tolist()
    assert read == [out[max(0, k - 4):k] for k in range(2, 11)]

def test_sample_draws_by_the_probabilities():
    gpt = shaken(GPT(4, 3, 4, 1, 1), 1.).eval()
    scores = gpt(torch.tensor([[2]]))[0, -1]
    for temperature, top_k in (1., None), (.5, None), (2., 2):
        p = (scores / temperature).softmax(0)
        if top_k: p = torch.where(p >= p.sort().values[-top_k], p, 0.); p = p / p.sum()
        drawn = [sample(gpt, torch.tensor([2]), 1, temperature, top_k, s)[1] for s in range(600)]
        count = torch.stack(drawn).bincount(minlength=4) / 600
        assert (count - p).abs().max() < .07 and not count[p == 0].any()

# ---- slips of the field

class AddedEarly(Block):
    def bwd(self, out, inp):
        up = out.g
        for branch in self.mlp, self.attend:
            _back_through(branch[1:], up)
            branch[0].out.g = branch[0].out.g + up
            branch[0].backward()
            up = branch[0].args[0].g
        inp.g = up
class NoWayAround(Block):
    def bwd(self, out, inp): super().bwd(out, inp); inp.g = inp.g - out.g
class AddedTwice(Block):
    def bwd(self, out, inp): super().bwd(out, inp); inp.g = inp.g + out.g

@pytest.mark.parametrize('slip', [AddedEarly, NoWayAround, AddedTwice])
@pytest.mark.parametrize('norm', ['layer', 'rms'])
def test_slips_of_a_block(slip, norm):
    said = refused(check_grads, shaken(slip(4, 2, norm)), torch.randn(2, 3, 4))
    assert said.startswith('CheckError') and '.g is wrong at' in said

class RowsAlone(GPT):
    def bwd(self, out, idx): super().bwd(out, idx); embedding_grad(idx, self.first, self.table)
class HeadAlone(GPT):
    def bwd(self, out, idx):
        super().bwd(out, idx)
        self.table.g = out.g.flatten(0, 1).t() @ self.last.flatten(0, 1)
class FirstText(GPT):
    def bwd(self, out, idx):
        super().bwd(out, idx); self.places.g[:idx.shape[1]] = self.first.g[0]
class MeanOfTexts(GPT):
    def bwd(self, out, idx): super().bwd(out, idx); self.places.g = self.places.g / len(idx)
class PlacesPerText(GPT):
    def bwd(self, out, idx): super().bwd(out, idx); self.places.g = self.first.g

@pytest.mark.parametrize('slip, says', [
    (RowsAlone, 'table.g is wrong'), (HeadAlone, 'table.g is wrong'),
    (FirstText, 'places.g is wrong'), (MeanOfTexts, 'places.g is wrong'),
    (PlacesPerText, 'places.g has shape')])
def test_slips_of_the_whole(slip, says):
    said = refused(check_grads, shaken(slip(7, 5, 4, 2, 1)), torch.randint(7, (3, 4)))
    assert says in said, said

def test_table_twice_in_an_optimizer():
    gpt = GPT(7, 5, 4, 2, 1)
    assert 'ReuseError' in refused(AdamW, [*gpt.parameters(), gpt.table])
    assert len(gpt.parameters()) == len({id(p) for p in gpt.parameters()})

def test_no_score_hears_of_later_letters():
    gpt, idx = shaken(GPT(7, 6, 8, 2, 2)), torch.randint(7, (2, 6))
    before = gpt(idx)
    for t in range(1, 6):
        other = idx.clone()
        other[:, t] = (other[:, t] + 1) % 7
        now = gpt(other)
        assert torch.equal(now[:, :t], before[:, :t])
        assert (now[:, t:] != before[:, t:]).any(-1).all()
    gpt.layers[0].attend[1] = Attention(8, 2, causal=False)
    assert not torch.equal(gpt(other)[:, :5], gpt(idx)[:, :5])

class Coupled(AdamW):
    def update(self, grads):
        grads = [g + self.weight_decay * p for p, g in zip(self.params, grads)]
        super(AdamW, self).update(grads)
class DecayAfter(AdamW):
    def update(self, grads):
        super(AdamW, self).update(grads)
        for p in self.params: p.mul_(1 - self.lr * self.weight_decay)
class WithoutRate(AdamW):
    def update(self, grads):
        for p in self.params: p.mul_(1 - self.weight_decay)
        super(AdamW, self).update(grads)

@pytest.mark.parametrize('slip', [Coupled, DecayAfter, WithoutRate])
def test_slips_of_the_decay(slip):
    p, q = torch.randn(4), torch.randn(4)
    q.copy_(p); r = p.clone()
    opts = [kind([t], .1, weight_decay=.1) for kind, t in ((AdamW, p), (slip, q), (AdamW, r))]
    for _ in range(3):
        g = torch.randn(4)
        for opt in opts:
            opt.params[0].g = g.clone(); opt.step()
    assert torch.equal(p, r) and not torch.allclose(p, q, rtol=1e-4, atol=1e-4)

def test_the_way_back_lets_go_of_what_it_has_used():
    gpt = GPT(11, 8, 12, 3, 2, dropout=.1)
    model = Model([gpt], CrossEntropy())
    model(*torch.randint(11, (2, 3, 8)))
    inner = [m for block in gpt.layers[1:3] for part in (block.attend, block.mlp) for layer in part
             for m in layer.modules()]
    outs = [weakref.ref(m.out) for m in inner]
    assert len(outs) > 16 and all(r() is not None for r in outs)
    model.backward()
    assert not [r for r in outs if r() is not None]
    with pytest.raises(OrderError, match='backward before forward'): inner[0].backward()
