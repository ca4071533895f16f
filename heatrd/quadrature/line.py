"""Quadrature of a law on the line: Gauss–Legendre panels that follow the density and the kernel.

Two scales must be resolved. The density's own features (kinks, jumps, integrable poles) are found once per source by
bisection: a panel is accepted when its Legendre coefficients have decayed and its mass agrees with the distribution
function; at the bottom of a bisection the mass of a minute panel is taken from the distribution function. The kernel's
scale √ε then only splits accepted panels further. Since log Z and k/Z are analytic in a strip of width ~√ε, order
16 on panels of width √ε
is exact to rounding.

Mass beyond the core [a, b] (P(outside) ≤ `tail_mass`) is kept as *tail cells*: each knows its mass P, second moment
about its centre and
−∫ μ log μ, which is what the certificate needs to bound the far tail from both sides.

All nodes are in the standard coordinate z = (x − shift)/scale with a power of two as scale.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from heatrd.errors import InvalidInput
from heatrd.quadrature.line_measure import Flanks, LineMeasure, SettledLaw, TailCells
from heatrd.sources import Source1D

__all__ = ["LineQuadrature"]

FloatArray = NDArray[np.float64]

_ORDER = 16
_DEPTH = 60
_COUNTABLE = 2.0**40  # pieces of a panel: more are refused whatever their number
_MOST_PANELS = 100_000
_MOST_CELLS = 100_000  # in the first part of a far tail
_ORDERS = (4, 8, _ORDER)


@dataclass(frozen=True, slots=True, eq=False)
class _Panels:
    """Panels in the source's own coordinate: ends, mass fixed in advance (NaN: by rule), polynomial degree, factor."""

    left: FloatArray
    right: FloatArray
    fixed: FloatArray
    degree: FloatArray
    factor: FloatArray

    def take(self, index: NDArray[np.bool_]) -> _Panels:
        return _Panels(self.left[index], self.right[index], self.fixed[index], self.degree[index], self.factor[index])

    def split(self, at: float) -> _Panels:
        """Put an edge at ``at``."""
        hit = np.flatnonzero((self.left < at) & (at < self.right))
        if hit.size == 0 or not np.isnan(self.fixed[hit[0]]):
            return self
        j = int(hit[0])
        arrays = [np.insert(v, j, v[j]) for v in (self.left, self.right, self.fixed, self.degree, self.factor)]
        arrays[1][j] = arrays[0][j + 1] = at
        return _Panels(*arrays)


def _growing(first: float, most: int) -> FloatArray:
    """Edges from 0 to 1: intervals of length ``first`` at the start, growing by 100^(1/3) until the end."""
    growth = 100 ** (1 / 3)
    count = min(most, math.ceil(math.log(growth) / (growth - 1) / first))
    return np.asarray(np.expm1(np.linspace(0, math.log(growth), count + 1)) / (growth - 1))


def _degree(coefficients: FloatArray, width: FloatArray) -> FloatArray:
    """Degree from which on the Legendre coefficients (panels, order) are rounding, `_ORDER` where none is."""
    over = width[:, None] * np.cumsum(coefficients[:, ::-1], axis=1)[:, ::-1]
    degree = np.argmax(over <= 1e-15, axis=1).astype(float)
    degree[over[:, -1] > 1e-15] = _ORDER
    return degree


def _pieces(size: FloatArray, step: float) -> NDArray[np.int64]:
    return np.clip(np.ceil(size / step * (1 - 1e-12)), 1, _COUNTABLE).astype(np.int64)


def _legendre_tables() -> dict[int, tuple[FloatArray, FloatArray]]:
    return {n: np.polynomial.legendre.leggauss(n) for n in _ORDERS}


_RULES = _legendre_tables()
_NODES, _WEIGHTS = _RULES[_ORDER]
# Legendre coefficients of the interpolant through the Gauss nodes.
_TO_LEGENDRE = (np.arange(_ORDER)[:, None] + 0.5) * np.polynomial.legendre.legvander(_NODES, _ORDER - 1).T * _WEIGHTS


