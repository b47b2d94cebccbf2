"""Modules that hold anything: what is learned, what is kept, what must not change by the way."""
import copy, pickle, weakref
from collections import deque
from dataclasses import make_dataclass
from types import SimpleNamespace
import pytest, torch
from torch.testing import assert_close
from backprop_nb.all import *

class Kept(Module):
    "Keeps whatever it likes on the way: a mask, a normalised input, a list."
    def forward(self, inp):
        self.mask = torch.rand_like(inp) < 0.5 if self.training else torch.ones_like(inp)
        self.normal, self.seen = inp / inp.norm(), [inp]
        return inp * self.mask
    def bwd(self, out, inp): inp.g = out.g * self.mask

class Residual(Module):
    "Layers, one by name, others in a list or a dictionary, and the input around them."
    def __init__(self, first, *rest, how=list):
        self.first, self.rest = first, [*rest] if how is list else dict(enumerate(rest))
    def all(self):
        return [self.first, *(self.rest if isinstance(self.rest, list) else self.rest.values())]
    def forward(self, inp):
        self.end = inp
        for layer in self.all(): self.end = layer(self.end)
        return inp + self.end
    def bwd(self, out, inp):
        self.end.g = out.g
        for layer in reversed(self.all()): layer.backward()
        inp.g = out.g + inp.g

class Listed(Module):
    "Tensors in a list, one that is not learned, whole numbers, and a plain setting."
    not_learned = 'shift',
    def __init__(self, d):
        self.ws = [torch.randn(d, d) / d for _ in range(2)]
        self.shift, self.steps, self.scale = torch.randn(d), torch.tensor(0), 2.
    def forward(self, inp):
        self.steps += self.training
        self.half = inp @ self.ws[0] + self.shift
        return self.scale * self.half @ self.ws[1]
    def bwd(self, out, inp):
        g = self.scale * out.g
        self.ws[1].g = self.half.transpose(-1, -2).flatten(0, -2) @ g if g.dim() == 2 else None
        self.ws[0].g = inp.t() @ (g @ self.ws[1].t())
        inp.g = g @ self.ws[1].t() @ self.ws[0].t()

def lin_of(d, m): return Lin(torch.randn(d, m) / d**0.5, torch.randn(m))

def deep():
    "A model with layers inside of layers inside of layers."
    inner = Residual(lin_of(5, 3), Relu(), lin_of(3, 5), how=dict)
    return Model([lin_of(4, 5), Residual(inner, Listed(5)), Relu(), lin_of(5, 2)], Mse())

NAMES = ['layers.0.w', 'layers.0.b', 'layers.1.first.first.w', 'layers.1.first.first.b',
         'layers.1.first.rest.1.w', 'layers.1.first.rest.1.b', 'layers.1.rest.0.ws.0',
         'layers.1.rest.0.ws.1', 'layers.3.w', 'layers.3.b']

def by_autograd(model, x, y):
    for p in model.parameters(): p.requires_grad_()
    grads = torch.autograd.grad(model(x, y), model.parameters())
    for p in model.parameters(): p.requires_grad_(False)
    return grads

WRAPS = lambda k: k, lambda k: Residual(k), lambda k: Residual(Relu(), k)

def test_parameters_at_any_depth():
    model = deep()
    assert [n for n, _ in model.named_parameters()] == NAMES
    assert [n for n, _ in model.named_buffers()] == ['layers.1.rest.0.shift',
                                                      'layers.1.rest.0.steps']
    assert {*model.state()} == {*NAMES, 'layers.1.rest.0.shift', 'layers.1.rest.0.steps'}
    for name, t in model.state().items():
        at = model
        for step in name.split('.'):
            if isinstance(at, (list, tuple)): at = at[int(step)]
            elif isinstance(at, dict): at = at[int(step)]
            else: at = getattr(at, step)
        assert at is t
    assert model.num_parameters() == sum(p.numel() for p in model.parameters())

def test_gradients_at_any_depth():
    model, x, y = deep(), torch.randn(7, 4), torch.randn(7, 2)
    want = by_autograd(model, x, y)
    model(x, y); model.backward()
    for (name, p), g in zip(model.named_parameters(), want): assert_close(p.g, g, msg=name)

def test_all_of_it_learns():
    model, data = deep(), (torch.randn(64, 4), torch.randn(64, 2))
    before = {n: t.clone() for n, t in model.state().items()}
    fit(model, SGD(model.parameters(), 0.05), data, 3, progress=False)
    moved = {n for n, t in model.state().items() if not torch.equal(t, before[n])}
    assert moved == {*NAMES, 'layers.1.rest.0.steps'}

@pytest.mark.parametrize('wrap', WRAPS)
def test_what_forward_keeps_is_neither(wrap):
    model = Model([lin_of(4, 3), wrap(Kept())], Mse())
    names = [*model.state()]
    model(torch.randn(5, 4), torch.randn(5, 3))
    assert [*model.state()] == names == ['layers.0.w', 'layers.0.b']
    alone = Kept()
    alone(torch.randn(5, 4))
    assert not alone.state() and not Model([alone], Mse()).parameters()

