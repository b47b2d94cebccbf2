"""The tape beside autograd on random graphs, in place and twice; the adjoint test over all records,
and what it must refuse; Hessians beside PyTorch's; what is recomputed."""
import functools, gc, inspect, re, weakref
import pytest, torch
from test_properties import FAULTS, Nth, as_dtype, same_randn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close
from backprop_nb.all import *
from backprop_nb.operation import by_hand

EXACT = dict(rtol=1e-12, atol=1e-13)
every = pytest.mark.parametrize('name', OPS)

def double(*shape): return torch.randn(shape, dtype=torch.float64)

@pytest.fixture(autouse=True)
def seed(): torch.manual_seed(0)

def squashed(v): return record(sigmoid, v)

# ---- the walk

def graph(leaves, n, seed):
    "A random graph of sums, products, sigmoids and moves; on tensors or on Vars."
    def step(r, pick):
        kind = int(torch.randint(4, (), generator=r))
        a, b = pick(), pick()
        if kind == 0: return a + b
        if kind == 1: return a * b
        if kind == 2: return squashed(a) if isinstance(a, Var) else a.sigmoid()
        turn = lambda t: t.t()
        return a.move(turn) if isinstance(a, Var) else turn(a)
    r, nodes = torch.Generator().manual_seed(seed), [*leaves]
    def pick(): return nodes[int(torch.randint(len(nodes), (), generator=r))]
    for _ in range(n): nodes.append(step(r, pick))
    total = nodes[0]
    for v in nodes[1:]: total = total + v
    return total

@pytest.mark.parametrize('seed', range(20))
def test_random_graphs_as_autograd(seed):
    data, up = [double(3, 3) / 2 for _ in range(3)], double(3, 3)
    leaves = [t.clone().requires_grad_() for t in data]
    ours = [Var(t) for t in data]
    out, true = graph(ours, 12, seed), graph(leaves, 12, seed)
    assert_close(out.data, true.detach(), **EXACT)
    out.backward(up)
    for v, g in zip(ours, torch.autograd.grad(true, leaves, up)): assert_close(v.g, g, **EXACT)

def test_shares_add_and_passes_add():
    a = Var(torch.tensor(3.))
    c = (b := a + a) + b
    c.backward(); assert (c.g, b.g, a.g) == (1, 2, 4)
    c.backward(); assert (c.g, b.g, a.g) == (2, 4, 8)
    a.zero(); c.backward(); assert (c.g, a.g) == (3, 4)

def test_each_node_once():
    calls = []
    def back(out, x): calls.append(1); x.g = out.g
    v = first = Var(torch.tensor(1.))
    for _ in range(40): v = record(torch.clone, v + v, back=back)
    v.backward()
    assert len(calls) == 40 and first.g == 2.**40

def test_a_long_chain_needs_no_recursion():
    v = first = Var(torch.tensor(1.))
    for _ in range(3000): v = v + first
    v.backward()
    assert first.g == 3001

@every
def test_gradients_of_every_operation(name):
    "Bit for bit those of the functions by hand, without a trace in the tensors that came in."
    op = OPS[name]
    if name == 'forward_and_backward': pytest.skip('it goes back by itself')
    for n in range(6):
        xs = op.inputs(Nth(n))
        _, want = by_hand(op, xs, same_randn)
        xs = [x.clone() if torch.is_tensor(x) else x for x in xs]
        held = {k: Var(xs[k]) for k in op.wrt(xs)}
        out = record(op.forward, *[held.get(k, x) for k, x in enumerate(xs)])
        for _ in range(2): out.backward(same_randn(out.data))
        for v, g in zip(held.values(), want): assert torch.equal(v.g, g + g)
        assert not any(getattr(x, 'g', None) is not None for x in xs if torch.is_tensor(x))

@every
def test_one_var_in_two_roles(name):
    "Where two inputs fit each other, one Var may be both, and gets the sum."
    op = OPS[name]
    xs = op.inputs(Nth(0))
    wrt = op.wrt(xs)
    same = [(j, k) for j in wrt for k in wrt if j < k and xs[j].shape == xs[k].shape]
    if name == 'forward_and_backward' or not same: pytest.skip('no two that fit')
    j, k = same[0]
    xs[k] = xs[j].clone()
    _, want = by_hand(op, xs, same_randn)
    both = Var(xs[j])
    record(op.forward, *[both if i in (j, k) else x for i, x in enumerate(xs)]).backward(
        same_randn(op.forward(*xs)))
    assert_close(both.g, want[wrt.index(j)] + want[wrt.index(k)], **EXACT)