class LineQuadrature:
    """Panels that resolve a one-dimensional source, built once and refined for each ε.

    Parameters
    ----------
    source : Source1D
    tail_mass : float
        Mass allowed on either side outside the core.
    tail_loss : float
        What the width of the tail cells may cost F, nats: they are as wide as that allows, within 1.2 to 8 √ε where
        the tails begin.

    Raises
    ------
    InvalidInput
        The density is NaN or negative somewhere, or does not integrate to one.
    """

    def __init__(self, source: Source1D, tail_mass: float = 1e-13, tail_loss: float = 0.0) -> None:
        self.source = source
        self.tail_mass, self.tail_loss = tail_mass, tail_loss
        sigma = math.sqrt(float(source.variance))
        if not (math.isfinite(sigma) and sigma > 0):
            raise InvalidInput(f"{source!r} has variance {sigma**2}; need a finite positive variance")
        self.scale = 2.0 ** round(math.log2(sigma))
        self.shift = float(np.ravel(source.mean)[0])
        self.variance = (sigma / self.scale) ** 2
        self._tail_store: dict[int, TailCells] = {}
        self._points, self._point_mass = self._discrete_part()
        self._continuous_mass = max(0.0, 1.0 - float(self._point_mass.sum()))
        if self._continuous_mass < 1e-15:
            self._continuous_mass = 0.0
        self._left, self._right, self._fixed, self._degree, self._factor = self._density_panels()

    # -- building -----------------------------------------------------------------------------

    def _discrete_part(self) -> tuple[FloatArray, FloatArray]:
        points, masses = self.source.discrete_part
        order = np.argsort(points[:, 0], kind="stable")
        return np.asarray(points[order, 0], dtype=float), np.asarray(masses[order], dtype=float)

    @cached_property
    def core(self) -> tuple[float, float]:
        """Ends of the core in the source's own coordinate."""
        lo, hi = self.source.support
        if self._continuous_mass == 0.0:
            return float(lo), float(hi)
        a, b = self.source.tail_cut(self._side_mass[0])[0], self.source.tail_cut(self._side_mass[1])[1]
        return max(float(lo), float(a)), min(float(hi), float(b))

    @cached_property
    def _side_mass(self) -> tuple[float, float]:
        """Mass left outside on either side: a hundredth of `tail_mass` where the core grows little by it."""
        light = 0.01 * self.tail_mass
        a, b = self.source.tail_cut(self.tail_mass)
        near, far = self.source.tail_cut(light)
        little = 0.02 * (b - a)
        return light if a - near <= little else self.tail_mass, light if far - b <= little else self.tail_mass

    def pdf(self, x: FloatArray) -> FloatArray:
        """Density in standard units (per unit of z) at points ``x`` of the source's own coordinate."""
        logp = np.asarray(self.source.logpdf(x), dtype=float) + math.log(self.scale)
        if np.isnan(logp).any():
            bad = float(np.ravel(x)[np.flatnonzero(np.isnan(np.ravel(logp)))[0]])
            raise InvalidInput(f"{self.source!r}: the density is NaN at {bad:.6g}; give a density that is finite there")
        return np.exp(np.minimum(logp, 700.0))

    def _first_edges(self) -> FloatArray:
        a, b = self.core
        inner = [float(t) for t in self.source.breakpoints if a < float(t) < b]
        edges = np.unique(np.array([a, *inner, b]))
        pieces = [
            np.linspace(u, v, 1 + max(1, min(64, math.ceil((v - u) / (2 * self.scale)))))
            for u, v in itertools.pairwise(edges)
        ]
        return np.unique(np.concatenate(pieces))

    def _density_panels(self) -> tuple[FloatArray, ...]:
        """Bisect until the density is resolved to rounding.

        Returns left, right, fixed mass (NaN: by rule), polynomial degree, and the factor that brings a panel on
        which rounding of x makes the density noisy (close to a pole away from the origin) to its mass by the
        distribution function.
        """
        empty = np.zeros(0)
        if self._continuous_mass == 0.0:
            return empty, empty, empty, empty, empty
        edges = self._first_edges()
        left, right = edges[:-1], edges[1:]
        f_left, f_right = self._cdf(left), self._cdf(right)
        done: list[tuple[FloatArray, ...]] = []
        total, most = 0, _MOST_PANELS + 4 * left.size
        for depth in range(_DEPTH + 1):
            take, *found = self._judge_panels(left, right, f_right - f_left, last=depth == _DEPTH)
            done.append(tuple(column[take] for column in (left, right, *found)))
            total += int(take.sum())
            if take.all():
                break
            if total + 2 * int((~take).sum()) > most:
                raise InvalidInput(
                    f"{self.source!r}: the density is not resolved by {most} panels; it is too rough, or does not "
                    "agree with its own distribution function (is it normalised?)"
                )
            keep = ~take
            mid = 0.5 * (left[keep] + right[keep])
            f_mid = self._cdf(mid)
            left, right = np.concatenate([left[keep], mid]), np.concatenate([mid, right[keep]])
            f_left, f_right = np.concatenate([f_left[keep], f_mid]), np.concatenate([f_mid, f_right[keep]])
        columns = [np.concatenate(c) for c in zip(*done)]
        order = np.argsort(columns[0], kind="stable")
        return tuple(c[order] for c in columns)

    def _judge_panels(
        self, left: FloatArray, right: FloatArray, by_cdf: FloatArray, *, last: bool
    ) -> tuple[NDArray[np.bool_], FloatArray, FloatArray, FloatArray]:
        """Which panels need no further bisection, with their fixed mass, polynomial degree and factor."""
        half = 0.5 * (right - left)
        values = self.pdf(left[:, None] + half[:, None] * (1 + _NODES))
        coefficients = np.abs(values @ _TO_LEGENDRE.T)
        width = (right - left) / self.scale
        mass = 0.5 * width * (values @ _WEIGHTS)
        tail = width * (coefficients[:, -1] + coefficients[:, -2])
        grain = np.spacing(np.maximum(np.abs(left), np.abs(right))) / (right - left)
        noise = 8 * mass * grain
        good = (tail <= 1e-15 + noise) & (np.abs(mass - by_cdf) <= 1e-10 + noise)
        known = np.isfinite(by_cdf)
        light = known & (np.abs(by_cdf) * width <= 1e-17) & (width < 1e-4)
        bottom = (grain >= 0.125) | last | light
        noisy = known & (noise > 1e-14) & (np.abs(by_cdf - mass) < 0.01 * mass)
        factor = np.where(noisy, by_cdf / np.where(mass > 0, mass, 1.0), 1.0)
        fixed = np.where(bottom & ~good & known, np.maximum(by_cdf, 0.0), np.nan)
        return good | bottom, fixed, _degree(coefficients, width), factor

    def _cdf(self, x: FloatArray) -> FloatArray:
        """Distribution function of the continuous part."""
        values = np.asarray(self.source.cdf(x), dtype=float)
        if self._points.size:
            values = (
                values
                - np.concatenate([[0.0], np.cumsum(self._point_mass)])[np.searchsorted(self._points, x, side="right")]
            )
        return values

    # -- for one ε ------------------------------------------------------------------------------

    def count(self, epsilon: float, width: float = 1.0) -> int:
        """Predict the number of nodes that `measure` makes without cuts."""
        step = width * math.sqrt(epsilon) * self.scale
        return int(_pieces(self._right - self._left, step).sum() * _ORDER + self._points.size)

    def measure(self, epsilon: float, width: float = 1.0, flank: SettledLaw | None = None) -> LineMeasure:
        """Discretise μ for kernels of variance ``epsilon`` (standard units), on panels of ``width``·√ε at the most.

        Parameters
        ----------
        flank : SettledLaw, optional
            Cuts (standard units) and the atoms of ν beyond them; panels beyond a cut are four times as wide.
        """
        step = width * math.sqrt(epsilon)
        panels = _Panels(self._left, self._right, self._fixed, self._degree, self._factor)
        low, high = (-math.inf, math.inf) if flank is None else (self.shift + self.scale * c for c in flank.cuts)
        panels = panels.split(low).split(high)
        inner = (panels.left >= low) & (panels.right <= high)
        x, mass = self._nodes(panels.take(inner), step, math.sqrt(epsilon))
        far_x, far_mass = self._nodes(panels.take(~inner), 4 * step, math.sqrt(epsilon))
        tails = self._shared_tails(epsilon)
        continuous = float(mass.sum() + far_mass.sum())
        defect = abs(continuous + tails.total - self._continuous_mass)
        if defect > 1e-6:
            raise InvalidInput(
                f"{self.source!r}: the density integrates to {continuous + tails.total:.9g}, not "
                f"{self._continuous_mass:.9g}; normalise it, or name its kinks and narrow peaks as breakpoints"
            )
        x, mass = np.concatenate([x, self._points]), np.concatenate([mass, self._point_mass])
        x = (x - self.shift) / self.scale
        order = np.argsort(x, kind="stable")
        order = order[mass[order] > 0]
        x, mass = x[order], mass[order]
        factor = (1.0 - tails.total) / (mass.sum() + far_mass.sum())
        cuts = self.ends if flank is None else flank.cuts
        settled = (False, False) if flank is None else flank.sides
        room = (-math.inf, math.inf) if flank is None else flank.room
        return LineMeasure(
            x,
            mass * factor,
            tails,
            defect,
            cuts,
            settled,
            room,
            self._flanks(far_x, far_mass * factor, flank),
            self.rough,
        )

    def between(self, epsilon: float, width: float, low: float, high: float) -> tuple[FloatArray, FloatArray]:
        """Nodes x and masses of the core between ``low`` and ``high``, all in standard units."""
        ends = [self.shift + self.scale * v for v in (low, high)]
        panels = _Panels(self._left, self._right, self._fixed, self._degree, self._factor).split(ends[0]).split(ends[1])
        inner = (panels.left >= ends[0]) & (panels.right <= ends[1])
        x, mass = self._nodes(panels.take(inner), width * math.sqrt(epsilon), math.sqrt(epsilon))
        return (x - self.shift) / self.scale, mass

    @cached_property
    def rough(self) -> FloatArray:
        """Places in the core, in standard units, where the density is not smooth, as far as the source knows."""
        a, b = self.core
        places = [*self.source.breakpoints, *self.source.discrete_part[0][:, 0], *self.source.support]
        inside = sorted(float(t) for t in places if math.isfinite(t) and a <= t <= b)
        return (np.array(inside) - self.shift) / self.scale

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The ends of the core in standard units; infinite where nothing lies beyond."""
        lo, hi = self.source.support
        a, b = self.core
        if self._continuous_mass == 0.0:
            return -math.inf, math.inf
        left = (a - self.shift) / self.scale if a > lo else -math.inf
        return left, (b - self.shift) / self.scale if b < hi else math.inf

    def _flanks(self, x: FloatArray, mass: FloatArray, flank: SettledLaw | None) -> Flanks:
        if flank is None:
            return Flanks.none()
        order = np.argsort(x, kind="stable")
        order = order[mass[order] > 0]
        x, mass = x[order], mass[order]
        logp = np.asarray(self.source.logpdf(x), dtype=float) + math.log(self.scale)
        return Flanks((x - self.shift) / self.scale, mass, -mass * logp, flank.y, flank.nu)

    def _nodes(self, panels: _Panels, step: float, root: float) -> tuple[FloatArray, FloatArray]:
        """Gauss–Legendre nodes, in the source's own coordinate, and masses on pieces of panels no wider than
        ``step``."""
        pieces = _pieces(panels.right - panels.left, step * self.scale)
        index = np.repeat(np.arange(pieces.size), pieces)
        within = np.arange(index.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        size = (panels.right - panels.left)[index] / pieces[index]
        start = panels.left[index] + within * size
        fixed = panels.fixed[index]
        # a panel much narrower than the kernel, with a low-degree density, needs few nodes
        relative = size / self.scale / root
        need = panels.degree[index] / 2 + 2 + np.where(relative > 0.3, 12, np.where(relative > 0.02, 6, 2))
        xs, masses = [], []
        for order in _ORDERS:
            lower = {4: -1.0, 8: 4.0, _ORDER: 8.0}[order]
            upper = {4: 4.0, 8: 8.0, _ORDER: np.inf}[order]
            pick = (need > lower) & (need <= upper) & np.isnan(fixed)
            nodes, weights = _RULES[order]
            x = start[pick, None] + 0.5 * size[pick, None] * (1 + nodes)
            xs.append(x.ravel())
            factor = panels.factor[index][pick, None]
            masses.append((self.pdf(x) * (0.5 * size[pick, None] / self.scale) * weights * factor).ravel())
        lump = ~np.isnan(fixed)
        xs.append(start[lump] + 0.5 * size[lump])
        masses.append(fixed[lump] / pieces[index][lump])
        return np.concatenate(xs), np.concatenate(masses)

    def _shared_tails(self, epsilon: float) -> TailCells:
        """Tail cells for the next smaller power of two: fine enough, and made once for all ε of an octave."""
        octave = math.floor(math.log2(epsilon))
        if octave not in self._tail_store:
            self._tail_store[octave] = self._tails(2.0**octave)
        return self._tail_store[octave]

    def _tails(self, epsilon: float) -> TailCells:
        a, b = self.core
        lo, hi = self.source.support
        if self._continuous_mass == 0.0:
            sides = []
        else:
            sides = [self._tail(epsilon, a, lo, 0)] if a > lo else []
            sides += [self._tail(epsilon, b, hi, 1)] if b < hi else []
        if not sides:
            zero = np.zeros(0)
            return TailCells(zero, zero, zero, zero)
        return TailCells(*(np.concatenate(c) for c in zip(*sides)))

    def _tail(self, epsilon: float, cut: float, end: float, side: int) -> tuple[FloatArray, ...]:
        """Cells beyond ``cut``, widening as the mass falls; masses are exact between anchors a factor 100 apart."""
        cells: list[tuple[FloatArray, ...]] = []
        mass, x = self._side_mass[side], cut
        outside = mass
        # the mean square in a cell of width h√ε costs h²/24 nats for its mass
        step = min(max(math.sqrt(12 * self.tail_loss / outside), 1.2), 8.0) * math.sqrt(epsilon) * self.scale
        for turn in range(150):
            energy = mass * ((x - cut) / self.scale) ** 2 / epsilon
            last = mass < 1e-290 or (mass < 1e-12 * outside and energy < 1e-4 * outside)
            beyond = end if last else float(self.source.tail_cut(0.01 * mass)[side])
            if not math.isfinite(beyond):
                beyond = x + (1 if side else -1) * 4 * (abs(x - cut) + step)
            if not abs(beyond - x) > 0:
                break
            edges = x + (beyond - x) * _growing(
                step * (outside / mass) ** (1 / 3) / abs(beyond - x), 8 + _MOST_CELLS // (turn + 1) ** 2
            )
            cells.append(self._tail_cells(edges, mass if last else 0.99 * mass))
            if last:
                break
            mass, x = 0.01 * mass, beyond
        if not cells:
            zero = np.zeros(0)
            return zero, zero, zero, zero
        return tuple(np.concatenate(c) for c in zip(*cells))

    def _tail_cells(self, edges: FloatArray, total: float) -> tuple[FloatArray, ...]:
        """Centre, mass, second moment and entropy of cells that hold the mass ``total`` together."""
        half = 0.5 * np.diff(edges)
        x = edges[:-1, None] + half[:, None] * (1 + _NODES)
        density = self.pdf(x)
        weight = np.abs(half)[:, None] / self.scale * _WEIGHTS
        p = density * weight
        raw = p.sum(axis=1)
        if not raw.sum() > 0:  # an underflowing density: one lump at the near edge
            z = np.array([(edges[0] - self.shift) / self.scale])
            return z, np.array([total]), np.zeros(1), np.zeros(1)
        keep = raw > 0
        p, raw, density, weight = p[keep], raw[keep], density[keep], weight[keep]
        inside = float(raw.sum())
        # where the cut is only an envelope, trust the density
        factor = total / inside if 0.98 < inside / total < 1.02 else 1.0
        z = (x[keep] - self.shift) / self.scale
        centre = (p * z).sum(axis=1) / raw
        moment = factor * (p * (z - centre[:, None]) ** 2).sum(axis=1)
        entropy = -factor * (weight * xlogy(density, density)).sum(axis=1)
        return centre, factor * raw, moment, entropy
