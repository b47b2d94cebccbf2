"""What chapter 16 does not hold itself about its text: the plays in the package, a file of one's
own in any encoding, damage of every kind; and how the texts of the package are cut."""
import gzip, hashlib, os, random, shutil
from pathlib import Path
import make_text, packing, pytest, torch
from run_course import ROOT
from backprop_nb import embedding, gpt
from backprop_nb.clinic import FileError, RangeError
from backprop_nb.gpt import Text, decode, encode, read_text, shakespeare

TEXT = Path(gpt.__file__).parent/'text'
PACKED = TEXT/'shakespeare.txt.gz'

# ---- the plays

def whole(text): return decode(torch.cat([text.train, text.valid]), text.symbols)

def test_plays(offline):
    train, valid, symbols = text = shakespeare()
    assert [len(train), len(valid), len(symbols)] == [336_260, 37_363, 70]
    assert train.dtype == valid.dtype == torch.int64 and train.shape == (336_260,)
    raw = gzip.decompress(PACKED.read_bytes())
    assert whole(text).encode('ascii') == raw
    assert symbols == ''.join(sorted({*raw.decode()}))
    for words in ('To be, or not to be,--that is the question:', "Out, damned spot! out, I say!",
                  'Lord, what fools these mortals be!'): assert words in whole(text)
    lines = raw.decode().splitlines()
    heads = "A MIDSUMMER NIGHT'S DREAM", 'MACBETH', 'HAMLET, PRINCE OF DENMARK'
    assert [lines.index(head) for head in heads] == sorted(lines.index(head) for head in heads)

def test_nothing_but_the_plays():
    "No word of those who typed them in, nor of a licence."
    said = whole(shakespeare()).lower()
    assert said.startswith("a midsummer night's dream") and said.endswith('is shot off.]\n')
    words = 'gutenberg', 'etext', 'e-text', 'copyright', 'http', '@', '*'
    assert not [word for word in words if word in said]

def test_valid_is_the_end_of_hamlet():
    text = shakespeare()
    end = decode(text.valid, text.symbols)
    assert 'ACT V.' in end and 'Alas, poor Yorick!' in end and 'Good night, sweet prince' in end
    assert 'To be, or not to be' not in end

def test_each_call_gives_fresh_tensors():
    text = shakespeare()
    text.train.zero_()
    assert shakespeare().train.max() == 69

def test_on_the_default_device():
    try:
        torch.set_default_device('meta')
        assert encode('abba', 'ab').device.type == 'meta'
    finally: torch.set_default_device(None)

def damaged(folder, change):
    shutil.copytree(TEXT, folder, dirs_exist_ok=True)
    change(folder/PACKED.name)
    with pytest.raises(FileError, match='shakespeare.txt.gz') as e: gpt._plays_from(folder)
    return str(e.value)

def flip(path):
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[1000] ^= 1
    path.write_bytes(packing.pack(bytes(raw)))

@pytest.mark.parametrize('change, says', [
    (lambda p: p.unlink(), 'missing or damaged'),
    (lambda p: p.write_bytes(p.read_bytes()[:-9]), 'missing or damaged'),
    (lambda p: p.write_bytes(p.read_bytes()[:1000]), 'missing or damaged'),
    (lambda p: p.write_bytes(b''), 'missing or damaged'),
    (lambda p: p.write_bytes(b'no gzip'), 'missing or damaged'),
    (lambda p: p.write_bytes(p.read_bytes() + b'junk'), 'missing or damaged'),
    (flip, 'have the sha256'),
    (lambda p: shutil.copy(TEXT/'names.txt.gz', p), 'have the sha256'),
    (lambda p: p.write_bytes(gzip.compress(bytes(2**20 + 1))), 'more than 1,048,576 bytes')])
def test_damage_is_refused(tmp_path, change, says):
    said = damaged(tmp_path, change)
    assert says in said and 'pip install --force-reinstall' in said and said.endswith('files)')