@pytest.mark.parametrize('which', ['input', 'weight', 'output', 'the last output', 'a view',
                                   'NumPy shares the count'])
def test_in_place_is_seen(which):
    x, w, b = double(4, 3), double(3, 2), double(2)
    X, W = Var(x), Var(w)
    out = record(lin, X, W, b)
    loss = record(relu, out)
    {'input': x, 'weight': w, 'output': out.data, 'the last output': loss.data, 'a view': w[0],
     'NumPy shares the count': b}[which].add_(1)
    with pytest.raises(OrderError, match='changed in place'): loss.backward(double(4, 2))
    assert X.g is W.g is loss.g is None

def test_a_failed_pass_leaves_nothing():
    a = Var(double(3))
    def broken(out, x): raise ZeroDivisionError
    out = record(torch.clone, a + a, back=broken)
    with pytest.raises(ZeroDivisionError): out.backward(torch.ones(3).double())
    assert a.g is None and getattr(out.data, 'g', None) is None

def test_the_graph_goes_with_its_output():
    a = Var(double(3))
    out = squashed(a + a)
    gone = weakref.ref(out.args[0])
    gc.disable()
    try: del out; assert gone() is None                # no cycle
    finally: gc.enable()

def test_a_share_of_the_pass_before_is_none():
    def once(out, x):
        if not passes: x.g = out.g.clone()
        passes.append(1)
    passes, a = [], Var(double(3))
    v = record(torch.clone, a, back=once)
    v.backward(up := double(3))
    with pytest.raises(ShapeError, match='clone gives None'): v.backward(up)
    v = record(torch.clone, a, back=lambda out, inp: setattr(inp, 'g', out.g.float()))
    with pytest.raises(ShapeError, match='of torch.float64'): v.backward(up)
    assert torch.equal(a.g, up)

def test_a_way_back_that_writes_into_what_came_in():
    a = Var(double(3))
    v = record(torch.clone, a, back=lambda out, x: setattr(x, 'g', x.mul_(2) * out.g))
    with pytest.raises(OrderError, match='argument 0 of clone changed in place'):
        v.backward(double(3))

# ---- layers on the tape

def layer_of(d, m): return Lin(double(d, m), double(m))

def test_layers_in_one_place_each():
    first, second, x, y = layer_of(4, 3), layer_of(3, 2), double(5, 4), double(5, 2)
    a = record(first, X := Var(x), back=first.bwd)
    record(mse, record(second, a, back=second.bwd), y).backward()
    got = [X.g, *[p.g for l in (first, second) for p in l.parameters()]]
    model = Model([first, second], Mse())
    model(x, y)
    model.backward(input_grad=True)
    for g, p in zip(got, [x, *model.parameters()], strict=True): assert_close(g, p.g, **EXACT)

def test_a_layer_made_of_layers():
    block, x, up = Block(6, 2), double(2, 3, 6), double(2, 3, 6)
    for p in block.parameters(): p.data = double(*p.shape)
    X = Var(x)
    (record(block, X, back=block.bwd) + X).backward(up)
    got = [X.g, *[p.g for p in block.parameters()]]
    block(x).g = up
    block.backward()
    for g, want in zip(got, [x.g + up, *[p.g for p in block.parameters()]], strict=True):
        assert_close(g, want, **EXACT)

def around(*layers):
    class Around(Module):
        def __init__(self): self.layers = layers
        def forward(self, inp): return layers[0](inp)
        def bwd(self, out, inp): layers[0].bwd(out, inp)
    return Around()

@pytest.mark.parametrize('other', [
    lambda l: l, lambda l: Lin(l.w, double(3)), lambda l: Lin(double(3, 3), l.b), around])