@pytest.mark.parametrize('wrap', WRAPS)
@pytest.mark.parametrize('look', [lambda m, x, y: m.predict(x),
                                  lambda m, x, y: accuracy(m, (x, y))])
def test_looking_changes_nothing(wrap, look):
    model = Model([lin_of(4, 3), wrap(Kept()), lin_of(3, 3)], CrossEntropy())
    x, y = torch.randn(5, 4), torch.randint(3, (5,))
    model(x, y); model.backward()
    want = [p.g for p in model.parameters()]
    before = [(m, dict(vars(m))) for m in model.modules()]
    look(model, torch.randn(6, 4), torch.randint(3, (6,)))
    for m, held in before: assert vars(m).keys() == held.keys() and all(
        vars(m)[k] is v for k, v in held.items())
    model.backward()
    for p, g in zip(model.parameters(), want): assert torch.equal(p.g, g)

def test_modes():
    model = deep()
    modes = []
    class Says(Relu):
        def forward(self, inp): modes.append(self.training); return super().forward(inp)
    model = Model([lin_of(4, 3), Residual(Says())], CrossEntropy())
    data = torch.randn(6, 4), torch.randint(3, (6,))
    fit(model.eval(), SGD(model.parameters(), 0.1), data, 2, data, progress=False)
    assert modes == [True, False]*2 and all(m.training for m in model.modules())
    accuracy(model, data); model.predict(data[0])
    assert modes[4:] == [False]*2 and model.training
    assert model.eval() is model and not any(m.training for m in model.modules())

