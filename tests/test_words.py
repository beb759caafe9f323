"""Words in any script and language: their voices, and what is said before an hour is spent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgernn import cli
from edgernn.data.corpus import Dataset, write_dataset
from edgernn.data.sources import synthetic
from edgernn.errors import EdgernnError
from edgernn.pipeline import chosen_recipe
from edgernn.tasks import find_task
from edgernn.tasks.denoise.run import DenoiseRequest, run_denoise

SPOT = find_task("spot", "test")


def test_the_language_reaches_the_voices() -> None:
    recipe = chosen_recipe("demo", "data", {"keywords": "привет, стоп", "language": "ru"})
    assert recipe.keywords == ("привет", "стоп")
    made = [t for t in recipe.sources if t["kind"] == "synthetic"]
    assert made and all(t["language"] == "ru" for t in made)
    SPOT.check_data(recipe)
    table = {**made[0], "keywords": recipe.keywords, "clips_per_keyword": 3, "unknown_clips": 3, "noise_seconds": 0.0}
    clips = list(synthetic.items({k: v for k, v in table.items() if k != "kind"}))
    said = [c for c in clips if c.item.label in recipe.keywords]
    assert {c.item.label for c in said} == {"привет", "стоп"}
    assert all(c.item.speaker.startswith("ru") and np.abs(c.pcm).max() > 1000 for c in said)


@pytest.mark.parametrize("word", ["привет", "ねこ", "λόγος", "hey نور"])
def test_english_voices_refuse_other_scripts(word: str) -> None:
    with pytest.raises(EdgernnError, match=f"English voices cannot say '{word}'.*--language"):
        SPOT.check_data(chosen_recipe("demo", "data", {"keywords": word}))


@pytest.mark.parametrize("word", ["café", "hey robin", "Straße", "l'eau", "one 2"])
def test_they_say_latin_letters(word: str) -> None:
    SPOT.check_data(chosen_recipe("demo", "data", {"keywords": word}))


def test_failed_data_claims_no_folder(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    source = '[[data.sources]]\nkind = "folder"\npath = "gone"\n'
    recipe.write_text(f'[data]\nkeywords = ["stop"]\n{source}[[layers]]\ncell = "gru"\nunits = 8\n')
    result = CliRunner().invoke(cli.app, ["data", str(tmp_path / "a" / "run"), "--recipe", str(recipe)])
    assert isinstance(result.exception, EdgernnError) and "gone does not exist" in str(result.exception)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.toml"]


def test_a_language_without_voices_and_no_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgernnError, match="makes no voices"):
        chosen_recipe("sc12-20k", "data", {"language": "de"})
    with pytest.raises(EdgernnError, match="names no word"):
        chosen_recipe("demo", "data", {"keywords": " , "})
    result = CliRunner().invoke(cli.app, ["kws", "--keywords", "привет", "--out", str(tmp_path / "r")])
    assert isinstance(result.exception, EdgernnError) and not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", ["out.mp3", "out.flac", "out.wav.ogg"])
def test_denoised_sound_is_never_a_wav_under_another_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgernnError, match=r"written as WAV; name it .*\.wav"):
        list(run_denoise(None, DenoiseRequest("x.wav", str(tmp_path / name))))
    assert not list(tmp_path.iterdir())


def test_calibration_without_noise_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from fixture_runs import gate_fixture

    from edgernn.signal.log_mel import make_tables
    from edgernn.tasks.spot.clips import calibration_streams

    recipe = gate_fixture.recipe()
    words = [clip for clip in gate_fixture.corpus() if not clip.item.label.startswith("_")]
    data: Dataset = write_dataset(words, recipe.keywords, tmp_path / "quiet", 1.0)
    logs = calibration_streams(data, recipe, make_tables(recipe.frontend))
    assert logs.shape[0] == recipe.quantize.streams and "holds no noise" in caplog.text
