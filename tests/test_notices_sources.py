"""Corpora in their own layouts: which split a recording goes to, whose it is, and what is left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgernn.data.sources import collect, folder, manifest, prepare, speech_commands, voicebank
from edgernn.errors import EdgernnError
from edgernn.signal.audio import write_wav
from edgernn.tasks import make_recipe
from edgernn.tasks.denoise.recipe import GainParams
from edgernn.tasks.spot import adapting as spotting

GRU = {"cell": "gru", "units": 4}


def sound(path: Path, level: int = 500, samples: int = 2000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, (np.random.default_rng(len(str(path))).normal(size=samples) * level).astype(np.int16))
    return path


# Manifest ---------------------------------------------------------------------------


def listed(tmp_path: Path, rows: list[str], **options: Any) -> list[Any]:
    (tmp_path / "m.csv").write_text("path,label,speaker,split,source,licence\n" + "\n".join(rows) + "\n")
    return manifest.scan({"path": str(tmp_path / "m.csv"), "keywords": ("stop",), **options})


ROWS = [f"{word}{n}.wav,{word},p{n},{split},src,lic" for n, split in enumerate(("training", "DEV", "testing", "train"))
        for word in ("stop", "go")]  # fmt: skip


def test_a_manifests_own_splits_speakers_and_origin_are_kept(tmp_path: Path) -> None:
    found = listed(tmp_path, ROWS)
    assert [(x.source, x.label, x.speaker, x.split, x.note) for x in found[:4]] == [
        ("stop0.wav", "stop", "p0", "train", "src, lic"), ("go0.wav", "go", "p0", "train", "src, lic"),
        ("stop1.wav", "stop", "p1", "validation", "src, lic"), ("go1.wav", "go", "p1", "validation", "src, lic"),
    ]  # fmt: skip
    assert [x.split for x in found[4::2]] == ["test", "train"]
    with pytest.raises(EdgernnError, match="has split 'dev2'"):
        listed(tmp_path, ["a.wav,stop,p,dev2,,"])


def test_filters_keep_what_equals_begins_or_does_not(tmp_path: Path) -> None:
    def kept(**wanted: str) -> list[str]:
        return [x.source for x in listed(tmp_path, ROWS, filter=wanted)]

    assert kept(label="stop") == ["stop0.wav", "stop1.wav", "stop2.wav", "stop3.wav"]
    assert kept(label="!stop", split="test*") == ["go2.wav"]
    assert kept(path="go*", speaker="!p0") == ["go1.wav", "go2.wav", "go3.wav"]
    assert kept(path="!stop*", label="go") == [f"go{n}.wav" for n in range(4)]
    with pytest.raises(EdgernnError, match=r"no row of .* passes the filter"):
        kept(label="sto")
    assert [x.label for x in listed(tmp_path, ROWS, labels={"go": "walk"})[:2]] == ["stop", "walk"]
    assert {x.label for x in listed(tmp_path, ROWS, only_keywords=True)} == {"stop"}


def test_few_of_each_label_are_taken_from_the_split_that_is_meant(tmp_path: Path) -> None:
    many = [f"{word}{n}.wav,{word},p{n},{split},," for word in ("stop", "go") for split in ("train", "validation", "test")
            for n in {"train": range(9), "validation": range(10, 15), "test": range(20, 24)}[split]]  # fmt: skip
    whole = Counter((x.label, x.split) for x in listed(tmp_path, many))
    some = listed(tmp_path, many, train_per_label=3)
    count = Counter((x.label, x.split) for x in some)
    assert count == {**whole, ("stop", "train"): 3, ("go", "train"): 3}
    assert [x.source for x in some] == [x.source for x in listed(tmp_path, many) if x in some], "in their order"
    other = listed(tmp_path, many, train_per_label=3, seed=1)
    assert {x.source for x in other} != {x.source for x in some}
    none = Counter((x.label, x.split) for x in listed(tmp_path, many, validation_per_label=-1))
    assert none == {key: n for key, n in whole.items() if key[1] != "validation"}
    two = Counter((x.label, x.split) for x in listed(tmp_path, many, validation_per_label=2))
    assert two == {**whole, ("stop", "validation"): 2, ("go", "validation"): 2}


# Speech Commands ---------------------------------------------------------------------------


def commands(root: Path) -> Path:
    for word in ("stop", "cat", "dog"):
        for speaker in ("aa", "bb", "cc", "dd"):
            sound(root / word / f"{speaker}_nohash_0.wav")
    return root


def test_the_corpus_own_lists_decide_and_its_rule_where_there_are_none(tmp_path: Path) -> None:
    root = commands(tmp_path / "sc")
    (root / "validation_list.txt").write_text("stop/bb_nohash_0.wav\ncat/bb_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("stop/cc_nohash_0.wav\n")
    found = {x.source: x for x in speech_commands.scan({"path": str(root)})}
    assert found["stop/bb_nohash_0.wav"].split == "validation" and found["stop/cc_nohash_0.wav"].split == "test"
    assert found["stop/aa_nohash_0.wav"].split == found["dog/bb_nohash_0.wav"].split == "train"
    assert (found["cat/aa_nohash_0.wav"].label, found["cat/aa_nohash_0.wav"].speaker) == ("cat", "sc_aa")
    for name in ("validation_list.txt", "testing_list.txt"):
        (root / name).unlink()
    for x in speech_commands.scan({"path": str(root)}):
        assert x.split == speech_commands.which_set(x.source)


def test_unknown_words_are_thinned_in_each_split_and_keywords_are_not(tmp_path: Path) -> None:
    root = commands(tmp_path / "sc")
    (root / "validation_list.txt").write_text("cat/bb_nohash_0.wav\ndog/bb_nohash_0.wav\nstop/bb_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("cat/cc_nohash_0.wav\n")
    kept = speech_commands.scan({"path": str(root), "keywords": ("stop",), "unknown_per_split": 1})
    count = Counter((x.split, x.label == "stop") for x in kept)
    assert count == {
        ("train", True): 3,
        ("validation", True): 1,
        ("train", False): 1,
        ("validation", False): 1,
        ("test", False): 1,
    }


def test_background_noise_is_cut_into_thirds_one_a_split(tmp_path: Path) -> None:
    root = commands(tmp_path / "sc")
    whole = np.arange(9001, dtype=np.int16)
    (root / "_background_noise_").mkdir()
    write_wav(root / "_background_noise_" / "hum.wav", whole)
    noise = [c for c in speech_commands.items({"path": str(root)}) if c.item.label == "_noise_"]
    assert [c.item.split for c in noise] == ["train", "validation", "test"]
    assert [(c.pcm[0], len(c.pcm)) for c in noise] == [(0, 3000), (3000, 3000), (6000, 3000)]
    assert len({c.item.speaker for c in noise}) == 3
    assert not [c for c in speech_commands.items({"path": str(root), "noise": False}) if c.item.label == "_noise_"]


# VoiceBank and folders ---------------------------------------------------------------------------


def test_voicebank_keeps_its_test_set_and_its_noise_is_the_difference(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, speakers in (("trainset_28spk", range(226, 246)), ("testset", (900,))):
        for speaker in speakers:
            clean, noise = ((rng.normal(size=3200) * level).astype(np.int16) for level in (900, 300))
            for kind, x in (("clean", clean), ("noisy", clean + noise)):
                path = tmp_path / f"{kind}_{part}_wav" / f"p{speaker}_001.wav"
                path.parent.mkdir(exist_ok=True)
                write_wav(path, x)
    found = list(voicebank.items({"path": str(tmp_path)}))
    split_of = {c.item.speaker: c.item.split for c in found if c.item.label == "_speech_"}
    assert split_of["p900"] == "test" and set(split_of.values()) == {"train", "validation", "test"}
    assert 1 <= Counter(split_of.values())["validation"] <= 6
    by = {(c.item.label, c.item.source.split("/")[1]): c for c in found}
    for name in ("p226_001.wav", "p900_001.wav"):
        speech, noise = by["_speech_", name], by["_noise_", name]
        assert noise.item.split == speech.item.split
        assert 250 < noise.pcm.std() < 350 and 800 < speech.pcm.std() < 1000
    (tmp_path / "noisy_testset_wav" / "p900_001.wav").unlink()
    with pytest.raises(EdgernnError, match="has no noisy counterpart"):
        voicebank.scan({"path": str(tmp_path)})


def test_a_folder_tells_speakers_from_words(tmp_path: Path) -> None:
    for name in ("stop/ann_000.wav", "stop/bob_001.wav", "stop/stop_002.wav", "hey robin/Hey-Robin_003.wav", "stop/x.wav"):
        sound(tmp_path / name)
    found = {x.source: x.speaker for x in folder.scan({"path": str(tmp_path), "keywords": ("stop",)})}
    assert found == {"stop/ann_000.wav": "ann", "stop/bob_001.wav": "bob", "stop/stop_002.wav": "stop/stop_002.wav",
                     "hey robin/Hey-Robin_003.wav": "hey robin/Hey-Robin_003.wav", "stop/x.wav": "stop/x.wav"}  # fmt: skip
    fixed = folder.scan({"path": str(tmp_path), "split": "test", "keywords": ()})
    assert {x.split for x in fixed} == {"test"}
    with pytest.raises(EdgernnError, match="split 'dev' is not one of"):
        folder.scan({"path": str(tmp_path), "split": "dev"})


def test_only_training_clips_count_several_times(tmp_path: Path) -> None:
    for n in range(30):
        sound(tmp_path / "f" / "stop" / f"p{n}_000.wav")
    table = {"kind": "folder", "path": str(tmp_path / "f")}
    once, thrice = (Counter(c.item.split for c in collect([{**table, "train_repeat": n}], ("stop",), 0)) for n in (1, 3))
    assert thrice == {**once, "train": 3 * once["train"]} and len(once) == 3
    for wrong in (0, 1001, 1.5, True):
        with pytest.raises(EdgernnError, match="train_repeat"):
            list(collect([{**table, "train_repeat": wrong}], ("stop",), 0))
    with pytest.raises(EdgernnError, match="no data source was given"):
        prepare([], ("stop",), tmp_path / "d")


# Recipes ---------------------------------------------------------------------------


def test_a_spotters_rate_is_that_of_recordings_or_less() -> None:
    for rate in (4000, 16000):
        make_recipe({"frontend": {"sample_rate": rate, "f_max": 1500.0}, "layers": [GRU]})
    for rate in (3999, 16001):
        with pytest.raises(EdgernnError, match=r"frontend\.sample_rate"):
            make_recipe({"frontend": {"sample_rate": rate, "f_max": 1500.0}, "layers": [GRU]})


def test_words_and_languages_take_the_place_of_the_recipes() -> None:
    sources = ({"kind": "synthetic"}, {"kind": "folder", "path": "x"})
    recipe = make_recipe({"data": {"keywords": ["stop"], "sources": list(sources)}, "layers": [GRU]})
    assert spotting.with_words(recipe, " hey robin , ,go").keywords == ("hey robin", "go")
    assert [t.get("language") for t in spotting.with_language(recipe, "de").sources] == ["de", None]
    with pytest.raises(EdgernnError, match="names no word"):
        spotting.with_words(recipe, " , ")
    for word, language, ok in (
        ("привет", "en", False),
        ("привет", "en-gb", False),
        ("привет", "ru", True),
        ("café", "en", True),
    ):
        said = spotting.with_language(spotting.with_words(recipe, word), language)
        if ok:
            spotting.check_voices(said)
        else:
            with pytest.raises(EdgernnError, match="English voices cannot say"):
                spotting.check_voices(said)


def test_voices_and_folders_of_the_users_join_the_recipes(tmp_path: Path) -> None:
    sources = ({"kind": "synthetic"}, {"kind": "spoken"}, {"kind": "folder", "path": "x"})
    recipe = make_recipe({"data": {"keywords": ["stop"], "sources": list(sources)}, "layers": [GRU]})
    voices = [t.get("voices") for t in spotting.with_voices(recipe, "flite, kokoro").sources]
    assert voices == [["flite", "kokoro"], ["flite"], None], "whole sentences of a neural voice would take hours"
    assert [t.get("voices") for t in spotting.with_voices(recipe, "kokoro").sources] == [["kokoro"], None, None]
    for text, said in (("flit", "no voices flit; the engines are espeak"), (" ,", "the engines are")):
        with pytest.raises(EdgernnError, match=said):
            spotting.with_voices(recipe, text)
    with pytest.raises(EdgernnError, match="makes no voices"):
        spotting.with_voices(make_recipe({"data": {"sources": [sources[2]]}, "layers": [GRU]}), "flite")
    with pytest.raises(EdgernnError, match=r"--more-negatives .*no sound file in it"):
        spotting.adapted(recipe, {"more_negatives": tmp_path})
    write_wav(tmp_path / "a" / "b.wav", np.ones(1600, np.int16))
    more = spotting.adapted(recipe, {"more_recordings": tmp_path, "more_negatives": tmp_path}).sources[3:]
    here = ("folder", str(tmp_path))
    assert [(t["kind"], t["path"], t.get("speech"), t.get("split")) for t in more] == [
        (*here, None, None),
        (*here, True, "train"),
    ]
    with pytest.raises(EdgernnError, match=r"--more-negatives .*no such folder"):
        spotting.adapted(recipe, {"more_negatives": tmp_path / "gone"})


def test_what_people_said_may_be_in_any_script() -> None:
    people = {"kind": "synthetic", "voices": ["recorded"], "path": "x"}
    for voices, ok in ((["recorded"], True), (["recorded", "espeak"], False)):
        recipe = make_recipe({"data": {"keywords": ["привет"], "sources": [{**people, "voices": voices}]}, "layers": [GRU]})
        if ok:
            spotting.check_voices(recipe)
        else:
            with pytest.raises(EdgernnError, match="English voices cannot say"):
                spotting.check_voices(recipe)


def denoiser(*layers: dict[str, Any], **stft: int) -> Any:
    return make_recipe({"task": "denoise", "layers": list(layers), "stft": {"window": 128, "single": 16, "wide": 3, **stft}})


def test_a_denoisers_layers_fold_once_and_take_one_frame() -> None:
    fold = {"cell": "subbands", "rows": 8, "units": 4}
    denoiser(fold, GRU, {"cell": "row_conv", "units": 4}, GRU)
    denoiser({"cell": "conv", "kernel": 3, "units": 4}, GRU)
    for layers, said in (
        (({"cell": "conv", "kernel": 3, "stride": 2, "units": 4}, GRU), "takes one frame a step"),
        ((GRU, fold), "only the first layer may fold"), ((fold, fold), "only the first layer may fold"),
        ((fold, {"cell": "conv", "kernel": 3, "units": 4}), "looks back in time, rows cannot"),
        (({**fold, "rows": 5}, GRU), "does not divide the 32 bands"),
    ):  # fmt: skip
        with pytest.raises(EdgernnError, match=said):
            denoiser(*layers)
    with pytest.raises(EdgernnError, match="recordings are read at 16000 Hz"):
        denoiser(GRU, sample_rate=8000)


def test_a_gain_floor_is_in_q15() -> None:
    assert [GainParams(x).floor for x in (0.0, -20.0, -40.0, -90.0)] == [32767, 3277, 328, 1]
    for wrong in (0.1, -90.1):
        with pytest.raises(EdgernnError, match="floor_db"):
            GainParams(wrong)
