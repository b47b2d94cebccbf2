"""Wherever a whole number is wanted, whatever Python takes for an index will do, and True will not.
A new parameter with `int` in its hint, without a call here, fails."""
import inspect, io
from typing import get_args
import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np, pytest, torch
from torch import rand, tensor
import backprop_nb.all
from backprop_nb.all import *

def whole_parameters(space):
    "(name, parameter) of all public functions and classes that want a whole number."
    for name, f in vars(space).items():
        if name.startswith('_') or not (inspect.isfunction(f) or inspect.isclass(f)): continue
        if inspect.isclass(f) and issubclass(f, (Exception, tuple)): continue  # tuples: records
        for p in inspect.signature(f).parameters.values():
            if int in (p.annotation, *get_args(p.annotation)): yield name, p.name

IMAGES, FILTERS, BIASES = rand(2, 3, 6, 6), rand(4, 3, 2, 2), rand(4)

def back(forward, backward, *inputs):
    "A call of a gradient function: the gradients that it leaves."
    def call(**whole):
        out = forward(*inputs, **whole)
        out.g = torch.ones_like(out)
        backward(inputs[0], out, *inputs[1:], **whole)
        return [t.g for t in inputs]
    return call

def made(module, *args):
    "A call of a layer: what it gives, and the gradient that it leaves."
    def call(**whole):
        layer = module(*args, **whole)
        out = layer(IMAGES)
        out.g = torch.ones_like(out)
        layer.backward()
        return out, IMAGES.g
    return call

def pictured(draw, *args):
    "A call of a function that draws: the picture."
    def call(**whole):
        draw(*args, **whole)
        plt.savefig(file := io.BytesIO(), format='rgba')
        plt.close('all')
        return file.getvalue()
    return call

def fitted(**whole):
    torch.manual_seed(0)
    model = Model(mlp(4, 3), CrossEntropy())
    data = torch.arange(20.).view(5, 4) / 20, tensor([0, 1, 2, 0, 1])
    fit(model, SGD(model.parameters(), .1), data, **{'epochs': 1, 'progress': False, **whole})
    return model.parameters()

def seeded(call):
    "A call that takes its numbers one after another, and draws at random."
    def run(**whole):
        torch.manual_seed(0)
        return call(*whole.values())
    return run

def scales(every):
    "The scale after each of five good steps."
    p = torch.ones(2).half()
    scaled, seen = LossScale([p], 8., every), []
    for _ in range(5): p.g = torch.ones_like(p); scaled.unscale(); seen.append(scaled.scale)
    return seen

def normed(norm):
    "A call of a norm of 6 channels or features."
    def call(**whole):
        return norm(**whole)(torch.arange(24.).view(4, 6))
    return call

def blocked(**whole):
    torch.manual_seed(0)
    return Block(**{'width': 6, **whole})(torch.arange(36.).view(2, 3, 6) / 36)

def learned(**whole):
    torch.manual_seed(0)
    return GPT(**{'vocab': 4, 'context': 5, 'width': 6, 'heads': 3, 'layers': 2, **whole})

def reduced(**whole):
    p = torch.zeros(3)
    p.g = torch.arange(3.)
    reduce_grads([p], **{'n': 2, **whole})
    return p.g

def read(**whole):
    gpt = learned(**whole)
    return gpt(WORDS[None,:5]), gpt.parameters()

WORDS = tensor([0, 1, 2, 3, 3, 1, 0, 2, 1, 0, 3, 2])
QKV = rand(2, 5, 4), rand(2, 5, 4), rand(2, 5, 3)

def attended(**whole):
    torch.manual_seed(0)
    return Attention(**{'width': 6, **whole})(torch.arange(60.).view(2, 5, 6) / 60)