@pytest.mark.parametrize('beside', [False, True])
def test_a_layer_or_its_parameter_in_two_places(other, beside):
    one, x = layer_of(3, 3), Var(double(5, 3))
    two = other(one)
    a = record(one, x, back=one.bwd)
    b = record(two, x if beside else a, back=two.bwd)
    with pytest.raises(ReuseError, match='a layer, or a parameter of layers, stands in two places'):
        record(mse, a + b, double(5, 3)).backward()
    assert x.g is None and not hasattr(one.w, 'g')

def test_a_gradient_that_is_zero_by_nature(monkeypatch):
    "A bias before a batch norm: forwards and backwards only rounding is left."
    for k in range(10):
        torch.manual_seed(k)
        model = Model([*mlp(4, 3), BatchNorm(3), Lin(torch.randn(3, 2), torch.randn(2))], Mse())
        check_adjoint(model, double(6, 4), double(6, 2))
    right = model.layers[0].bwd
    def wrong(out, inp): right(out, inp); model.layers[0].b.g += 1e-9
    monkeypatch.setattr(model.layers[0], 'bwd', wrong)
    with pytest.raises(CheckError, match='layers.0.b.g is wrong'):
        check_adjoint(model, double(6, 4), double(6, 2))

def test_a_tensor_that_gets_other_memory_is_seen_as_it_was():
    w = torch.tensor([2.])
    W = Var(w)
    out = W * W * W
    w.data = torch.tensor([5.])
    out.backward(torch.ones(1))
    assert W.g == 12

MOVES = [lambda t: t.permute(2, 0, 1), lambda t: t[:, -1], lambda t: t[[1, 0, 1]], lambda t: t.mT,
         lambda t: t.flatten(1), lambda t: t[..., None].expand(2, 3, 4, 5), lambda t: t[:0],
         lambda t: t.unflatten(2, (2, 2)).transpose(1, 2), lambda t: torch.cat([t, t], 1)]

@pytest.mark.parametrize('f', MOVES)
def test_moves_as_autograd(f):
    x = double(2, 3, 4)
    x[0, 0, 0] = torch.nan
    v, leaf = Var(x), x.clone().requires_grad_()
    out = v.move(f)
    out.backward(up := torch.randn_like(out.data))
    assert_close(v.g, torch.autograd.grad(f(leaf), leaf, up)[0])

@pytest.mark.parametrize('f', [torch.relu, torch.tril, torch.neg, torch.abs, lambda t: t.cumsum(0),
                               lambda t: F.pad(t, (1, 0)), lambda t: t.clone().fill_(0)])
@pytest.mark.parametrize('x', [torch.zeros(3, 3), -torch.ones(3, 3), torch.arange(9.).view(3, 3)])
def test_no_move(f, x):
    "Refused also on zeros, where the numbers alone do not tell."
    with pytest.raises(ArgumentError, match='more than move'): Var(x).move(f)

def test_no_move_by_the_numbers():
    "Places are in order, and stay where they are."
    with pytest.raises(ArgumentError, match='more than move'):
        Var(torch.tensor([2., 1.])).move(lambda t: t.sort()[0])

@pytest.mark.parametrize('shape', [(1,), (3, 1), (1, 3), ()])
def test_a_share_has_the_shape_of_its_argument(shape):
    def back(out, x): x.g = torch.ones(shape)
    v = record(torch.clone, a := Var(torch.ones(3)), back=back)
    with pytest.raises(ShapeError, match=f'clone gives {re.escape(str(shape))} for argument 0'):
        v.backward(torch.ones(3))
    assert a.g is None

def test_gradients_of_a_sum_are_tensors_of_their_own():
    a, b, up = Var(double(3)), Var(double(3)), double(3)
    was = up.clone()
    (a + b).backward(up)
    for v in (a, b): v.g.mul_(.5)                       # to clip, say
    assert torch.equal(up, was) and torch.equal(a.g, was / 2) and torch.equal(b.g, was / 2)

# ---- the adjoint test

@every
def test_adjoint(name):
    "Every operation, 2-D and 3-D, small sizes and large, to twelve digits."
    op = OPS[name]
    for n in range(6): check_adjoint(op.forward, op.backward, *op.inputs(Nth(n)))

def with_fault(op, fault):
    "The gradient function with a fault, and with its own names."
    at = [*inspect.signature(op.backward).parameters].index('out')
    @functools.wraps(op.backward)
    def backward(*args): fault(op, args[at], *args[:at], *args[at+1:])
    return backward

