from __future__ import annotations

import csv
import hashlib
import http.server
import io
import os
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from needs import need_module, need_recordings

import edgernn.data.sources as sources
from edgernn.data.cast import split_voices
from edgernn.data.confusable import unknown_phrases
from edgernn.data.corpus import NOISE, SPLITS, Dataset, Item
from edgernn.data.download import download
from edgernn.data.noise import KINDS, make_noise
from edgernn.data.sources import folder, manifest, prepare, speech_commands
from edgernn.data.voices import espeak
from edgernn.errors import EdgernnError
from edgernn.signal.audio import write_wav

TEN = ["up", "down", "left", "right", "go", "zero", "one", "five", "eight", "happy"]


def tone(number: int, samples: int = 1600) -> np.ndarray:
    return np.random.default_rng(number).integers(-9000, 9000, samples).astype(np.int16)


def splits(items: list[Item]) -> Counter[str]:
    return Counter(item.split for item in items)


def test_kinds_are_the_files_of_the_folder() -> None:
    found = {path.stem for path in Path(sources.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(sources.kinds()) == found and len(found) == 7
    with pytest.raises(EdgernnError, match=r"source 1 has kind 'csv'.*manifest"):
        list(sources.collect([{"kind": "csv"}], ["a"], 0))
    with pytest.raises(EdgernnError, match="no data source"):
        prepare([], ["a"], "nowhere")


# folder ---------------------------------------------------------------------------


def recordings(root: Path) -> Path:
    for number in range(24):
        word = ("stop", "cat")[number % 2]
        (root / word).mkdir(parents=True, exist_ok=True)
        suffix = ("wav", "flac")[number // 2 % 2]
        soundfile.write(root / word / f"p{number // 4}_{number}.{suffix}", tone(number), 16000)
    (root / "stop" / "notes.txt").write_text("not audio")
    return root


def test_folder(tmp_path: Path) -> None:
    root = recordings(tmp_path / "rec")
    config = {"path": str(root), "keywords": ("stop",), "speaker_pattern": r"^(p\d+)_"}
    items = folder.scan(config)
    assert Counter(item.label for item in items) == {"stop": 12, "cat": 12}
    assert set(splits(items)) == set(SPLITS)
    assert len({(item.speaker, item.split) for item in items}) == 6
    assert set(splits(folder.scan(config | {"split": "train"}))) == {"train"}
    assert {item.label for item in folder.scan(config | {"noise": True})} == {NOISE}
    dataset = prepare(
        [{"kind": "folder", "path": str(root)}, {"kind": "folder", "path": str(root), "noise": True}],
        ["stop"],
        tmp_path / "d",
    )
    assert Counter(row.label for row in dataset.rows) == {"stop": 12, "unknown": 12, NOISE: 24}
    assert np.array_equal(dataset.pcm(dataset.rows[0]), tone(1))  # cat/p0_1.wav sorts first


def test_folder_errors(tmp_path: Path) -> None:
    root = recordings(tmp_path / "rec")
    (tmp_path / "empty").mkdir()
    cases = [
        ({"path": str(tmp_path / "gone")}, "does not exist"),
        ({"path": str(tmp_path / "empty")}, "no recordings"),
        ({"path": str(root), "speaker_pattern": "("}, "regular expression"),
        ({"path": str(root), "split": "dev"}, "'dev'"),
        ({"path": str(root), "speaker_pattern": "(zz)"}, "finds no speaker"),
        ({"paths": "x"}, "did you mean 'path'"),
    ]
    for config, message in cases:
        with pytest.raises(EdgernnError, match=message):
            folder.scan(config)
    (root / "stop" / "bad.wav").write_text("no")
    with pytest.raises(EdgernnError, match=r"bad\.wav"):
        prepare([{"kind": "folder", "path": str(root)}], ["stop"], tmp_path / "d", strict=True)
    assert not (tmp_path / "d").exists()


# manifest ---------------------------------------------------------------------------


def table(tmp_path: Path, text: str) -> dict[str, object]:
    (tmp_path / "m.csv").write_text(text)
    return {"path": str(tmp_path / "m.csv"), "keywords": ("stop",)}


def test_training_clips_of_a_source_may_count_several_times(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        write_wav(tmp_path / f"{split}.wav", np.full(1600, 1000, np.int16))
    rows = "".join(f"{s}.wav,stop,{s},{s}\n" for s in ("train", "validation", "test"))
    path = table(tmp_path, f"path,label,speaker,split\n{rows}")["path"]
    tables = [{"kind": "manifest", "path": path, "train_repeat": 3}]
    counts = Counter(row.split for row in prepare(tables, ["stop"], tmp_path / "data").rows)
    assert counts == {"train": 3, "validation": 1, "test": 1}
    with pytest.raises(EdgernnError, match="source 1 has train_repeat = 0"):
        prepare([tables[0] | {"train_repeat": 0}], ["stop"], tmp_path / "none")


@pytest.mark.parametrize("columns", ["path,label,speaker", "label,path,speaker"])
def test_a_manifest_line_that_ends_early_is_named(columns: str, tmp_path: Path) -> None:
    config = table(tmp_path, f"{columns}\na,b,c\nonly\n")
    with pytest.raises(EdgernnError, match="line 3 lacks its path or label"):
        manifest.scan(config)


def test_manifest_takes_few_of_each_label(tmp_path: Path) -> None:
    rows = [f"{split}/{label}{i}.wav,{label},{split}{i},{split}" for split in ("train", "test", "dev")
            for label in ("stop", "cat") for i in range(9)]  # fmt: skip
    config = table(tmp_path, "\n".join(["path,label,speaker,split", *rows]))
    few = manifest.scan(config | {"train_per_label": 4, "seed": 1})
    counts = Counter((item.label, item.split) for item in few)
    assert counts == {(label, split): 4 if split == "train" else 9
                      for label in ("stop", "cat") for split in ("train", "test", "validation")}  # fmt: skip
    for count, left in ((3, 3), (-1, 0), (0, 9)):
        both = manifest.scan(config | {"train_per_label": 4, "validation_per_label": count})
        assert Counter(item.split for item in both if item.label == "stop") == Counter(train=4, validation=left, test=9)
    assert few == manifest.scan(config | {"train_per_label": 4, "seed": 1})
    assert few != manifest.scan(config | {"train_per_label": 4, "seed": 2})
    assert {item.label for item in manifest.scan(config | {"only_keywords": True})} == {"stop"}


def test_manifest_columns_filters_and_labels(tmp_path: Path) -> None:
    config = table(
        tmp_path,
        "path,label,speaker,split,kind,licence\na/1.wav,halt,anna,train,x,CC0\n"
        "a/2.wav,cat,bob,dev,x,\nb/3.wav,dog,eve,testing,x,\na/4.wav,cow,dan,test,y,\n",
    )
    items = manifest.scan(config | {"filter": {"path": "a/*", "kind": "x"}, "labels": {"halt": "stop"}})
    assert items == [
        Item("a/1.wav", "stop", "anna", "train", "CC0"),
        Item("a/2.wav", "cat", "bob", "validation", "listed in m.csv"),
    ]
    assert [item.label for item in manifest.scan(config | {"noise": True})] == [NOISE] * 4
    assert [item.source for item in manifest.scan(config | {"filter": {"path": "!a/*"}})] == ["b/3.wav"]
    not_cat = manifest.scan(config | {"filter": {"label": "!cat", "path": "a/*"}})
    assert [item.source for item in not_cat] == ["a/1.wav", "a/4.wav"]
    with pytest.raises(EdgernnError, match="no column 'colour'"):
        manifest.scan(config | {"filter": {"colour": "x"}})
    with pytest.raises(EdgernnError, match="no row"):
        manifest.scan(config | {"filter": {"kind": "z"}})
    with pytest.raises(EdgernnError, match="cannot read"):
        manifest.scan({"path": "gone.csv"})
    with pytest.raises(EdgernnError, match="no column 'path'"):
        manifest.scan(table(tmp_path, "file,label\n1,2\n"))
    with pytest.raises(EdgernnError, match=r"a\.wav has split 'exam'"):
        manifest.scan(table(tmp_path, "path,label,split\na.wav,stop,exam\n"))


def test_manifest_of_real_recordings(tmp_path: Path) -> None:
    data = need_recordings()
    words = {"path": str(data / "kws/manifest.csv"), "filter": {"path": "speech_commands/*"}}
    noise = {"path": str(data / "denoise/manifest.csv"), "filter": {"kind": "noise"}, "noise": True}
    items = manifest.scan(words | {"keywords": tuple(TEN)})
    assert splits(items) == {"train": 5807, "validation": 788, "test": 1046}
    assert sum(item.split == "test" and item.label in TEN for item in items) == 652
    assert splits(manifest.scan(noise)) == {"train": 445, "validation": 65, "test": 179}
    dataset = prepare(
        [
            {"kind": "manifest"} | words | {"filter": {"path": "speech_commands/up/*"}},
            {"kind": "manifest"} | noise | {"filter": {"path": "noise/*", "label": "rain"}},
        ],
        ["up"],
        tmp_path / "d",
    )
    assert [line["test"] for line in dataset.summary()] == [55, 0, 0]
    assert len(dataset.noise("train")) == 33 and len(dataset.noise("validation")) == 8
    loud = [np.abs(dataset.pcm(row).astype(int)).max() for row in dataset.rows]
    assert min(loud) > 50 and max(row.length for row in dataset.clips("train")) <= 16000


# Speech Commands ---------------------------------------------------------------------------


def test_official_rule_against_the_corpus_own_column() -> None:
    """The oracle is the official_split column that came with the recordings."""
    with (need_recordings() / "kws/manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["official_split"]]
    assert Counter(row["official_split"] for row in rows) == {"train": 6533, "validation": 788, "test": 320}
    assert all(speech_commands.which_set(row["origin_file"]) == row["official_split"] for row in rows)


def corpus(root: Path) -> Path:
    for word in ("yes", "no", "cat"):
        (root / word).mkdir(parents=True)
        for number in range(40):
            speaker = hashlib.sha1(bytes([number])).hexdigest()[:8]
            write_wav(root / word / f"{speaker}_nohash_0.wav", tone(number))
    (root / "_background_noise_").mkdir()
    write_wav(root / "_background_noise_" / "tap.wav", tone(1, 3000))
    return root


def test_speech_commands_layout(tmp_path: Path) -> None:
    root = corpus(tmp_path / "sc")
    dataset = prepare([{"kind": "speech_commands", "path": str(root)}], ["yes", "no"], tmp_path / "d")
    assert Counter(row.label for row in dataset.rows) == {"yes": 40, "no": 40, "unknown": 40, NOISE: 3}
    assert [row.split for row in dataset.rows if row.label == NOISE] == list(SPLITS)
    pieces = [dataset.pcm(row) for row in dataset.rows if row.label == NOISE]
    assert np.array_equal(np.concatenate(pieces), tone(1, 3000))
    words = [row for row in dataset.rows if row.label != NOISE]
    assert all(row.split == speech_commands.which_set(row.source) for row in words)
    few = speech_commands.scan({"path": str(root), "keywords": ("yes", "no"), "unknown_per_split": 2})
    assert Counter(item.split for item in few if item.label == "cat") == dict.fromkeys(SPLITS, 2)
    names = sorted(path.relative_to(root).as_posix() for path in root.glob("[ync]*/*.wav"))
    (root / "testing_list.txt").write_text("\n".join(names[:5]))
    (root / "validation_list.txt").write_text("\n".join(names[5:12]))
    listed = {item.source: item.split for item in speech_commands.scan({"path": str(root)})}
    assert [listed[name] for name in names] == ["test"] * 5 + ["validation"] * 7 + ["train"] * 108
    with pytest.raises(EdgernnError, match="download = true"):
        speech_commands.scan({"path": str(tmp_path / "gone")})


class Server(http.server.ThreadingHTTPServer):
    content = b""
    cuts: list[int]  # each GET ends early after so many bytes while this list lasts
    ranges = True
    seen: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.seen.append(wanted)
        content = self.server.content
        start = int(wanted[6:].rstrip("-")) if wanted and self.server.ranges else 0
        if self.path == "/gone":
            return self.send_error(404)
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else len(content)
        self.wfile.write(content[start:end])
        return None

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    instance = Server(("127.0.0.1", 0), Handler)
    instance.content = np.random.default_rng(4).bytes(700_000)
    instance.cuts, instance.seen = [], []
    thread = threading.Thread(target=instance.serve_forever)
    thread.start()
    yield instance
    instance.shutdown()
    thread.join()
    instance.server_close()


def fetch(server: Server, path: Path, retries: int = 3, name: str = "file", digest: str = "") -> bytes:
    digest = digest or hashlib.sha256(server.content).hexdigest()
    url = f"http://127.0.0.1:{server.server_address[1]}/{name}"
    return download(url, path, digest, retries=retries, wait_s=0.01).read_bytes()


def test_download_resumes_after_interruptions(tmp_path: Path, server: Server) -> None:
    server.cuts = [100_000, 250_000]
    assert fetch(server, tmp_path / "f") == server.content
    assert server.seen == [None, "bytes=100000-", "bytes=350000-"]
    assert os.listdir(tmp_path) == ["f"]
    assert fetch(server, tmp_path / "f") == server.content and len(server.seen) == 3  # it is there


def test_download_continues_in_a_later_call(tmp_path: Path, server: Server) -> None:
    server.cuts = [300_000]
    with pytest.raises(EdgernnError, match="ended after 300000 of 700000 bytes"):
        fetch(server, tmp_path / "f", retries=0)
    assert (tmp_path / "f.part").stat().st_size == 300_000 and not (tmp_path / "f").exists()
    assert fetch(server, tmp_path / "f") == server.content and server.seen[-1] == "bytes=300000-"


def test_download_without_ranges_or_with_an_overlong_part(tmp_path: Path, server: Server) -> None:
    server.ranges, server.cuts = False, [5000]
    assert fetch(server, tmp_path / "f") == server.content
    server.ranges = True
    (tmp_path / "g.part").write_bytes(b"x" * 800_000)
    assert fetch(server, tmp_path / "g") == server.content


def test_download_refuses_wrong_bytes_and_addresses(tmp_path: Path, server: Server) -> None:
    with pytest.raises(EdgernnError, match="expected 0000"):
        fetch(server, tmp_path / "f", digest="0000")
    with pytest.raises(EdgernnError, match="404"):
        fetch(server, tmp_path / "f", name="gone")
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgernnError, match="cannot download"):
        fetch(server, tmp_path / "file" / "f")
    assert server.seen == [None, None] and os.listdir(tmp_path) == ["file"]  # 404 is not retried


def test_speech_commands_download(tmp_path: Path, server: Server) -> None:
    root, packed = corpus(tmp_path / "sc"), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(root, ".")
    server.content, server.cuts = packed.getvalue(), [50_000]
    config = {
        "kind": "speech_commands",
        "path": str(tmp_path / "got"),
        "download": True,
        "sha256": hashlib.sha256(server.content).hexdigest(),
        "url": f"http://127.0.0.1:{server.server_address[1]}/sc.tar.gz",
    }
    assert len(prepare([config], ["yes", "no"], tmp_path / "d").rows) == 123
    assert len(prepare([config], ["yes", "no"], tmp_path / "d").rows) == 123 and len(server.seen) == 2
    for wrong, message in (({"sha256": ""}, "needs its sha256"), ({"version": "9"}, "'9' is not known")):
        with pytest.raises(EdgernnError, match=message):
            prepare([config | wrong | {"path": str(tmp_path / "other")}], ["yes"], tmp_path / "e")


# synthetic ---------------------------------------------------------------------------


ROBIN = {"kind": "synthetic", "clips_per_keyword": 60, "unknown_clips": 80, "noise_seconds": 35}


@pytest.fixture(scope="module")
def robin(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    need_module("espeakng_loader")
    return prepare([ROBIN], ["hey robin", "lights on"], tmp_path_factory.mktemp("robin") / "d", seed=1)


def test_synthetic_contents(robin: Dataset) -> None:
    assert [(line["label"], *(line[split] for split in SPLITS)) for line in robin.summary()] == [
        ("hey robin", 48, 6, 6),
        ("lights on", 48, 6, 6),
        ("unknown", 64, 8, 8),
        (NOISE, 7, 7, 7),
    ]
    assert sum(row.length for row in robin.rows if row.label == NOISE) == 35 * 16000
    for row in robin.rows:
        peak = np.abs(robin.pcm(row).astype(int)).max() / 32768
        assert 0.09 < peak < 0.95
    assert all(4000 < row.length < 30000 for row in robin.rows if row.label in robin.keywords)
    assert len({robin.pcm(row).tobytes() for row in robin.rows}) == len(robin.rows)  # no clip twice


def test_synthetic_voices_are_disjoint_by_variant_family(robin: Dataset) -> None:
    owner: dict[str, set[str]] = {}
    for row in (row for row in robin.rows if row.label != NOISE):
        variant = row.speaker.split("+")[1]
        owner.setdefault(variant.rstrip("0123456789") if len(variant) > 2 else variant, set()).add(row.split)
    assert len(owner) > 30 and all(len(where) == 1 for where in owner.values())
    names = [f"{name}{n}" for name in ("steph", "m", "iven", "f") for n in range(1, 5)]
    parts = split_voices(names, espeak.family, 0)
    assert sorted(map(len, parts.values()))[0] >= 1 and sum(map(len, parts.values())) == 16


def test_synthetic_bytes_follow_the_seed(robin: Dataset, tmp_path: Path) -> None:
    assert prepare([ROBIN], ["hey robin", "lights on"], tmp_path / "a", seed=1).id == robin.id
    assert prepare([ROBIN], ["hey robin", "lights on"], tmp_path / "b", seed=2).id != robin.id


def test_confusable_words_are_near_and_never_the_keyword() -> None:
    need_module("espeakng_loader")
    near, words = unknown_phrases(("hey robin", "right", "one"), (), "en")
    assert {"hey", "robin", "hey rabbit"} <= set(near) and {"night", "on"} & set(near)
    assert not {"hey robin", "right", "write", "one"} & {*near, *words}
    assert len(words) > 500


def test_synthetic_in_another_language(tmp_path: Path) -> None:
    need_module("espeakng_loader")
    words = ["fenster", "garten", "wasser"]
    config = ROBIN | {"language": "de", "words": words, "noise_seconds": 0}
    dataset = prepare([config], ["guten morgen"], tmp_path / "d")
    assert {row.speaker.split("+")[0] for row in dataset.rows} == {"de"}
    assert {word for row in dataset.rows for word in row.word.split()} <= {"guten", "morgen", *words}


def test_synthetic_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_module("espeakng_loader")
    for config, keywords, message in (
        (ROBIN | {"language": "xx"}, ["a"], "no language 'xx'"),
        (ROBIN | {"clips_per_keyword": 1}, ["a"], "at least 3 clips"),
        (ROBIN, ["..."], r"says nothing for '\.\.\.'"),
    ):
        with pytest.raises(EdgernnError, match=message):
            prepare([config], keywords, tmp_path / "d")
    with pytest.raises(EdgernnError, match="no voice 'nobody'"):
        list(espeak.speak([espeak.Job("nobody", "hello")]))
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(EdgernnError, match="espeak-ng: pip install"):
        prepare([ROBIN], ["a"], tmp_path / "d")
    assert os.listdir(tmp_path) == []


def test_noise_has_the_spectrum_of_its_name() -> None:
    def slope(kind: str) -> float:
        """dB per octave between 100 Hz and 6.4 kHz."""
        power = np.abs(np.fft.rfft(make_noise(kind, 160000, np.random.default_rng(5)).astype(float))) ** 2
        low, high = power[1000:2000].mean(), power[32000:64000].mean()
        return float(10 * np.log10(high / low) / 5)

    assert [round(slope(kind)) for kind in ("white", "pink", "brown")] == [0, -3, -6]
    for mains in (50, 60):
        hum = np.abs(np.fft.rfft(make_noise(f"hum{mains}", 160000, np.random.default_rng(6)).astype(float)))
        loudest = np.sort(np.argsort(hum)[-6:])
        assert set(loudest % (10 * mains)) == {0} and loudest[0] == 10 * mains
    clicks = make_noise("impulses", 160000, np.random.default_rng(7)).astype(float)
    assert np.abs(clicks).max() > 15 * np.median(np.abs(clicks))
    machines = [make_noise("machine", 32000, np.random.default_rng(seed)).astype(float) for seed in range(12)]
    flatness = [np.exp(np.mean(np.log(s))) / np.mean(s) for s in (np.abs(np.fft.rfft(m)) ** 2 + 1 for m in machines)]
    assert min(flatness) < 0.01, "none of them hums"
    assert max(flatness) > 10 * min(flatness), "all of them sound alike"
    speech = [tone(number, 3000) for number in range(5)]
    assert all(len(make_noise(kind, 40001, np.random.default_rng(8), speech)) == 40001 for kind in KINDS)