@pytest.mark.parametrize('again', [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_go_their_own_way(again):
    model, x, y = deep(), torch.randn(7, 4), torch.randn(7, 2)
    model(x, y)
    twin = again(model)
    for m in model, twin: m.backward()
    for p, q in zip(model.parameters(), twin.parameters()):
        assert p is not q and torch.equal(p.g, q.g)
        q.zero_()
    assert all(p.any() for p in model.parameters())

def test_layers_that_are_exchanged_are_looked_at_again():
    model, x, y = Model([Relu(), lin_of(4, 2)], Mse()), torch.randn(7, 4), torch.randn(7, 2)
    model.layers = [lin_of(4, 4), *model.layers]
    model(x, y); model.backward()
    assert len(model.parameters()) == 4 and all(p.g is not None for p in model.parameters())
    model.layers = [*model.layers, model.layers[1]]
    with pytest.raises(ValueError, match='layer 3 .Relu. is layer 1 again'): model(x, y)

def test_parts_of_one_memory_that_have_no_entry_in_common():
    flat = torch.randn(4*3 + 3 + 3*2 + 2)
    w, b, v, c = [t.view(s) for t, s in zip(flat.split([12, 3, 6, 2]), [(4, 3), 3, (3, 2), 2])]
    model = Model([Lin(w, b), Relu(), Lin(v, c)], Mse())
    opt, before = SGD(model.parameters(), 1.), flat.clone()
    model(torch.randn(5, 4), torch.randn(5, 2)); model.backward(); opt.step()
    assert_close(before - flat, torch.cat([p.g.flatten() for p in model.parameters()]))
    columns = torch.randn(4, 6)
    SGD([columns[:, ::2], columns[:, 1::2]], 1.)

@pytest.mark.parametrize('change', [
    lambda x, m: x.mul_(2), lambda x, m: m.layers[0].w.mul_(2), lambda x, m: m.layers[0].b.zero_(),
    lambda x, m: m.layers[1].first.w.zero_(), lambda x, m: m.layers[0].out.zero_(),
    lambda x, m: m.layers[1].out.zero_(), lambda x, m: m.layers[2].ws[1].zero_(),
    lambda x, m: m.loss.args[1].zero_()])
def test_changed_on_the_way(change):
    model = Model([lin_of(4, 3), Residual(lin_of(3, 3), Relu()), Listed(3)], Mse())
    x, y = torch.randn(5, 4), torch.randn(5, 3)
    model(x, y); model.backward(); model.backward()
    change(x, model)
    with pytest.raises(RuntimeError, match='changed in place'): model.backward()
    model(x, y); model.backward()

def test_a_loop_without_the_forward_pass():
    model, x, y = deep(), torch.randn(7, 4), torch.randn(7, 2)
    opt = SGD(model.parameters(), 0.1)
    model(x, y); model.backward(); opt.step()
    with pytest.raises(RuntimeError, match='changed in place'): model.backward()
    with pytest.raises(RuntimeError, match='used by the previous step'): opt.step()

@pytest.mark.parametrize('kind', [SGD, Adam])
def test_a_step_keeps_no_gradient_alive(kind):
    "The next way back may reuse the memory; an optimizer can still be copied."
    model, x, y = deep(), torch.randn(7, 4), torch.randn(7, 2)
    opt = kind(model.parameters(), 0.1)
    model(x, y); model.backward(); opt.step()
    with pytest.raises(RuntimeError, match='used by the previous step'): opt.step()
    for again in copy.deepcopy(opt), pickle.loads(pickle.dumps(opt)):
        for p in again.params: p.g = torch.ones_like(p)
        again.step()
    old = [weakref.ref(p.g) for p in opt.params]
    for p in opt.params: p.g = torch.ones_like(p)
    assert not any(r() is not None for r in old)
    opt.step()

def test_inference_mode():
    with torch.inference_mode():
        model, x, y = deep(), torch.randn(7, 4), torch.randn(7, 2)
        model(x, y); model.backward()
        got = [p.g.clone() for p in model.parameters()]
    twin = deep()
    for p, q in zip(twin.state().values(), model.state().values()): p.copy_(q)
    for g, want in zip(got, by_autograd(twin, x.clone(), y.clone())): assert_close(g, want)

def test_what_is_printed():
    said = repr(deep())
    for part in (f'Model, {deep().num_parameters():,} parameters', 'w (4, 5), b (5,)', 'loss',
                 'Residual(first Residual(first Lin(w (5, 3), b (3,)), rest.0 Relu()', 'scale=2.0'):
        assert part in said
    assert repr(MaxPool2d(2)) == 'MaxPool2d(size=2, stride=2)' and repr(Relu()) == 'Relu()'
    conv = Conv2d(torch.randn(8, 1, 3, 3), torch.zeros(8), padding=1)
    assert repr(conv) == 'Conv2d(w (8, 1, 3, 3), b (8,), stride=1, padding=1)'
    conv(torch.randn(2, 1, 5, 5)); assert 'args' not in repr(conv)

def test_code_in_the_manner_of_the_sources():
    "Classes of one's own with plain tensors, by the names that fast.ai's lesson uses."
    class MyLin(Module):
        def __init__(self, w, b): self.w, self.b = w, b
        def forward(self, inp): return inp @ self.w + self.b
        def bwd(self, out, inp):
            inp.g = out.g @ self.w.t()
            self.w.g = inp.t() @ out.g
            self.b.g = out.g.sum(0)
    class MyRelu(Module):
        def forward(self, inp): return inp.clamp_min(0.)
        def bwd(self, out, inp): inp.g = (inp > 0).float() * out.g
    class MyMse(Module):
        def forward(self, inp, targ): return (inp.squeeze() - targ).pow(2).mean()
        def bwd(self, out, inp, targ):
            inp.g = 2 * (inp.squeeze() - targ).unsqueeze(-1) / targ.shape[0]
    x, y, w1, b1 = torch.randn(7, 4), torch.randn(7), torch.randn(4, 3), torch.zeros(3)
    w2, b2 = torch.randn(3, 1), torch.zeros(1)
    model = Model([MyLin(w1, b1), MyRelu(), MyLin(w2, b2)], MyMse())
    loss = model(x, y)
    model.backward()
    got = [p.g.clone() for p in model.parameters()]
    assert_close(loss, forward_and_backward(x, y, w1, b1, w2, b2))
    for g, p in zip(got, (w1, b1, w2, b2)): assert_close(g, p.g)
    fit(model, SGD(model.parameters(), 0.01), (x, y), 2, progress=False)
    assert [id(p) for p in model.parameters()] == [id(p) for p in (w1, b1, w2, b2)]

# ---- what would be lost, or wrong without a word

class Same(Module):
    def __init__(self, **held): vars(self).update(held)
    def forward(self, inp): return inp * 1.
    def bwd(self, out, inp): inp.g = out.g

@pytest.mark.parametrize('held, words', [
    (lambda: {'ls': {lin_of(3, 3)}}, 'inside ls, a set'),
    (lambda: {'ls': frozenset([torch.ones(3)])}, 'inside ls, a frozenset'),
    (lambda: {'ls': deque([lin_of(3, 3)])}, 'inside ls, a deque'),
    (lambda: {'ls': torch.nn.Linear(3, 3)}, 'inside ls, a Linear'),
    (lambda: {'p': SimpleNamespace(w=torch.ones(3))}, 'inside p, a SimpleNamespace'),
    (lambda: {'p': [{'q': make_dataclass('Pair', 'wb')([torch.ones(3)], 1)}]},
     'inside p.0.q, a Pair'),
    (lambda: {'ls': [3, ({lin_of(3, 3)},)]}, 'inside ls.1.0, a set'),
    (lambda: {'out': lin_of(3, 3)}, 'the name out is taken'),
    (lambda: {'args': torch.ones(3)}, 'the name args is taken'),
    (lambda: {'training_': 3, 'eval': torch.ones(3)}, 'the name eval is taken'),
    (lambda: {'buffers': [lin_of(3, 3)]}, 'the name buffers is taken'),
    (lambda: {'not_learned': ('mena',)}, 'not_learned names mena'),
    (lambda: {'d': {'a.b': torch.ones(2), 'a': {'b': torch.ones(2)}}}, 'the same dotted name')])
@pytest.mark.parametrize('use', [lambda m: Model([m], Mse()).state(), lambda m: m.state(),
                                 lambda m: (m(torch.randn(2, 3)), m.state())])
def test_what_would_be_lost_is_refused(held, words, use):
    with pytest.raises(TypeError, match=words): use(Same(**held()))

def test_what_forward_would_overwrite_is_refused():
    class Out(Same):
        def forward(self, inp): self.out = inp.exp(); return self.out * 2
    class Args(Same):
        def forward(self, inp): self.args, self.half = (inp.exp(),), inp / 2; return self.half
    for layer, name in (Out(), 'out'), (Args(), 'args'):
        x, model = torch.randn(2, 3), Model([layer], Mse())
        for use in (lambda: layer(x), lambda: model(x, x)):
            for _ in range(2):
                with pytest.raises(TypeError, match=f'forward sets {name}, which'): use()
            with pytest.raises(OrderError, match='backward before forward'): layer.backward()

def test_objects_that_hold_no_tensors_are_held():
    layer = Same(how=SimpleNamespace(d=3, names=['a']), act=torch.tanh, kind=Lin, w=torch.ones(3))
    assert [*layer.state()] == ['w'] and layer(torch.ones(2, 3)).sum() == 6

def test_arguments_by_name_are_refused():
    for call, says in [(lambda x: lin_of(3, 2)(inp=x), 'Lin: inp came by name'),
                       (lambda x: Model([Relu()], Mse())(x, targ=x), 'Model: targ came by name')]:
        with pytest.raises(TypeError, match=says): call(torch.randn(5, 3))

def test_what_belongs_to_a_class_is_refused():
    class Shared(Same): w = torch.ones(3)
    with pytest.raises(TypeError, match='w belongs to the class'): Model([Shared()], Mse())

def test_not_learned_as_a_text_and_in_subclasses():
    class Mean(Same):
        not_learned = 'mean'
        def __init__(self): self.m, self.mean = torch.ones(3), torch.zeros(3)
    class More(Mean):
        not_learned = 'var',
        def __init__(self): super().__init__(); self.var = torch.ones(3)
    assert [n for n, _ in Mean().named_parameters()] == ['m']
    assert [n for n, _ in More().named_buffers()] == ['mean', 'var']

def test_a_name_that_held_nothing_at_first():
    class Mask(Same):
        def __init__(self): self.mask, self.seen = None, []
        def forward(self, inp):
            self.mask = torch.ones_like(inp)
            self.seen.append(inp)
            return inp * 1.
    model = Model([lin_of(4, 3), Mask()], Mse())
    model(torch.randn(5, 4), torch.randn(5, 3))
    assert [*model.state()] == ['layers.0.w', 'layers.0.b']

def test_looking_settles_nothing():
    layer = Same()
    assert 'Same()' in repr(layer) and not layer.parameters()
    layer.w = torch.ones(3)
    assert len(layer.parameters()) == 1
    class Net(Model):
        def __init__(self): super().__init__([Relu()], Mse()); self.scale = torch.ones(3)
    assert [*Net().state()] == ['scale']

class Into(Module):
    "Writes into what it gets."
    def forward(self, inp): return inp.mul_(2)
    def bwd(self, out, inp): inp.g = 2*out.g

def test_layers_that_write_into_what_they_get():
    x, y = torch.randn(5, 4), torch.randn(5, 3)
    model = Model([lin_of(4, 3), Sigmoid(), Into(), lin_of(3, 3)], Mse())
    with pytest.raises(RuntimeError, match='writes into the output of Sigmoid'): model(x, y)
    with pytest.raises(RuntimeError, match='backward before forward'): model.backward()
    with pytest.raises(RuntimeError, match='writes into the input'):
        Model([Into(), lin_of(4, 3)], Mse())(x, y)

def test_parameters_that_are_exchanged_in_lists_and_blocks():
    class Two(Module):
        def __init__(self): self.held = [lin_of(4, 3), torch.randn(3)]
        def forward(self, inp): return self.held[0](inp) + self.held[1]
        def bwd(self, out, inp):
            self.held[0].out.g = out.g
            self.held[0].backward()
            self.held[1].g = out.g.sum(0)
    x, y = torch.randn(5, 4), torch.randn(5, 3)
    model = Model([Two()], Mse())
    for held, key, name in (model.layers[0].held, 1, 'layers.0.held.1'), \
                           (vars(model.layers[0].held[0]), 'w', 'layers.0.held.0.w'):
        model(x, y)
        was, held[key] = held[key], held[key].clone()
        with pytest.raises(RuntimeError, match=f'{name} is a different tensor'): model.backward()
        held[key] = was
        model.backward()

def by_itself(m, k): m.layers[k](torch.randn(2, 4))
def its_loss(m): m.loss(torch.randn(2, 3), torch.randn(2, 3))
def exchanged(m): m.layers[0].w = m.layers[0].w + 1

@pytest.mark.parametrize('again', [
    lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize('spoil, says', [
    (lambda m: by_itself(m, 0), 'Lin has been called on its own'),
    (its_loss, 'Mse has been called on its own'), (exchanged, 'layers.0.w is a different tensor')])
def test_what_is_refused_is_refused_in_a_copy_too(spoil, says, again):
    x, y = torch.randn(5, 4), torch.randn(5, 3)
    model = Model([lin_of(4, 3), Relu()], Mse())
    model(x, y)
    model = again(model)
    spoil(model)
    with pytest.raises(RuntimeError, match=says): model.backward()
    model(x, y)
    model.backward()

@pytest.mark.parametrize('new', [
    lambda m: {'layers': [lin_of(4, 3), Relu()]}, lambda m: {'layers': [m.layers[0]]},
    lambda m: {'loss': Mse()}])
def test_what_is_replaced_is_said_to_be(new):
    x, y = torch.randn(5, 4), torch.randn(5, 3)
    model = Model([lin_of(4, 3), Relu()], Mse())
    model(x, y)
    vars(model).update(new(model))
    with pytest.raises(OrderError, match='Model: a layer or the loss has been replaced since'):
        model.backward()
    model(x, y)
    model.backward()

def test_a_loss_that_is_a_model_watches_its_layers():
    x, y = torch.randn(5, 4), torch.randn(5, 3)
    inner = Model([lin_of(4, 3)], Mse())
    model = Model([Relu()], inner)
    model(x, y)
    model.backward()
    model(x, y)
    by_itself(inner, 0)
    with pytest.raises(RuntimeError, match='called on its own'): model.backward()

def test_an_output_that_is_changed_and_then_left():
    x, y = torch.randn(5, 4), torch.randn(5, 3)
    model = Model([lin_of(4, 3), Relu()], Mse())
    model(x, y)
    model.layers[0].out.add_(1)
    by_itself(model, 0)
    with pytest.raises(RuntimeError, match='changed in place'): model.backward()

def test_gradients_of_another_shape():
    class Wide(Module):
        def forward(self, inp): return 2*inp
        def bwd(self, out, inp): inp.g = 2*out.g.mean(0, keepdim=True)
    model = Model([lin_of(4, 3), Kept(), Wide()], Mse())
    model(torch.randn(5, 4), torch.randn(5, 3))
    with pytest.raises(ValueError, match=r'Wide: bwd has written \(1, 3\) into .g of argument 0'):
        model.backward()

def test_a_parameter_of_the_loss():
    class Loss(Module):
        def __init__(self, w): self.w = w
        def forward(self, inp, targ): return cross_entropy(inp @ self.w, targ)
        def bwd(self, out, inp, targ):
            z = inp @ self.w
            cross_entropy_grad(z, targ, out)
            inp.g, self.w.g = z.g @ self.w.t(), inp.t() @ z.g
    w = torch.randn(3, 3)
    model = Model([lin_of(4, 3)], Loss(w))
    assert [n for n, _ in model.named_parameters()][-1] == 'loss.w'
    check_grads(model, torch.randn(5, 4), torch.randint(3, (5,)))
    with pytest.raises(ValueError, match='in common'): Model([Lin(w, torch.zeros(3))], Loss(w))

def test_a_check_leaves_no_graph_in_buffers():
    class Mean(Module):
        not_learned = 'mean',
        def __init__(self): self.mean = torch.zeros(3)
        def forward(self, inp): self.mean.lerp_(inp.mean(0), 0.1); return 2*inp
        def bwd(self, out, inp): inp.g = 2*out.g
    layer = Mean()
    check_grads(layer, torch.randn(5, 3))
    assert layer.mean.grad_fn is None and not layer.mean.any() and copy.deepcopy(layer)

def test_buffers_that_are_not_finite_end_a_training():
    class Grows(Same):
        not_learned = 'b',
        def forward(self, inp): self.b = self.b / 0; return inp * 1.
    model = Model([lin_of(4, 3), Grows(b=torch.ones(3))], Mse())
    opt = SGD(model.parameters(), 0.1)
    with pytest.raises(FloatingPointError, match='layers.1.b'):
        fit(model, opt, (torch.randn(5, 4), torch.randn(5, 3)), 1, progress=False)
    assert torch.equal(model.state()['layers.1.b'], torch.ones(3))

def test_parameters_that_are_exchanged_on_the_way():
    x, y = torch.randn(5, 4), torch.randn(5, 3)
    layer = lin_of(4, 3)
    for there, back in [(lambda: layer(x), lambda: layer.backward()),
                        (lambda m=Model([layer], Mse()): m(x, y), lambda m: m.backward())]:
        model = Model([layer], Mse())
        there() if there.__code__.co_argcount == 0 else model(x, y)
        layer.w = layer.w - 0.1
        with pytest.raises(RuntimeError, match='w is a different tensor'):
            back() if back.__code__.co_argcount == 0 else back(model)

def test_looking_changes_no_counter_and_no_list():
    class Counts(Same):
        def __init__(self): self.n, self.seen, self.kept = torch.tensor(0), [], {}
        def forward(self, inp):
            self.n += 1; self.seen.append(inp); self.kept['inp'] = inp
            return inp * 1.
    model, x, y = Model([lin_of(4, 3), Counts()], Mse()), torch.randn(5, 4), torch.randn(5, 3)
    model(x, y)
    held = vars(model.layers[1])
    before = held['n'].item(), len(held['seen']), held['kept']['inp']
    model.predict(torch.randn(6, 4))
    assert before[:2] == (held['n'].item(), len(held['seen'])) == (1, 1)
    assert held['kept']['inp'] is before[2]

def test_looking_between_there_and_back_with_counters_and_lists():
    "What is not learned may change in a look, and is no change on the way."
    class Counts(Same):
        def __init__(self): self.n, self.ws = torch.tensor(0), [torch.tensor(0)]
        def forward(self, inp): self.n += 1; self.ws[0] += 1; return inp * 1.
    model, x, y = deep(), torch.randn(7, 4), torch.randn(7, 2)
    model.layers = [*model.layers[:2], Residual(Counts(), Listed(5)), *model.layers[2:]]
    model(x, y); model.backward()
    want = [p.g for p in model.parameters()]
    model(x, y); model.predict(torch.randn(3, 4)); model.backward()
    for p, g in zip(model.parameters(), want): assert_close(p.g, g)
    assert model.layers[2].first.n == 2
    with pytest.raises(RuntimeError, match='changed in place'):
        model.layers[2].rest[0].ws[0].mul_(2); model.backward()

def test_a_gradient_that_is_a_number():
    class One(Module):
        def forward(self, inp): return inp * 1.
        def bwd(self, out, inp): inp.g = 1.
    model = Model([lin_of(4, 3), One()], Mse())
    model(torch.randn(5, 4), torch.randn(5, 3))
    with pytest.raises(ValueError, match='One: bwd has written 1.0'): model.backward()

# ---- forgetting

@pytest.mark.parametrize('gradients', [True, False])
def test_clear_forgets_the_call(gradients):
    model = Model([*mlp(5, 4), Relu(), Residual(*mlp(4, 4)), *mlp(4, 3)], CrossEntropy())
    x, y = torch.randn(7, 5), torch.randint(3, (7,))
    model(x, y); model.backward()
    before = {n: t.clone() for n, t in model.state().items()}
    inner = [weakref.ref(m.out) for m in model.modules()]
    inner += [weakref.ref(m.out.g) for m in model.layers]
    assert model.clear(gradients=gradients) is None
    model.layers[2].end = None                  # what a layer keeps besides is its own affair
    assert not [r for r in inner if r() is not None]
    assert all((p.g is None) == gradients for p in model.parameters())
    with pytest.raises(OrderError, match='Model: backward before forward'): model.backward()
    with pytest.raises(OrderError, match='Lin: backward before forward'): model.layers[0].backward()
    assert_close(model.state(), before, rtol=0, atol=0)
    model(x, y); model.backward()

def test_clear_before_any_call():
    model = Model(mlp(5, 3), CrossEntropy())
    for p in model.parameters(): p.g = torch.ones_like(p)
    model.clear()
    assert [p.g for p in model.parameters()] == [None, None]

def test_clear_of_a_copy():
    model = Model(mlp(5, 3), CrossEntropy())
    model(torch.randn(7, 5), torch.randint(3, (7,))); model.backward()
    other = copy.deepcopy(model)
    other.clear()
    assert [p.g for p in other.parameters()] == [None, None] and other.layers[0].out is None
    assert all(p.g is not None for p in model.parameters()) and model.layers[0].out is not None

# ---- layers of one's own that go wrong in a Model

class Bare(Module):
    "What comes in, or the larger of it and a mask that is infinite by nature."
    not_learned = 'mask', 'held'
    def __init__(self, back, *held):
        self.back, self.mask, self.held = back, torch.full((3,), -torch.inf), [*held]
    def forward(self, inp): return torch.maximum(inp, self.mask)
    def bwd(self, out, inp): self.back(self, out, inp)

def right(self, out, inp): inp.g = out.g.clone()
def spoils(self, out, inp): inp.g = inp.mul_(2) * 0 + out.g
def returns(self, out, inp): return out.g

def bare(*how): return Model([lin_of(4, 3), Bare(*how), lin_of(3, 2)], CrossEntropy())
DATA = torch.randn(6, 4), torch.randint(2, (6,))

def test_a_buffer_may_be_infinite_and_a_parameter_may_not():
    model = bare(right)
    fit(model, SGD(model.parameters(), .1), DATA, 1, progress=False)
    model.layers[0].w[0] = torch.inf
    with pytest.raises(DivergenceError):
        fit(model, SGD(model.parameters(), .1), DATA, 1, progress=False)

def test_a_sublayer_that_is_not_learned():
    model = bare(right, lin_of(2, 2))
    assert len(model.layers[1].named_buffers()) == 3 and not model.layers[1].parameters()
    model(*DATA)
    assert len(model.parameters()) == 4

@pytest.mark.parametrize('back, error, says', [
    (spoils, OrderError, 'changed in place'), (returns, UpstreamError, 'Bare|lin_grad')])
def test_a_wrong_way_back_is_named(back, error, says):
    model = bare(back)
    model(*DATA)
    with pytest.raises(error, match=says): model.backward()

def test_who_reads_a_gradient_that_nobody_wrote():
    class Own(Bare):
        def bwd(self, out, inp): inp.g = out.g * 2
    model = Model([lin_of(4, 3), Own(right), Bare(returns), lin_of(3, 2)], CrossEntropy())
    model(*DATA)
    with pytest.raises(UpstreamError, match='Own: nothing has arrived in out.g .6, 3.'):
        model.backward()

def test_a_model_without_memory():
    "On meta all tensors lie at 0, and have nothing in common."
    with torch.device('meta'): model = Model(mlp(6, 8, 3), CrossEntropy())
    assert model.num_parameters() == 7*8 + 9*3
    w, b = model.layers[0].w, model.layers[0].b
    with pytest.raises(ReuseError, match='in common'): Model([Lin(w, b), Lin(w, b)], CrossEntropy())

# ---- what is learned may change

def frozen_first():
    body = Lin(torch.randn(4, 3), torch.randn(3))
    body.not_learned = 'w', 'b'
    return body, Model([body, Relu(), Lin(torch.randn(3, 2), torch.randn(2))], CrossEntropy())

@pytest.mark.parametrize('called', [False, True])
def test_a_first_layer_that_is_unfrozen(called):
    (body, model), x, y = frozen_first(), torch.randn(6, 4), torch.randint(2, (6,))
    if called: model(x, y); model.backward(); assert getattr(body.w, 'g', None) is None
    body.not_learned = ()
    model(x, y); model.backward()
    got, n = body.w.g, len(model.parameters())
    model.backward(input_grad=True)
    assert_close(got, body.w.g); assert n == 4
    body.not_learned = 'w', 'b'                         # and back again
    model(x, y); body.w.g = None; model.backward()
    assert body.w.g is None and len(model.parameters()) == 2

def test_weights_that_come_before_the_first_call():
    class Late(Lin):
        def __init__(self): pass
    late = Late()
    model = Model([late, Relu(), Lin(torch.randn(3, 2), torch.randn(2))], CrossEntropy())
    late.w, late.b = torch.randn(4, 3), torch.randn(3)
    model(torch.randn(6, 4), torch.randint(2, (6,))); model.backward()
    assert late.w.g.shape == (4, 3)

# ---- several outputs

class Split(Module):
    "Two outputs: a part of the features times a weight, and the sine of the others."
    def __init__(self, w): self.w = w
    def forward(self, inp, extra=None):
        n = len(self.w)
        return inp[:,:n] * self.w, inp[:,n:].sin()
    def bwd(self, out, inp, extra=None):
        a, b = out
        n = len(self.w)
        inp.g = torch.cat([a.g * self.w, b.g * inp[:,n:].cos()], 1)
        self.w.g = (a.g * inp[:,:n]).sum(0)

class Join(Module):
    def forward(self, pair): return pair[0] * pair[1].sum(1, keepdim=True)
    def bwd(self, out, pair):
        a, b = pair
        a.g = out.g * b.sum(1, keepdim=True)
        b.g = (out.g * a).sum(1, keepdim=True).expand_as(b)

def splitting(): return Model([lin_of(4, 5), Split(torch.randn(2)), Join(), lin_of(2, 3)], Mse())

def test_several_outputs_in_a_model():
    check_grads(splitting(), torch.randn(6, 4), torch.randn(6, 3))
    model, x, y = splitting(), torch.randn(6, 4), torch.randn(6, 3)
    history = fit(model, SGD(model.parameters(), .01), (x, y), 30, progress=False)
    assert history.train_loss[-1] < history.train_loss[0]

def test_several_outputs_that_the_loss_gets():
    class Both(Mse):
        def forward(self, pair, targ): return mse(pair[0], targ) + pair[1].pow(2).mean()
        def bwd(self, out, pair, targ):
            mse_grad(pair[0], targ, out)
            pair[1].g = upstream(out) * 2 * pair[1] / pair[1].numel()
    model = Model([lin_of(4, 5), Split(torch.randn(2))], Both())
    x, y = torch.randn(6, 4), torch.randn(6, 2)
    check_grads(model, x, y)
    history = fit(model, SGD(model.parameters(), .01), (x, y), 2, (x, y), progress=False)
    assert_close(history.valid_loss[-1], model.eval().forward(x, y).item())
    assert history.valid_acc == [None, None]
    with pytest.raises(ValueError, match='have no classes'): accuracy(model, (x, y))

def test_several_outputs_that_are_changed_on_the_way():
    model = splitting()
    model(torch.randn(6, 4), torch.randn(6, 3))
    model.layers[1].out[1].add_(1)
    with pytest.raises(OrderError, match='Join: argument 0 changed|output of Split changed'):
        model.backward()
    layer, x = Split(torch.randn(2)), torch.randn(6, 5)
    a, b = layer(x)
    a.g, b.g = torch.randn(6, 2), torch.randn(6, 3)
    a.mul_(2)
    with pytest.raises(OrderError, match='output of Split changed'): layer.backward()

def test_several_outputs_that_are_written_into_by_the_next():
    class Writes(Join):
        def forward(self, pair): pair[0].mul_(2); return super().forward(pair)
    model = Model([lin_of(4, 5), Split(torch.randn(2)), Writes()], Mse())
    with pytest.raises(OrderError, match='writes into the output of Split'):
        model(torch.randn(6, 4), torch.randn(6, 2))

def test_one_tensor_twice_where_there_are_several_outputs():
    layer, x = Split(torch.randn(2)), torch.randn(6, 5)
    a, b = layer(x, x)
    a.g, b.g = torch.randn(6, 2), torch.randn(6, 3)
    with pytest.raises(ReuseError, match='two arguments are one'): layer.backward()

@pytest.mark.parametrize('missing, shape', [(0, '6, 2'), (1, '6, 3')])
def test_several_outputs_of_which_one_gets_nothing(missing, shape):
    layer = Split(torch.randn(2))
    outs = layer(torch.randn(6, 5))
    outs[1 - missing].g = torch.randn_like(outs[1 - missing])
    with pytest.raises(UpstreamError, match=f'Split: nothing has arrived in out.g .{shape}.'):
        layer.backward()

# ---- elsewhere, or in another dtype

class Counted(Module):
    "Whole numbers, a buffer of floats, and one weight in two places."
    not_learned = 'mean'
    def __init__(self):
        self.w, self.n, self.mean = torch.randn(3, 3), torch.tensor([7]), torch.randn(3)
        self.same = [self.w]
    def forward(self, inp): return inp @ self.w + self.mean
    def bwd(self, out, inp): inp.g, self.w.g = out.g @ self.w.t(), inp.t() @ out.g

@pytest.mark.parametrize('where', [
    lambda m: m.to(torch.float64), lambda m: m.to('cpu', torch.float64),
    lambda m: m.to(dtype=torch.float64)])
@pytest.mark.parametrize('called', [False, True])
def test_to_another_dtype(where, called):
    model, x, y = Model([lin_of(4, 3), Counted()], Mse()), torch.randn(5, 4), torch.randn(5, 3)
    if called: model(x, y); model.backward()
    state, opt = model.state(), SGD(model.parameters(), .1)
    before = {n: t.clone() for n, t in state.items()}
    assert where(model) is model
    with pytest.raises(OrderError, match='backward before forward'): model.backward()
    for n, t in model.state().items():
        assert t is state[n] and getattr(t, 'g', None) is None
        assert t.dtype is (torch.int64 if n.endswith('.n') else torch.float64)
        assert_close(t, before[n].to(t.dtype), rtol=0, atol=0)
    assert model.layers[1].same[0] is model.layers[1].w
    model(x.double(), y.double())
    model.backward()
    want = [p - .1*p.g for p in opt.params]
    opt.step()                                  # of an optimizer from before
    for p, w in zip(model.parameters(), want, strict=True): assert_close(p, w)

def test_to_no_dtype_of_floats():
    model = Model([lin_of(4, 3)], Mse())
    with pytest.raises(TypeError, match='Model: to torch.int64, want a dtype of floats'):
        model.to(torch.int64)
    assert model.layers[0].w.dtype is torch.float32

@pytest.mark.skipif(not torch.cuda.is_available(), reason='no graphics card')
def test_to_another_device():
    model, x, y = Model([lin_of(4, 3), Counted()], Mse()), torch.randn(5, 4), torch.randn(5, 3)
    params = model.parameters()
    want = model(x, y)
    model.to('cuda')
    assert all(t.is_cuda for t in model.state().values())
    assert all(p is q for p, q in zip(params, model.parameters(), strict=True))
    fit(model, Adam(params), (x.cuda(), y.cuda()), 2, progress=False)
    assert model.to('cpu')(x, y) < want