@pytest.mark.parametrize('fault', FAULTS)
@every
def test_adjoint_sees_a_fault(name, fault):
    op = OPS[name]
    if name == 'forward_and_backward' and fault == 'upstream dropped': pytest.skip('has none')
    with pytest.raises(CheckError, match=r'\.g (is|was|has) |backward (wrote into|replaced) '):
        for n in range(4): check_adjoint(op.forward, with_fault(op, FAULTS[fault]),
                                         *op.inputs(Nth(n)))

@pytest.mark.parametrize('k', [0, 1, 2])
def test_adjoint_names_the_input_and_sees_one_entry(k):
    "A slip of one part in a million, in one entry of 100,000."
    def slip(inp, out, w, b):
        lin_grad(inp, out, w, b)
        g = (inp, w, b)[k].g
        g.view(-1)[0] *= 1 + 1e-6
    with pytest.raises(CheckError, match=f"check_adjoint: {'inp w b'.split()[k]}.g is wrong"):
        check_adjoint(lin, slip, torch.randn(300, 300), torch.randn(300, 300), torch.randn(300))

@pytest.mark.parametrize('g, words', [
    (None, 'inp.g was not overwritten'), (torch.ones(1).double(), r'shape \(1,\), want \(3,\)'),
    (torch.ones(3), 'inp.g is torch.float32, want torch.float64'),
    (torch.full((3,), torch.nan).double(), 'check_adjoint: inp.g is wrong')])
def test_adjoint_sees_what_is_no_gradient(g, words):
    def slip(inp, out): inp.g = inp.g if g is None else g
    with pytest.raises(CheckError, match=words): check_adjoint(relu, slip, torch.ones(3))

def test_adjoint_of_a_module():
    "Its parameters, too, under their names; and they come back as they were."
    class Half(Lin):
        def bwd(self, out, inp): super().bwd(out, inp); self.w.g = self.w.g / 2
    x, w = torch.randn(4, 3), torch.randn(3, 2)
    check_adjoint(Lin(w, torch.randn(2)), x)
    with pytest.raises(CheckError, match='check_adjoint: w.g is wrong'):
        check_adjoint(Half(w, torch.randn(2)), x)
    assert w.dtype is torch.float32 and not hasattr(w, 'g')

def test_adjoint_leaves_inputs_alone():
    x = torch.randn(4, 3)
    was = x.clone()
    check_adjoint(relu, relu_grad, x)
    assert not hasattr(x, 'g') and x.dtype is torch.float32 and torch.equal(x, was)

# ---- Hessians

@every
def test_hvp(name):
    "Through every gradient function, beside PyTorch, which goes back twice."
    op = OPS[name]
    if name == 'forward_and_backward': pytest.skip('it goes back by itself')
    for n in range(3):
        xs = op.inputs(Nth(n, N=4, H=6, W=7, T=3))
        wrt = op.wrt(xs)
        weigh = torch.randn_like(op.forward(*xs))
        vs = [torch.randn_like(xs[k]) for k in wrt]
        def put(ts): return [dict(zip(wrt, ts)).get(k, x) for k, x in enumerate(xs)]
        def ours(*ts):
            out = record(op.forward, *put(ts))
            if out.data.dim() == 0: return out
            def back(out, t): t.g = out.g * weigh
            return record(lambda t: (t * weigh).sum(), out, back=back)
        def theirs(*ts):
            with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
                out = op.reference(*put(ts))
                return out if out.dim() == 0 else (out * weigh).sum()
        got = hvp(ours, [xs[k] for k in wrt], vs)
        _, want = torch.autograd.functional.hvp(theirs, tuple(xs[k] for k in wrt), tuple(vs))
        for g, t in zip(got, want): assert_close(g, t, rtol=1e-8, atol=1e-10)

def test_hvp_of_a_block_is_symmetric():
    ws = [double(s) for s in (6, 6)] + [double(6, 6), double(6)]
    x, y = double(2, 3, 6), double(2, 3, 6)
    def f(g, s, w, b):
        z = record(layer_norm, record(lin, x, w, b), g, s)
        return record(mse, record(gelu, z) + record(rms_norm, z, g), y)
    u, v = [[torch.randn_like(w) for w in ws] for _ in range(2)]
    def dot(a, b): return sum((s * t).sum() for s, t in zip(a, b))
    assert_close(dot(hvp(f, ws, u), v), dot(u, hvp(f, ws, v)), **EXACT)