def test_shakespeare_itself_refuses(monkeypatch):
    monkeypatch.setattr(gpt, '_PLAYS_SHA256', '0'*64)
    with pytest.raises(RuntimeError, match='expected 0000'): shakespeare()

# ---- numbers and back

def test_there_and_back():
    rng = random.Random(0)
    for symbols in 'ab', 'äöü \n€', '𝔸😀x', ''.join(map(chr, range(33, 3000))):
        words = ''.join(rng.choices(symbols, k=50))
        idx = encode(words, symbols)
        assert idx.tolist() == [symbols.index(c) for c in words] and decode(idx, symbols) == words
    assert encode('', 'ab').shape == (0,) and encode('', 'ab').dtype == torch.int64
    assert decode(encode('', 'ab'), 'ab') == ''

@pytest.mark.parametrize('text, named', [
    ('naïve', "'ï'"), ('a€bß', "'ß', '€'"), ('a\tb', r"'\\t'"),
    ('01234', "'3', '4', want"), ('012345', "'3', '4', \\.\\.\\., want")])
def test_strange_symbols_are_named(text, named):
    with pytest.raises(RangeError, match=f'encode: text holds .*{named}'):
        encode(text, 'abehnvi')

def test_a_negative_number_is_not_the_last_symbol():
    with pytest.raises(RangeError, match='decode: idx holds -1, want 0 to 1'):
        decode(torch.tensor([0, -1]), 'ab')

# ---- a file of one's own

WORDS = 'Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich.\n' * 30  # all of it in Latin-1

def file(tmp_path, raw):
    (path := tmp_path/'my.txt').write_bytes(raw)
    return path

