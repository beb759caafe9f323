"""What the frameworks' own tools say of a package: run by a Python that has them (needs.need_packagers), printed as JSON
on the last line.

    python packagers_check.py platformio FOLDER     PlatformIO's manifest parser and schema, then its packager
    python packagers_check.py idf FOLDER            ESP-IDF's component manager, as strict as before an upload
    python packagers_check.py yaml FILE             a YAML file as JSON
    python packagers_check.py kconfig ROOT MODULE CONF   Kconfig tree with the module's, a configuration loaded
    python packagers_check.py pio FILE              a PIO program assembled: instructions, wrap, side-set bits
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any


def platformio(folder: str) -> dict[str, Any]:
    from packaging.licenses._spdx import LICENSES
    from platformio.package.manifest.parser import ManifestParserFactory
    from platformio.package.manifest.schema import ManifestSchema
    from platformio.package.pack import PackagePacker

    # PlatformIO fetches the list of SPDX identifiers from the net; `packaging` carries the same list
    known = {"licenses": [{"licenseId": x["id"]} for x in LICENSES.values()]}
    ManifestSchema.load_spdx_licenses = staticmethod(lambda: known)
    try:
        manifest = ManifestSchema().load_manifest(ManifestParserFactory.new_from_dir(folder).as_dict())
    except Exception as error:
        return {"errors": [f"{type(error).__name__}: {error}"]}
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(PackagePacker(folder).pack(f"{scratch}/x.tar.gz")) as packed:
        return {"errors": [], "manifest": manifest, "packed": sorted(packed.getnames())}


def idf(folder: str) -> dict[str, Any]:
    from idf_component_tools.manager import ManifestManager, UploadMode

    manager = ManifestManager(folder, "component", upload_mode=UploadMode.component)
    if not manager.is_valid:
        return {"errors": manager.validation_errors}
    return {"errors": [], "version": str(manager.manifest.version), "license": manager.manifest.license}


def yaml(path: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(Path(path))


def kconfig(root: str, module: str, conf: str) -> dict[str, Any]:
    import kconfiglib

    os.environ["MODULE_KCONFIG"] = module
    try:
        tree = kconfiglib.Kconfig(root, warn_to_stderr=False)
    except kconfiglib.KconfigError as error:
        return {"errors": [str(error)]}
    tree.warn_assign_undef = True
    tree.load_config(conf)
    return {"errors": tree.warnings, "values": {s.name: s.str_value for s in tree.unique_defined_syms}}


def pio(path: str) -> dict[str, Any]:
    import adafruit_pioasm

    program = adafruit_pioasm.Program(Path(path).read_text())
    return {"instructions": list(program.assembled), **program.pio_kwargs}


if __name__ == "__main__":
    checks = {f.__name__: f for f in (platformio, idf, yaml, kconfig, pio)}
    print(json.dumps(checks[sys.argv[1]](*sys.argv[2:]), default=str))