def test_hvp_in_float32():
    x, y, w = torch.randn(5, 3), torch.randn(5, 2), torch.randn(3, 2)
    def f(w): return record(mse, record(lin, x, w, torch.zeros(2)), y)
    v = torch.randn(3, 2)
    assert_close(hvp(f, [w], [v])[0], 2/10 * x.t() @ x @ v)

def test_hvp_refuses_a_loss_inside_of_a_checkpoint():
    "Else the numbers would be wrong, without a word."
    y, w, v = double(3), double(3), double(3)
    def loss(w): return record(mse, w, y)
    def squared(w): return (l := loss(w)) * l
    once = lambda w: checkpoint(squared, w)
    for f in squared, once, lambda w: checkpoint(once, w):
        with pytest.raises(ArgumentError, match='is not the last operation'): hvp(f, [w], [v])
    for f in loss, lambda w: checkpoint(loss, w):
        assert_close(hvp(f, [w], [v])[0], 2/3 * v, **EXACT)

# ---- computed again

def noisy(v, p=0.3):
    keep = torch.rand(v.data.shape) >= p
    return record(dropout, record(gelu, v), keep, p)

@pytest.mark.parametrize('depth', [1, 3])
def test_checkpoint(depth):
    x, w, b, up = double(4, 6), double(6, 6), double(6), double(4, 6)
    def grads(wrapped):
        torch.manual_seed(3)
        X, W, B = Var(x), Var(w), Var(b)
        def step(v): return noisy(record(lin, v, W, B))     # W and B are leaves from outside
        v = X
        for _ in range(depth): v = wrapped(step)(v)
        v.backward(up)
        return [v.data, X.g, W.g, B.g, torch.rand(3)]
    want = grads(lambda f: f)
    got = grads(lambda f: lambda v: checkpoint(f, v))
    for g, t in zip(got, want): assert_close(g, t, **EXACT)

def test_checkpoint_holds_its_arguments_alone():
    inside = []
    def f(v):
        w = squashed(v + v)
        inside.append(weakref.ref(w.args[0].data))
        return w
    out = checkpoint(f, v := Var(double(3)))
    assert inside[0]() is None and out.args == (v,) and len(out.nodes()) == 2

def test_checkpoint_in_a_checkpoint():
    a = Var(double(3))
    inner = lambda v: checkpoint(noisy, v) * v
    torch.manual_seed(1)
    checkpoint(inner, a).backward(up := double(3))
    got = a.g
    a.zero()
    torch.manual_seed(1)
    (noisy(a) * a).backward(up)
    assert_close(got, a.g, **EXACT)

# ---- float32 and half, and a device

@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
@every
def test_dtypes_stay(name, dtype):
    op = OPS[name]
    if name == 'forward_and_backward': pytest.skip('it goes back by itself')
    xs = as_dtype(op.inputs(Nth(0)), dtype)
    held = {k: Var(xs[k]) for k in op.wrt(xs)}
    out = record(op.forward, *[held.get(k, x) for k, x in enumerate(xs)])
    out.backward(torch.ones_like(out.data))
    assert all(v.g.dtype is dtype for v in held.values())

def test_a_training_step_as_autograd():
    "Tied weights, three steps of plain descent."
    x, y, w, b = double(8, 5), torch.arange(8) % 5, double(5, 5), double(5)
    leaf = [t.clone().requires_grad_() for t in (w, b)]
    for _ in range(3):
        W, B = Var(w), Var(b)
        hidden = record(relu, record(lin, x, W, B))
        record(cross_entropy, record(lin, hidden, W.move(torch.t), B), y).backward()
        a, c = leaf
        loss = F.cross_entropy((x @ a + c).relu() @ a.t() + c, y)
        grads = torch.autograd.grad(loss, leaf)
        with torch.no_grad():
            for t, v, p, g in zip((w, b), (W, B), leaf, grads): t -= .1 * v.g; p -= .1 * g
    for t, p in zip((w, b), leaf): assert_close(t, p.detach(), **EXACT)

