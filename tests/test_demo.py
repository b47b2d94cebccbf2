"`python -m backprop_nb`: its table, its results, its picture, what it writes and what it refuses."
import argparse, dataclasses, json, os, re, subprocess, sys
from pathlib import Path
import pytest, torch
from safetensors.torch import load, save
from test_data import needs_real, real
import backprop_nb.__main__ as demo

def run(*args, **env):
    "What the command prints, its progress on stderr, and its exit code."
    r = subprocess.run([sys.executable, '-m', 'backprop_nb', *args], capture_output=True, text=True,
                       env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', **env})
    return r.stdout, r.stderr, r.returncode

def percent(text): return float(re.search(r'([\d.]+) %', text)[1])

def test_every_operation_has_a_row():
    rows = [name for name, _ in demo.gradient_table(torch.device('cpu'))]
    assert rows == [*demo.OPS, 'perceptron', 'convolutional network', 'GPT']

def test_table_shows_a_wrong_gradient(monkeypatch, capsys, tmp_path):
    def slip(inp, out): inp.g = out.g * (inp < 0)
    monkeypatch.setitem(demo.OPS, 'relu', demo.OPS['relu'])  # a record enters itself
    dataclasses.replace(demo.OPS['relu'], backward=slip)
    assert demo.main(['--device', 'cpu', '--out', str(tmp_path/'p.png')]) == 1
    out = capsys.readouterr().out
    assert re.search(r'^relu +1\.0e\+00  WRONG', out, re.M)
    assert re.search(r'^1 of \d+ are wrong: relu$', out, re.M)
    assert not (tmp_path/'p.png').exists()

@pytest.mark.parametrize('net, least', [('', 94), ('--conv', 97)])
def test_results_on_the_sample(net, least, tmp_path):
    out, err, code = run(*net.split(), '--out', str(tmp_path/'p.png'))
    assert code == 0, err
    assert re.search(r'all \d+ are right', out) and 'of 2,000 validation digits right' in out
    assert percent(out) >= least
    assert 'epoch' in err and '100%' in err
    assert (tmp_path/'p.png').read_bytes()[:4] == b'\x89PNG'

@needs_real
@pytest.mark.parametrize('net, least', [('', 98), ('--conv', 99)])
def test_results_on_all_of_mnist(net, least, tmp_path):
    out, err, code = run('--full', *net.split(), '--out', str(tmp_path/'p.svg'),
                         BACKPROP_NB_DATA=str(real))
    assert code == 0, err
    assert 'of 10,000 test digits right' in out and percent(out) >= least
    assert '<svg' in (tmp_path/'p.svg').read_text()

def test_same_seed_same_result(monkeypatch, tmp_path, capsys):
    def small(conv, full):
        model = demo.Model(demo.mlp(784, 10), demo.CrossEntropy())
        return model, demo.Adam(model.parameters()), 64, [(1e-3, 1)]
    monkeypatch.setattr(demo, 'network', small)
    monkeypatch.setattr(demo, '_table_is_right', lambda device: True)
    said = []
    for seed in '0', '0', '1', f'{2**63 - 1}':
        demo.main(['--device', 'cpu', '--seed', seed, '--out', str(tmp_path/'p.png')])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and len({*said}) == 3

def test_missing_mnist_says_what_to_do(monkeypatch, tmp_path):
    def missing(full): raise RuntimeError('MNIST is not in FOLDER')
    monkeypatch.setattr(demo, 'mnist', missing)
    monkeypatch.setattr(demo, '_table_is_right', lambda device: True)
    with pytest.raises(SystemExit, match='MNIST is not in FOLDER'):
        demo.main(['--full', '--device', 'cpu', '--out', str(tmp_path/'p.png')])

@pytest.mark.parametrize('args, says', [
    ('--device abacus', "no device 'abacus'"), ('--device meta', 'computes no numbers'),
    ('--device cuda:99', "no device 'cuda:99'"), ('--seed -1', "'-1' is not a whole number"),
    ('--seed 1.5', "'1.5' is not a whole number"), (f'--seed {2**63}', f'from 0 to {2**63 - 1}'),
    ('--out p.txt', "'p.txt' does not end in"),
    ('--out nowhere/p.png', "'nowhere/p.png' cannot be"),
    ('--epochs', 'unrecognized arguments'),
    ('--gpt --names', 'not allowed with'), ('--gpt --conv', 'goes with digits, not with --gpt'),
    ('--names --full', '--full goes with digits, not with --names'),
    ('--gpt --out p.png', '--out goes with digits'), ('--names --steps 9', 'goes with --gpt'),
    *((f'--{n} {x}', f'--{n} goes with --gpt') for n, x in
      [('steps', 9), ('sample', 9), ('prompt', 'O'), ('save', 'a.safetensors'),
       ('text', __file__)]),
    ('--gpt --steps 0', "'0' is not a whole number from 1 to 1000000"),
    ('--gpt --sample 1e3', "'1e3' is not a whole number"),
    ('--gpt --text none.txt', 'there is no file'), ('--gpt --text .', 'is not a plain file'),
    ('--gpt --save a.pt', 'does not end in .safetensors'),
    ('--gpt --save no/a.safetensors', 'cannot be written'),
    ('--gpt --load none.safetensors', "'none.safetensors' holds no GPT"),
    ('--gpt --prompt Straße', "text holds 'ß'"), ('--gpt --prompt=', 'want one symbol or more')])
def test_refuses(args, says, capsys):
    with pytest.raises(SystemExit, match='^2$'): demo.main(args.split())
    out, err = capsys.readouterr()
    assert says in err and not out

def test_the_place_of_the_picture_is_tried_before(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    places = 'folder.png', 'below.png/a.png', 'n'*300 + '.png', '\0.png'
    (tmp_path/'folder.png').mkdir(); (tmp_path/'below.png').write_text('old')
    if hasattr(os, 'mkfifo'): os.mkfifo('pipe.png'); places += 'pipe.png',
    before = sorted(tmp_path.iterdir())
    for place in places:
        with pytest.raises(SystemExit, match='^2$'): demo.main(['--out', place])
        out, err = capsys.readouterr()
        assert 'cannot be written' in err and not out
    assert demo._picture('new.png').name == 'new.png' and sorted(tmp_path.iterdir()) == before
    assert demo._picture('below.png') and (tmp_path/'below.png').read_text() == 'old'
    (tmp_path/'link.png').symlink_to(tmp_path/'nothing.png')
    assert demo._picture('link.png') and (tmp_path/'link.png').is_symlink()
    def refuse(*args): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr('builtins.open', refuse)
    with pytest.raises(SystemExit, match='^2$'): demo.main([])  # the default, in such a folder

def test_a_picture_that_fails_costs_a_line(tmp_path, monkeypatch):
    def full(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(demo, '_train', full)
    monkeypatch.setattr(demo, '_table_is_right', lambda device: True)
    with pytest.raises(SystemExit, match='No space left'):
        demo.main(['--device', 'cpu', '--out', str(tmp_path/'p.png')])

def test_help(capsys):
    with pytest.raises(SystemExit, match='^0$'): demo.main(['--help'])
    said = set(capsys.readouterr().out.split())
    assert {'--full', '--conv', '--device', '--seed', '--out'} <= said
    assert {'--gpt', '--names', '--text', '--steps', '--sample', '--save', '--load'} <= said

# ---- plays

def said(argv, capsys):
    "What the command prints after its table."
    assert demo.main(['--device', 'cpu', *argv]) == 0
    return capsys.readouterr().out

@pytest.fixture
def no_table(monkeypatch): monkeypatch.setattr(demo, '_table_is_right', lambda device: True)

FOX = 'Der schnelle braune Fuchs springt über den faulen Hund, 12 Mal.\n' * 40

@pytest.fixture
def fox(tmp_path):
    "A file of text, and one with a GPT that has learned it for a few steps."
    (tmp_path/'fox.txt').write_text(FOX, encoding='utf-8')
    return tmp_path/'fox.txt', tmp_path/'fox.safetensors'

def test_a_few_steps_on_the_plays(tmp_path):
    "In an empty folder, which stays empty; no network: the text is in the package."
    r = subprocess.run([sys.executable, '-m', 'backprop_nb', '--gpt', '--steps', '3', '--sample',
                        '60', '--prompt', 'HAMLET', '--device', 'cpu'], cwd=tmp_path,
                       capture_output=True, text=True,
                       env={**os.environ, 'PYTHONPATH': str(Path(demo.__file__).parents[1])})
    assert r.returncode == 0, r.stderr
    assert re.search(r'^GPT .* ok ', r.stdout, re.M) and re.search(r'all \d+ are right', r.stdout)
    assert 'on 336,260 characters, 70 different ones' in r.stdout
    assert 'perplexity' in r.stdout and '100%' in r.stderr
    wrote = re.search(r'perplexity [\d.]+\n\n(.*)\n', r.stdout, re.S)[1]
    assert len(wrote) == 66 and wrote.startswith('HAMLET') and not [*tmp_path.iterdir()]

def test_it_learns(no_table, fox, capsys):
    "A sentence, forty times: after a hundred steps it is sure of most of it."
    out = said(['--gpt', '--text', str(fox[0]), '--steps', '100', '--sample', '70'], capsys)
    assert float(re.search(r'perplexity ([\d.]+)', out)[1]) < 3

def test_the_seed_decides(no_table, fox, capsys):
    def run(seed):
        return said(['--gpt', '--text', str(fox[0]), '--steps', '2', '--seed', seed], capsys)
    assert run('3') == run('3') != run('4')

def test_the_seed_sets_the_weights(fox, monkeypatch, capsys):
    "Whatever has been drawn before, as by the table of gradients."
    text, first = demo.read_text(fox[0]), []
    def gpt(seed, before):
        torch.manual_seed(before)
        return demo._learned(text, 0, seed).table
    assert torch.equal(gpt(3, 0), gpt(3, 1)) and not torch.equal(gpt(3, 0), gpt(4, 0))
    monkeypatch.setattr(demo, 'fit', lambda model, *_: first.append(model.parameters()[0].clone()))
    for seed, before in ('3', 0), ('3', 1), ('4', 0):
        torch.manual_seed(before)
        with pytest.raises(IndexError):
            demo._write_names(demo._args_of(['--names', '--seed', seed]))
    assert torch.equal(first[0], first[2]) and not torch.equal(first[0], first[4])

def test_kept_and_taken_up_again(no_table, fox, tmp_path, monkeypatch, capsys):
    text, kept = map(str, fox)
    learned = ['--gpt', '--text', text, '--steps', '5', '--save', kept]
    first = said([*learned, '--prompt', 'Fuchs', '--sample', '40'], capsys)
    monkeypatch.setattr(demo, '_table_is_right', lambda device: pytest.fail('nothing is learned'))
    monkeypatch.setattr(demo, 'shakespeare', lambda: pytest.fail('the file alone is enough'))
    again = said(['--gpt', '--load', kept, '--prompt', 'Fuchs', '--sample', '40'], capsys)
    assert first.endswith(again) and again.startswith('Fuchs') and len(again) == 46
    assert len(said(['--gpt', '--load', kept], capsys)) == 502
    for more, says in [(['--steps', '9'], '--steps makes no sense'), (['--text', text], '--text m'),
                       (['--save', kept], '--save makes no sense'), (['--prompt', 'Q'], "'Q'")]:
        with pytest.raises(SystemExit, match='^2$'): demo.main(['--gpt', '--load', kept, *more])
        assert says in capsys.readouterr().err

def test_other_files_are_no_gpt(no_table, fox, tmp_path, capsys):
    text, kept = fox
    said(['--gpt', '--text', str(text), '--steps', '1', '--save', str(kept)], capsys)
    raw = kept.read_bytes()
    tensors, head = load(raw), json.loads(raw[8:8 + int.from_bytes(raw[:8], 'little')])
    about = json.loads(head['__metadata__']['gpt'])
    def lay(change=lambda a: a, drop=(), **more):
        made = json.dumps(change(dict(about)))
        left = {n: t for n, t in {**tensors, **more}.items() if n not in drop}
        kept.write_bytes(save(left, {'gpt': made, 'sha256': demo._digest(made, left)}))
    def refused():
        with pytest.raises(argparse.ArgumentTypeError, match='holds no GPT') as e:
            demo._kept_gpt(str(kept))
        return str(e.value)
    lay(); demo._kept_gpt(str(kept))                       # as it was
    for change in raw[:-1], raw[:-1] + bytes([raw[-1] ^ 1]), b'', b'\xff'*99, text.read_bytes():
        kept.write_bytes(change); refused()
    kept.write_bytes(save(tensors)); assert '--save' in refused()
    demo.save_state(kept, demo.Model(demo.mlp(3, 2), demo.CrossEntropy()))
    assert '--save' in refused()
    for change in [lambda a: a | {'width': 128}, lambda a: a | {'context': 10**12}, lambda a: [],
                   lambda a: a | {'layers': 10**9}, lambda a: a | {'layers': 2}, lambda a: {},
                   lambda a: a | {'heads': 5}, lambda a: a | {'width': 'wide'},
                   lambda a: a | {'x': 1},
                   lambda a: a | {'symbols': a['symbols'][1:]}, lambda a: a | {'layers': None},
                   lambda a: a | {'symbols': 'a'*len(a['symbols'])}, lambda a: a | {'symbols': 8}]:
        lay(change); refused()
    lay(drop=['table']); refused()
    lay(table=tensors['table'].double()); refused()
    lay(more=torch.zeros(3)); refused()
    kept.unlink(); refused()
    kept.mkdir(); refused()

def test_a_file_that_cannot_be_kept_costs_a_line(no_table, fox, monkeypatch):
    def full(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(demo, '_put', full)
    with pytest.raises(SystemExit, match='No space left'):
        demo.main(['--gpt', '--text', str(fox[0]), '--steps', '1', '--save', str(fox[1])])

def test_a_text_of_one_line(no_table, tmp_path, capsys):
    "Without an end of a line among its symbols it begins with the first of them."
    (tmp_path/'a.txt').write_text('ab' * 600)
    out = said(['--gpt', '--text', str(tmp_path/'a.txt'), '--steps', '1', '--sample', '9'], capsys)
    assert re.fullmatch('a[ab]{9}', out.splitlines()[-1])

# ---- names

def test_names(no_table, capsys):
    out = said(['--names'], capsys)
    assert float(re.search(r'perplexity ([\d.]+)', out)[1]) < 8
    made = re.findall(r'[a-z]+\*?', out.split('\n\n')[-2])
    known = {name for part in demo.names() for name in part}
    assert len(made) == len({*made}) == 20
    assert all((name.strip('*') in known) == name.endswith('*') for name in made)
