"""The integer FFT that both signal paths are made of: log-mel features, and analysis and synthesis.

Twiddle factors come from a table cos(2 pi k / n), k = 0 .. 3n/4 - 1, and a `multiply` that fits it: operand times table
entry, halved. The halving is what keeps a butterfly in 32 bits going forward; going back it is undone by doubling.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgernn.core.qmath import Ints

Multiply = Callable[[Ints, Ints], Ints]
Complex = tuple[Ints, Ints]  #: real and imaginary part


def bit_reversed(n: int) -> NDArray[np.int64]:
    """Index i with its log2(n) bits read backwards, for i = 0 .. n - 1."""
    bits = n.bit_length() - 1
    return np.array([int(f"{i:0{bits}b}"[::-1], 2) for i in range(n)])


def _stages(n: int) -> list[tuple[int, NDArray[np.int64]]]:
    """(span, table indices of its twiddles) of each radix-2 stage; the table has 2n steps to a turn."""
    spans = [1 << s for s in range(n.bit_length() - 1)]
    return [(span, np.arange(span) * (n // span)) for span in spans]


def _joined(a: Ints, b: Ints, n: int) -> Ints:
    """The two halves of every butterfly, [T, n / 2 span, span] each, as [T, n]."""
    return np.stack([a, b], axis=2).reshape(len(a), n)


def forward(z: Complex, cosine: Ints, multiply: Multiply) -> Complex:
    """Complex FFT over the last axis, input in bit-reversed order; every stage halves, so the result is scaled by 1/n."""
    re, im = z
    n = re.shape[1]
    for span, k in _stages(n):
        wr, wi = cosine[k], cosine[k + n // 2]
        shape = (len(re), n // (2 * span), 2, span)
        re4, im4 = re.reshape(shape), im.reshape(shape)
        ar, ai, br, bi = re4[:, :, 0] >> 1, im4[:, :, 0] >> 1, re4[:, :, 1], im4[:, :, 1]
        tr = multiply(br, wr) - multiply(bi, wi)
        ti = multiply(br, wi) + multiply(bi, wr)
        re, im = _joined(ar + tr, ar - tr, n), _joined(ai + ti, ai - ti, n)
    return re, im


def inverse(z: Complex, cosine: Ints, multiply: Multiply) -> Complex:
    """The unscaled inverse of `forward`'s transform, input in bit-reversed order; the caller leaves room for the sums."""
    re, im = z
    n = re.shape[1]
    for span, k in _stages(n):
        wr, wi = cosine[k], cosine[k + n // 2]
        shape = (len(re), n // (2 * span), 2, span)
        re4, im4 = re.reshape(shape), im.reshape(shape)
        ar, ai, br, bi = re4[:, :, 0], im4[:, :, 0], 2 * re4[:, :, 1], 2 * im4[:, :, 1]
        tr = multiply(br, wr) + multiply(bi, wi)
        ti = multiply(bi, wr) - multiply(br, wi)
        re, im = _joined(ar + tr, ar - tr, n), _joined(ai + ti, ai - ti, n)
    return re, im


def real_spectrum(x: Ints, n: int, cosine: Ints, multiply: Multiply) -> Complex:
    """Real FFT of int32 [T, <= n], scaled by 1/n: re and im int32 [T, n/2], bins 0 to n/2 - 1."""
    return split_real(packed_spectrum(x, n, cosine, multiply), cosine, multiply)


def packed_spectrum(x: Ints, n: int, cosine: Ints, multiply: Multiply) -> Complex:
    """Transform of a real signal's even and odd samples taken as real and imaginary parts, [T, n/2], scaled by 2/n."""
    padded = np.zeros((len(x), n), np.int64)
    padded[:, : x.shape[1]] = x
    order = bit_reversed(n // 2)
    return forward((padded[:, 0::2][:, order], padded[:, 1::2][:, order]), cosine, multiply)


def split_real(z: Complex, cosine: Ints, multiply: Multiply) -> Complex:
    """Spectrum of a real signal from that of its even and odd samples packed as a complex one; halved once more."""
    re, im = z
    half = re.shape[1]
    mirror = (-np.arange(half)) % half
    zr, zi, yr, yi = re >> 1, im >> 1, re[:, mirror] >> 1, im[:, mirror] >> 1
    even_r, even_i = zr + yr, zi - yi
    odd_r, odd_i = zi + yi, yr - zr
    k = np.arange(half)
    wr, wi = cosine[k], cosine[k + half // 2]
    xr = (even_r >> 1) + multiply(odd_r, wr) - multiply(odd_i, wi)
    xi = (even_i >> 1) + multiply(odd_r, wi) + multiply(odd_i, wr)
    return xr, xi


def joined_real(x: Complex, cosine: Ints, multiply: Multiply) -> Complex:
    """The opposite of `split_real`: bins 0 .. n/2 [T, n/2 + 1] of a real signal -> the packed spectrum [T, n/2], doubled."""
    re, im = x
    half = re.shape[1] - 1
    k = np.arange(half)
    ar, ai, br, bi = re[:, k], im[:, k], re[:, half - k], -im[:, half - k]
    odd_r, odd_i = 2 * (ar - br), 2 * (ai - bi)
    wr, wi = cosine[k], cosine[k + half // 2]
    tr = multiply(odd_r, wr) + multiply(odd_i, wi)
    ti = multiply(odd_i, wr) - multiply(odd_r, wi)
    return ar + br - ti, ai + bi + tr