# ---- what nobody uses, and what does nothing

def test_an_operation_that_returns_its_input():
    "The output is a tensor of its own, and what has arrived at it is no share."
    a = Var(double(3))
    out = record(lambda x: x, a, back=lambda out, x: None)
    assert out.data is not a.data
    with pytest.raises(ShapeError, match='gives None'): out.backward(double(3))

def test_an_input_that_is_not_used_has_gradient_0():
    x, w = double(3), double(3)
    got = hvp(lambda a, b: record(mse, a * a, torch.zeros(3).double()), [x, w], [x, w])
    assert_close(got[0], 4 * x**3); assert torch.equal(got[1], torch.zeros_like(w))
    a, b = Var(x), Var(w)
    checkpoint(lambda a, b: a * a, a, b).backward(torch.ones_like(x))
    assert_close(a.g, 2 * x); assert torch.equal(b.g, torch.zeros_like(w))

def test_one_other_number_the_second_time_is_seen():
    calls = []
    def f(v):
        calls.append(1)
        return v * torch.tensor([1., 1., float(len(calls))]).double()
    with pytest.raises(CheckError, match='different numbers'):
        checkpoint(f, Var(double(3))).backward(double(3))

@pytest.mark.parametrize('which', ['weight', 'argument'])
def test_checkpoint_sees_a_leaf_changed_in_place(which):
    "A small step, within the thousandth that the second run may be off."
    W, X = Var(double(3, 3)), Var(double(4, 3))
    out = checkpoint(lambda x: record(lin, x, W, torch.zeros(3).double()), X)
    {'weight': W, 'argument': X}[which].data.mul_(1.0003)
    with pytest.raises(OrderError, match='changed in place since'): out.backward(double(4, 3))
    assert W.g is X.g is None

def test_a_failed_pass_through_a_checkpoint_leaves_nothing():
    "Not even at a weight that the block uses, which comes later than the failure."
    W, X = Var(double(3, 3)), Var(double(4, 3))
    def broken(out, x): raise ZeroDivisionError
    before = record(torch.clone, X, back=broken)
    out = checkpoint(lambda x: record(lin, x, W, torch.zeros(3).double()), before)
    with pytest.raises(ZeroDivisionError): out.backward(double(4, 3))
    assert W.g is X.g is before.g is out.g is None

def test_checkpoint_sees_a_weight_changed_inside_of_an_inner_one():
    W, X = Var(double(3, 3)), Var(double(4, 3))
    def inner(x): return record(lin, x, W, torch.zeros(3).double())
    out = checkpoint(lambda x: checkpoint(inner, x), X)
    W.data.mul_(1.0003)
    with pytest.raises(OrderError, match='changed in place since'): out.backward(double(4, 3))
    assert W.g is X.g is None

def test_checkpoint_sees_another_weight_the_second_time():
    "The same numbers; but the gradient of the first would be lost."
    w = double(3, 3)
    weights = [Var(w), Var(w.clone())]
    f = lambda x: record(lin, x, weights[-1], torch.zeros(3).double())
    out = checkpoint(f, Var(double(4, 3)))
    weights.pop()
    with pytest.raises(CheckError, match='other leaves'): out.backward(double(4, 3))

def test_checkpoint_leaves_the_random_numbers_alone():
    "On the way back they go on as if nobody had drawn any, also where that fails."
    calls = []
    def f(v):
        calls.append(1)
        return noisy(v) * torch.full((3,), float(len(calls) < 3)).double()
    out = checkpoint(f, Var(double(3)))
    for fails in False, True:
        torch.manual_seed(7)
        if fails:
            with pytest.raises(CheckError): out.backward(double(3))
        else: out.backward(double(3))
        after = torch.rand(3)
        torch.manual_seed(7); double(3)
        assert torch.equal(after, torch.rand(3))

def test_checkpoint_of_nothing():
    a = Var(double(0, 3))
    checkpoint(squashed, a).backward(double(0, 3))
    assert a.g.shape == (0, 3)

# ---- gradient functions in the course's own order, numbers in front, a product of numbers

