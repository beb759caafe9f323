"""Cortex-M3: a word of weights serves four rows (MLA), the scale by an upper product (SMULL), and SSAT."""

from __future__ import annotations

from firmware_export.kernels import DigitKernel


class M3(DigitKernel):
    """See the module docstring; ern_m3_rows.S has the loop."""

    name = "m3"
    cores = ("cortex-m3",)
    sources = ("ern_m3.c", "ern_m3_rows.S")
    header = "ern_m3.h"
    shifts = (17, 33)


KERNEL = M3()
