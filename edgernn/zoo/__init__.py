"""The models that come along: a folder each, with a card. Nothing lists them; extensions add to them (`$EDGERNN_EXTENSIONS`).

    NAME/card.toml          what it is for, what it was made from and how, its figures
    NAME/graph-*.ern        the quantized graph
    NAME/model.safetensors  the float checkpoint
    NAME/recipe.json        the recipe it was trained by

A model's folder has the names of a run folder, so whatever reads one reads the other. It is never written to.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgernn.errors import EdgernnError
from edgernn.extensions import folders
from edgernn.notes import note

CARD = "card.toml"
OWN = Path(__file__).parent
OUT = Path("models")  #: what is made from a model lies here, in a folder of its name
_NEEDED = {"summary": str, "use": str, "limits": str, "default": bool, "data": list, "made": dict, "graph": dict,
           "checkpoint": dict, "work": list, "quality": dict}  # fmt: skip
_NUMBER = (int, float)
#: of the tables in it, each list's tables by its own name; what is shown of them
_FIELDS: dict[str, dict[str, Any]] = {
    "data": dict.fromkeys(("name", "licence", "by"), str),
    "made": {"command": str, "recipe": str, "date": str},
    "graph": {**dict.fromkeys(("id", "scheme", "task"), str), "weight_bytes": int, "latency_ms": _NUMBER},
    "checkpoint": {"sha256": str},
    "work": {**dict.fromkeys(("board", "cpu", "kernel"), str), "instructions_per_second": _NUMBER,
             **dict.fromkeys(("flash_bytes", "ram_bytes", "state_bytes", "stack_bytes", "entries", "bits_differing"), int)},
}  # fmt: skip


@dataclass(frozen=True)
class Card:
    """What a card says; tables as they stand there. docs/models.md tells each field."""

    name: str
    folder: Path
    summary: str
    use: str
    limits: str
    default: bool  #: what its task's verb takes when no model is named
    data: tuple[Mapping[str, Any], ...]
    made: Mapping[str, Any]
    graph: Mapping[str, Any]
    checkpoint: Mapping[str, Any]
    work: tuple[Mapping[str, Any], ...] = ()
    quality: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """What it does."""
        return str(self.graph["task"])

    @property
    def file(self) -> Path:
        """Its graph."""
        return self.folder / f"graph-{self.graph['scheme']}.ern"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**vars(self), "folder": str(self.folder), "data": list(self.data), "work": list(self.work)}


def model_folders() -> dict[str, Path]:
    """Every model's folder by its name, in alphabetical order; a name in two places is an error."""
    found: dict[str, Path] = {}
    for root in (OWN, *map(Path, folders("zoo"))):
        for card in sorted(root.glob(f"*/{CARD}")):
            if card.parent.name in found:
                raise EdgernnError(f"{card.parent} has the name of a model that comes along; give it another one")
            found[card.parent.name] = card.parent
    return dict(sorted(found.items()))


def read_card(folder: Path) -> Card:
    """The card in a model's folder; a damaged one is an error that names the model."""
    path = folder / CARD
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{path}: {error}") from None
    for key, kind in _NEEDED.items():
        if not isinstance(values.get(key), kind):
            raise _damaged(folder, f"{path} lacks {key}")
    for key, fields in _FIELDS.items():
        for table in values[key] if _NEEDED[key] is list else [values[key]]:
            if missing := [name for name, kind in fields.items() if not isinstance(table.get(name), kind)]:
                raise _damaged(folder, f"{path} lacks {key}.{missing[0]}")
    values |= {"data": tuple(values["data"]), "work": tuple(values["work"])}
    return Card(folder.name, folder, **{key: values[key] for key in _NEEDED})


def all_cards() -> list[Card]:
    """Every model's card; a damaged one is an error."""
    return [read_card(folder) for folder in model_folders().values()]


def sound_cards() -> list[Card]:
    """The cards of the models whose files are all what the cards say; others are named in a note each."""
    found = []
    for folder in model_folders().values():
        try:
            card = read_card(folder)
            for path in (card.file, card.folder / "model.safetensors"):
                checked(card, path)
        except EdgernnError as error:
            note(str(error))
        else:
            found.append(card)
    return found


def find_card(name: str) -> Card:
    """A model's card by its name; an unknown one is an error that names those there are."""
    known = model_folders()
    if name not in known:
        raise EdgernnError(f"no model {name!r} comes along; there are {', '.join(known) or 'none'}")
    return read_card(known[name])


def default_model(task: str) -> Card | None:
    """The model that a task's verb takes when none is named; None where there is none. Damage to others does not matter."""
    damaged: EdgernnError | None = None
    for folder in model_folders().values():
        try:
            card = read_card(folder)
        except EdgernnError as error:
            damaged = damaged or error
        else:
            if card.task == task and card.default:
                return card
    if damaged:
        raise damaged
    return None


def model_at(where: Path) -> Card | None:
    """The model that `where` names, or whose folder or file it is; None where it is none.

    A file or folder that exists goes before a name.
    """
    known = model_folders()
    if not where.exists():
        return find_card(str(where)) if str(where) in known else None
    place = where.resolve()
    inside = [folder for folder in known.values() if place == folder.resolve() or place.parent == folder.resolve()]
    return read_card(inside[0]) if inside else None


def located(where: Path) -> Path:
    """The folder of the model that `where` names; `where` itself where it names none."""
    card = model_at(where)
    return card.folder if card and not where.exists() else where


def checked(card: Card, path: Path) -> Path:
    """A file of a model, once its bytes are those that the card is about."""
    expected = card.checkpoint["sha256"] if path.suffix == ".safetensors" else card.graph["id"]
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _damaged(card.folder, f"{path}: {error.strerror}") from None
    if found != expected:
        raise _damaged(card.folder, f"{path} has other bytes than its card says")
    return path


def refuse_to_write(folder: Path) -> None:
    """A model is read only: a verb that would write into its folder, at any depth, is refused."""
    place = folder.resolve()
    around = [own for own in model_folders().values() if own.resolve() in place.parents]
    if card := read_card(around[0]) if around else model_at(folder):
        raise EdgernnError(
            f"{card.name} is a model that comes along, and is only read; copy it into a run folder of your own with "
            f"`edgernn models {card.name} --out run/{card.name}`, and name that"
        )


def _damaged(folder: Path, why: str) -> EdgernnError:
    remedy = "install edgernn again" if OWN in folder.parents else "mend it, or take its folder out of $EDGERNN_EXTENSIONS"
    return EdgernnError(f"the model {folder.name} is damaged ({why}); {remedy}")