@pytest.mark.parametrize('kind', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32', 'latin-1', 'cp1252'])
@pytest.mark.parametrize('given', [False, True])
def test_encodings(tmp_path, kind, given):
    path = file(tmp_path, WORDS.encode(kind))
    text = read_text(path, kind) if given else read_text(path)
    assert whole(text) == WORDS and text.symbols == ''.join(sorted({*WORDS}))
    assert len(text.train) == len(WORDS)*9//10

@pytest.mark.parametrize('kind', ['utf-16-le', 'utf-16-be', 'utf-32-le', 'utf-32-be'])
def test_marks_of_both_orders(tmp_path, kind):
    assert whole(read_text(file(tmp_path, ('\ufeff' + WORDS).encode(kind)))) == WORDS
    assert whole(read_text(file(tmp_path, ('\ufeff' + WORDS).encode(kind)), kind)) == WORDS
    assert whole(read_text(file(tmp_path, WORDS.encode(kind)), kind)) == WORDS

@pytest.mark.parametrize('kind, words', [
    ('koi8-r', 'Съешь ещё этих мягких французских булок\n'), ('shift_jis', 'いろはにほへと\n'),
    ('gb18030', '天地玄黃\n'), ('cp1252', '“Curly”, she said – and ‘so’ it was…\n'),
    ('utf-8', 'κόσμε 天 😀\n')])
def test_other_scripts(tmp_path, kind, words):
    path = file(tmp_path, (words * 300).encode(kind))
    assert whole(read_text(path, kind)) == words * 300
    if kind in ('cp1252', 'utf-8'): assert whole(read_text(path)) == words * 300

@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_ends_of_lines(tmp_path, end):
    raw = WORDS.replace('\n', end).encode()
    assert whole(read_text(file(tmp_path, raw))) == WORDS

def test_paths_of_all_kinds(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    path = file(tmp_path, WORDS.encode())
    for p in path, str(path), '~/my.txt', Path('~/my.txt'): assert whole(read_text(p)) == WORDS

def test_a_thousand_characters_will_do(tmp_path):
    text = read_text(file(tmp_path, b'ab'*500))
    assert isinstance(text, Text) and [len(text.train), len(text.valid)] == [900, 100]

@pytest.mark.parametrize('raw, says', [
    (b'', 'has 0 characters, want 1,000 or more'), (b'ab'*499, 'has 998 characters'),
    ('ä'.encode()*999, 'has 999 characters'), (b'\r\n'*999, 'has 999 characters'),
    (b'\xef\xbb\xbf', 'has 0 characters'),
    (b'a\0'*999, r"is not text: as utf-8 it holds '\\x00'"), (bytes(range(256))*9, 'not text'),
    (b'\x89PNG\r\n\x1a\n' + bytes(2000), 'not text'),
    (gzip.compress(bytes(9**5), mtime=0), 'not text'),
    (b'%PDF-1.7\n\x81\x8d' + b'x'*2000, 'it is not utf-8 or cp1252'),
    ('\ufeffabc'.encode('utf-16-le')[:-1]*999, 'it is not utf-16'),
    ('\ufeffabc'.encode('utf-32-le')[:-2]*999, r'it is not utf-32 \(clinic'),
    (b'\x1b[1m' + b'x'*2000, r"holds '\\x1b'")])
def test_no_text(tmp_path, raw, says):
    path = file(tmp_path, raw)
    with pytest.raises(FileError, match=says) as e: read_text(path)
    assert str(path) in str(e.value)

def test_what_does_not_decode_as_it_was_said_to(tmp_path):
    path = file(tmp_path, WORDS.encode('latin-1'))
    with pytest.raises(FileError, match='it is not utf-8'): read_text(path, 'utf-8')
    for kind in 'klingon', 'base64', 'a\0b':
        with pytest.raises((RangeError, FileError), match='read_text'): read_text(path, kind)

def test_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, says in [('nothing.txt', 'there is no file'), ('.', 'is not a plain file'),
                       ('n'*5000, 'cannot be read|no file'), ('a\0b', 'cannot be read|no file')]:
        with pytest.raises(FileError, match=f'read_text: .*({says})') as e: read_text(path)
        assert len(str(e.value)) < 200                  # what the system says names it once more
    if hasattr(os, 'mkfifo'):
        os.mkfifo('pipe')
        with pytest.raises(FileError, match='is not a plain file'): read_text('pipe')
    def refuse(*args): raise PermissionError(13, 'Permission denied')
    path = file(tmp_path, WORDS.encode())
    monkeypatch.setattr(Path, 'open', refuse)
    with pytest.raises(FileError, match='cannot be read: .*Permission denied'): read_text(path)

def test_a_file_of_a_terabyte(tmp_path):
    (path := tmp_path/'big.txt').write_bytes(b'')
    try: os.truncate(path, 2**40)  # of zeros that take no room
    except OSError: pytest.skip('this file system has no such files')
    with pytest.raises(FileError, match='more than 100,000,000 bytes'): read_text(path)

def test_as_large_as_may_be(tmp_path):
    "A file of just the largest size is read, one of a byte more is not."
    path = file(tmp_path, b'four')
    assert gpt._bytes_of(path, 4) == b'four'
    with pytest.raises(FileError, match='more than 3 bytes'): gpt._bytes_of(path, 3)
    path.write_bytes(packing.pack(b'four'))
    sum = hashlib.sha256(b'four').hexdigest()
    assert embedding._unpacked_text(path, sum, 4) == 'four'
    with pytest.raises(FileError, match='more than 3 bytes'): embedding._unpacked_text(path, sum, 3)

# ---- how they are cut

LISTS = {'names.dist.female.first': b'MARY  2.629  2.629  1\nANNA 1 1 2\n',
         'names.dist.male.first': b'JAMES 3.318 3.318 1\nMARY 0.1 0.2 3\n'}
SCRIPTS = {'midsummer_nights_dream': b'\nPUCK\n\n', 'macbeth': b'WITCH', 'hamlet': b'\nGHOST.\n'}

@pytest.fixture
def small(tmp_path, monkeypatch):
    "A folder with small lists and plays in place of the published ones."
    (folder := tmp_path/'published').mkdir()
    for name, raw in LISTS.items(): (folder/f'{name}.gz').write_bytes(packing.pack(raw))
    for k, (name, raw) in enumerate(SCRIPTS.items()):
        (folder/f'{name}{"_gut"*(k != 1)}.txt').write_bytes(raw)
    for table, files in (('lists', LISTS), ('scripts', SCRIPTS)):
        sums = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
        monkeypatch.setattr(make_text, table, sums)
    return folder

def test_cut_writes_what_it_checks(small, tmp_path, capsys):
    files, readme = make_text.cut(small), make_text.readme
    assert sorted(files['names.txt'].split()) == [b'anna', b'james', b'mary']
    assert files['shakespeare.txt'] == b'PUCK\n\nWITCH\n\nGHOST.\n'
    out = tmp_path/'text'
    packing.write(files, readme, out, 9999)
    said = capsys.readouterr().out
    assert all(hashlib.sha256(raw).hexdigest() in said for raw in files.values())
    assert packing.check(files, readme, out) == []
    again = {p.name: p.read_bytes() for p in out.iterdir()}
    packing.write(files, readme, out, 9999)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == again
    (out/'names.txt.gz').write_bytes(packing.pack(b'else'))
    (out/'README.md').unlink()
    assert packing.check(files, readme, out) == ['names.txt.gz', 'README.md']
    with pytest.raises(SystemExit, match='nothing written'):
        packing.write(files, readme, tmp_path/'more', 10)
    assert not (tmp_path/'more').exists()

def test_the_command(small, tmp_path, monkeypatch, capsys):
    def call(*more):
        monkeypatch.setattr('sys.argv', ['make_text.py', str(small), *more])
        packing.main(make_text.__doc__, make_text.cut, make_text.readme, tmp_path/'out', 9999)
        return capsys.readouterr().out
    with pytest.raises(SystemExit, match='not a fresh cut: names.txt.gz, shake'): call('--check')
    assert 'bytes in all' in call() and 'is what a fresh cut gives' in call('--check')

def test_cut_refuses_other_files(small):
    path = small/'names.dist.female.first'
    path.write_bytes(b'MARY\n')
    with pytest.raises(SystemExit, match='is not the published file: sha256'): make_text.cut(small)
    path.unlink()
    (small/f'{path.name}.gz').write_bytes(b'\x1f\x8bhalf')
    with pytest.raises(SystemExit, match='cannot be read'): make_text.cut(small)
    (small/f'{path.name}.gz').unlink()
    with pytest.raises(SystemExit, match='found none of'): make_text.cut(small)

def test_fingerprints_size_and_readme_are_those_of_the_package():
    for name, want in (('names', embedding._NAMES_SHA256), ('shakespeare', gpt._PLAYS_SHA256)):
        packed = (TEXT/f'{name}.txt.gz').read_bytes()
        assert packed[3] == 0 and packed[4:8] == b'\0\0\0\0'  # no name, no time
        assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == want
    readme = (TEXT/'README.md').read_text(encoding='utf-8')
    assert readme == make_text.readme
    words = 'census', 'Open Knowledge Foundation', 'Gutenberg', 'public domain', 'MIT'
    assert all(word in readme for word in words)
    assert sum(p.stat().st_size for p in TEXT.iterdir()) <= make_text.max_bytes

PUBLISHED = Path(os.environ.get('BACKPROP_NB_TEXT', ROOT.parent/'shared'/'data'/'text'))

@pytest.mark.skipif(not PUBLISHED.is_dir(), reason='set BACKPROP_NB_TEXT to a folder with the '
                    'lists of the census and the plays')
def test_a_fresh_cut_gives_the_package():
    assert packing.check(make_text.cut(PUBLISHED), make_text.readme, TEXT) == []