def test_back_may_have_out_where_the_course_has_it():
    x, up = double(3, 4), double(3, 4)
    def square_grad(inp, out): inp.g = 2 * inp * out.g
    a = Var(x)
    record(torch.square, a, back=square_grad).backward(up)
    assert_close(a.g, 2 * x * up, **EXACT)
    b = Var(x)
    record(torch.square, b, back=lambda z, y: setattr(y, 'g', 2 * y * z.g)).backward(up)
    assert_close(b.g, a.g, **EXACT)

def test_a_tensor_in_front():
    t, a = double(3), Var(double(3))
    (t * a + t).backward(torch.ones(3).double())
    (t + a).backward(torch.ones(3).double())
    assert_close(a.g, t + 1, **EXACT)
    for f in lambda: 2 * a, lambda: 2 + a:
        with pytest.raises(TypeError, match='Var: [*+]: b is 2, want a tensor'): f()

def test_hvp_of_products_of_numbers():
    x, v = double(), double()
    assert_close(hvp(lambda a: a * a * a + a * a, [x], [v])[0], (6*x + 2) * v, **EXACT)

def test_forward_mode_where_autograd_is_off():
    "Inference mode switches dual numbers off; zeros would be wrong, without a word."
    x, v = double(4), double(4)
    def f(a): return record(mse, a * a, torch.zeros(4).double())
    want = hvp(f, [x], [v])
    assert_close(want[0], 3 * x**2 * v, **EXACT)
    with torch.inference_mode():
        within, inner = hvp(f, [x], [v]), [x.clone(), v.clone()]
        check_adjoint(relu, relu_grad, double(3, 4))
        with pytest.raises(CheckError, match='inp.g is wrong'):
            check_adjoint(relu, lambda inp, out: setattr(inp, 'g', -out.g), double(3, 4))
    assert_close(within, want, **EXACT)
    assert_close(hvp(f, inner[:1], inner[1:]), want, **EXACT)

def test_autograd_stays_as_it_was():
    seen, x, v = [], double(4), double(4)
    def f(a):
        seen.append(torch.is_grad_enabled())
        return record(mse, a * a, torch.zeros(4).double())
    def relu_seen(inp): seen.append(torch.is_grad_enabled()); return inp.relu()
    with torch.no_grad():
        hvp(f, [x], [v])
        check_adjoint(relu_seen, relu_grad, double(3, 4))
    assert len(seen) > 2 and not any(seen[:1] + seen[-1:])
    leaf = x.clone().requires_grad_()
    assert not hvp(f, [leaf], [v])[0].requires_grad and seen[-1]

def test_a_name_without_its_underscore():
    a = Var(double(3))
    product = a * a
    a.data.add_(1)
    with pytest.raises(OrderError, match='argument 0 of times changed'):
        product.backward(torch.ones(3).double())

def test_out_by_keyword_alone_comes_first():
    x, up = double(3), double(3)
    for back in (lambda y, x, *, out=None: setattr(x, 'g', 2 * x * y.g),
                 lambda y, x, scale=2, out=None: setattr(x, 'g', scale * x * y.g)):
        a = Var(x)
        record(torch.square, a, back=back).backward(up)
        assert_close(a.g, 2 * x * up, **EXACT)

@pytest.mark.parametrize('axes', [(4, 6), (2, 4, 6), (2, 3, 4, 6), (2, 3, 2, 4, 6)])
def test_attention_has_a_forward_mode(axes):
    q, k, v = torch.randn(3, *axes)
    check_adjoint(attention, attention_grad, q, k, v)
    if len(axes) == 3:
        check_adjoint(Attention(6, 2), q)
        check_adjoint(GPT(5, 4, 6, 2, 1), torch.randint(5, (2, 3)))
    xs, vs = torch.randn(2, 3, *axes, dtype=torch.float64)
    def loss(*xs): return record(mse, record(attention, *xs), torch.zeros(axes).double())
    def plain(*xs): return F.mse_loss(attention(*xs), torch.zeros(axes).double())
    with sdpa_kernel(SDPBackend.MATH): want = torch.autograd.functional.hvp(
        plain, tuple(xs), tuple(vs))[1]
    for got, w in zip(hvp(loss, [*xs], [*vs]), want): assert_close(got, w)