CONV, MAX, AVG = {'stride': 2, 'padding': 1}, {'size': 2, 'stride': 1}, {'size': 2, 'stride': 1}
CALLS = {  # of each function the call, and a number for each parameter that wants a whole one
    'two_moons': (two_moons, {'n': 20, 'seed': 3}),
    'show_digits': (pictured(show_digits, rand(3, 784)), {'cols': 2}),
    'draw_graph': (pictured(draw_graph, Value(1, 'x') / 3), {'digits': 2}),
    'kaiming': (seeded(lambda n: kaiming(n, n)), {'shape': 3}),
    'mlp': (seeded(lambda n: [p for l in mlp(n, n) for p in l.parameters()]), {'sizes': 3}),
    'LayerNorm': (normed(LayerNorm), {'d': 6}), 'RMSNorm': (normed(RMSNorm), {'d': 6}),
    'BatchNorm': (normed(BatchNorm), {'C': 6}),
    'Block': (blocked, {'width': 6, 'heads': 3}),
    'GPT': (read, {'vocab': 6, 'context': 5, 'width': 6, 'heads': 3, 'layers': 2}),
    'cosine': (lambda **k: cosine(**{'step': 3, 'steps': 9, 'high': 1., **k}),
               {'step': 4, 'steps': 8, 'warmup': 5}),
    'windows': (lambda length: windows(WORDS, WORDS[:2], length), {'length': 3}),
    'text_loss': (lambda batch_size: text_loss(learned(), WORDS, batch_size), {'batch_size': 1}),
    'sample': (lambda **k: sample(learned(), WORDS[:2], **{'n': 3, **k}),
               {'n': 4, 'top_k': 2, 'seed': 5}),
    'all_mean': (lambda **k: all_mean([BIASES], **{'n': 2, **k}), {'n': 3, 'bucket': 2}),
    'reduce_grads': (reduced, {'n': 3, 'bucket': 2}),
    'attention_blocks': (lambda **k: attention_blocks(*QKV, True, **k), {'size': 2}),
    'attention_blocks_grad': (back(lambda *a, **k: attention_blocks(*a, True, **k),
                                   lambda *a, **k: attention_blocks_grad(*a, True, **k), *QKV),
                              {'size': 2}),
    'Attention': (attended, {'width': 6, 'heads': 3}),
    'LossScale': (scales, {'every': 2}),
    'fit': (fitted, {'epochs': 2, 'batch_size': 2, 'seed': 3}),
    'conv2d': (lambda **k: conv2d(IMAGES, FILTERS, BIASES, **k), CONV),
    'conv2d_grad': (back(conv2d, conv2d_grad, IMAGES, FILTERS, BIASES), CONV),
    'max_pool2d': (lambda **k: max_pool2d(IMAGES, **{**MAX, **k}), MAX),
    'max_pool2d_grad': (lambda **k: back(max_pool2d, max_pool2d_grad, IMAGES)(**{**MAX, **k}), MAX),
    'avg_pool2d': (lambda **k: avg_pool2d(IMAGES, **{**AVG, **k}), AVG),
    'avg_pool2d_grad': (lambda **k: back(avg_pool2d, avg_pool2d_grad, IMAGES)(**{**AVG, **k}), AVG),
    'Conv2d': (made(Conv2d, FILTERS, BIASES), CONV),
    'MaxPool2d': (lambda **k: made(MaxPool2d)(**{**MAX, **k}), MAX),
    'AvgPool2d': (lambda **k: made(AvgPool2d)(**{**AVG, **k}), AVG)}

WANTED = [*whole_parameters(backprop_nb.all)]
wanted = pytest.mark.parametrize('name, parameter', WANTED)

def same(a, b):
    if isinstance(a, (tuple, list)): return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if torch.is_tensor(a) else a == b

@pytest.fixture(autouse=True)
def no_window(monkeypatch): monkeypatch.setattr(plt, 'show', lambda *a, **k: None)

def test_some_are_found(): assert {('two_moons', 'n'), ('kaiming', 'shape'), *[
    ('max_pool2d', 'stride'), ('Conv2d', 'padding')]} <= {*WANTED}

@wanted
def test_whatever_is_an_index_will_do(name, parameter):
    assert parameter in CALLS.get(name, ({}, {}))[1], f'{name}: give CALLS a number for {parameter}'
    call, numbers = CALLS[name]
    want = call(**{parameter: numbers[parameter]})
    for kind in np.int64, np.uint8, tensor, lambda n: tensor(n, dtype=torch.int32):
        assert same(call(**{parameter: kind(numbers[parameter])}), want)

@wanted
def test_true_is_no_whole_number(name, parameter):
    call, _ = CALLS[name]
    for bad in True, np.bool_(True), tensor(True), 2., '2':
        with pytest.raises(TypeError, match='is .*, want a whole number') as e:
            call(**{parameter: bad})
        assert parameter in str(e.value)
