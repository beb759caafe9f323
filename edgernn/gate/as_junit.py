"""A result of the gate as JUnit XML, which every CI shows: one test case a figure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Xml

from edgernn.gate.words import Row, changes, ordered, reason

#: what XML 1.0 cannot hold
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(r: Mapping[str, Any]) -> bytes:
    """The file: worse is a failure, missing an error, unclear passes and says so."""
    rows = ordered(r["rows"])
    count = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("worse", "missing")}
    suite = _suite(r["run"], len(rows), count["worse"], count["missing"])
    for row in rows:
        _case(suite, row)
    return _written(suite)


def untold(run: str, message: str) -> bytes:
    """What is written when nothing could be judged: one error."""
    suite = _suite(run, 1, 0, 1)
    case = Xml.SubElement(suite, "testcase", classname="edgernn.check", name="can be compared")
    Xml.SubElement(case, "error", message=_text(message)).text = _text(message)
    return _written(suite)


def _suite(run: str, tests: int, failures: int, errors: int) -> Xml.Element:
    return Xml.Element(
        "testsuite",
        name=_text(f"edgernn check {run}"),
        tests=str(tests),
        failures=str(failures),
        errors=str(errors),
        skipped="0",
    )


def _case(suite: Xml.Element, row: Row) -> None:
    owner, name = row["metric"].split(".", 1)
    case = Xml.SubElement(suite, "testcase", classname=_text(f"edgernn.{owner}"), name=_text(name))
    text = _text("\n".join([reason(row), *changes(row)]))
    if row["verdict"] in ("worse", "missing"):
        kind = "failure" if row["verdict"] == "worse" else "error"
        Xml.SubElement(case, kind, message=_text(reason(row))).text = text
    else:
        Xml.SubElement(case, "system-out").text = text


def _written(suite: Xml.Element) -> bytes:
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _text(text: str) -> str:
    return _NO_XML.sub("?", text)
