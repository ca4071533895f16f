"""Both bounds in ball arithmetic, for one law at one ε; the bounds on paper are `validation.interval_proof`'s."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

import heatrd
from validation.intervals.densities import Density
from validation.intervals.repair import cheapest_bumps

__all__ = ["Proof", "max_ball"]

ORDER = 24
TERMS = 24  # Taylor terms of c on a cell
FAR_TAIL, SLIVER = 1e-26, 1e-12
REACH = 10  # beyond a cut by this many √ε the dual constraint is what the tail alone adds, 1/2


class Proof:
    """Ball arithmetic for one law at one ε."""

    def __init__(self, density: Density, law: heatrd.DiscreteLaw, epsilon: float) -> None:
        from flint import acb, arb

        self.acb, self.arb, self.density = acb, arb, density
        self.eps, self.root = arb(epsilon), arb(epsilon).sqrt()
        order = np.argsort(law.points[:, 0])
        keep = law.weights[order] > 0
        self.y, self.w = law.points[order, 0][keep], law.weights[order][keep]
        total = sum((arb(float(v)) for v in self.w), arb(0))
        self.log_w = [(arb(float(v)) / total).log() for v in self.w]
        self.bumps: list[tuple[float, float]] = []
        self.cuts: list[tuple[float, int]] = []
        self.rule = [(arb.legendre_p_root(ORDER, i, weight=True)) for i in range(ORDER)]

    def potential(self, z: Any, shift: Any) -> Any:
        """e^shift Z(z)."""
        total = self.acb(0)
        for y, log_w in zip(self.y, self.log_w):
            total += (log_w + shift - (z - float(y)) ** 2 / (2 * self.eps)).exp()
        return total * self.repair(z)

    def repair(self, z: Any) -> Any:
        """s(z) = 1 + Φ(…) at each cut + Σ height k(z − knot): the dual 1/(Z s) makes room and covers what is left."""
        total = self.acb(1)
        for cut, side in self.cuts:
            total += (1 + ((side * (z - cut) / self.root + 2) / 0.7 / self.arb(2).sqrt()).erf()) / 2
        for knot, height in self.bumps:
            total += height * (-((z - knot) ** 2) / (2 * self.eps)).exp()
        return total

    def choose_bumps(self, core_tail: float) -> None:
        """Find the repair in floating point; any choice is allowed, so nothing has to be proved about it."""
        x, mass = [], []
        t, v = np.polynomial.legendre.leggauss(24)
        for low, high, piece in self.panels(core_tail):
            half = (high - low) / 2
            for s, weight in zip(t, v):
                x.append(low + half * (1 + s))
                mass.append(half * weight * float(self.density.value(self.acb(x[-1]), piece).real))
        self.bumps = cheapest_bumps(np.array(x), np.array(mass), self.y, self.w, float(self.eps), self.cuts)

    def shift_at(self, x: float) -> Any:
        """About −log Z(x), a binary number: keeps balls near one."""
        a = np.log(self.w) - (x - self.y) ** 2 / (2 * float(self.eps))
        top = a.max()
        return self.arb(-float(top + np.log(np.exp(a - top).sum())))

    def panels(self, tail: float) -> list[tuple[float, float, int]]:
        """Panels of width √ε over all but the tails, with the index of their piece."""
        cuts = self.density.source.tail_cut(tail)
        out, step = [], math.sqrt(float(self.eps))
        for i, (a, b) in enumerate(zip(self.density.edges[:-1], self.density.edges[1:])):
            low, high = max(a, cuts[0]) if math.isinf(a) else a, min(b, cuts[1]) if math.isinf(b) else b
            knots = np.linspace(low, high, max(1, math.ceil((high - low) / step)) + 1)
            out += [(float(u), float(v), i) for u, v in itertools.pairwise(knots)]
        return out

    def nodes(self, panel: tuple[float, float, int], depth: int = 0) -> list[tuple[Any, Any, Any, Any, Any]]:
        """Return (x, mass, log Z) of the rule on a panel; on its first node error bounds of F, q and the mass."""
        low, high, piece = panel
        arb, acb = self.arb, self.acb
        middle, half = (arb(low) + arb(high)) / 2, (arb(high) - arb(low)) / 2
        shift = self.shift_at((low + high) / 2)
        for tall in (1.4, 1.0):
            rho = tall + math.sqrt(tall * tall + 1)
            bounds = self._on_ellipse(float(middle), float(half), rho, piece, shift)
            if bounds is not None:
                break
        else:
            if depth > 12:
                raise ArithmeticError(f"Z may vanish next to [{low}, {high}]")
            centre = (low + high) / 2
            return self.nodes((low, centre, piece), depth + 1) + self.nodes((centre, high, piece), depth + 1)
        decay = arb(64) / 15 * half * arb(rho) ** (-2 * ORDER) / (1 - arb(rho) ** (-2))
        rise = ((half * tall) ** 2 / (2 * self.eps)).exp()
        errors = (bounds[0] * decay, bounds[1] * decay * rise * shift.exp(), bounds[2] * decay)
        found = []
        for k, (t, weight) in enumerate(self.rule):
            x = middle + half * t
            mass = half * weight * self.density.value(acb(x), piece).real
            log_z = self.potential(acb(x), shift).real.log() - shift
            found.append((x, mass, log_z, errors if k == 0 else None))
        return found

    def _on_ellipse(
        self, middle: float, half: float, rho: float, piece: int, shift: Any
    ) -> tuple[Any, Any, Any] | None:
        """Bounds of |μ log Z|, |μ/Z| e^{−shift}, |μ| around the ellipse; None where Z may come near (−∞, 0]."""
        wide, tall = half * (rho + 1 / rho) / 2, half * (rho - 1 / rho) / 2
        across, up = 6, 3
        worst = [self.arb(0)] * 3
        stack = [
            (middle - wide + 2 * wide * (i + 0.5) / across, tall * (j + 0.5) / up, wide / across, tall / (2 * up), 0)
            for i in range(across)
            for j in range(up)
        ]
        while stack:
            u, v, ru, rv, depth = stack.pop()
            z = self.acb(self.arb(u, 1.0001 * ru), self.arb(v, 1.0001 * rv))
            value, potential = self.density.value(z, piece), self.potential(z, shift)
            if not (potential.real > 0 or potential.imag.abs_lower() > 0) or not value.is_finite():
                if depth == 2:
                    return None
                stack += [(u + a * ru / 2, v + b * rv / 2, ru / 2, rv / 2, depth + 1) for a in (-1, 1) for b in (-1, 1)]
                continue
            size = value.abs_upper()
            here = (size * (self._log_modulus(potential) + abs(shift) + 4), size / potential.abs_lower(), size)
            worst = [max_ball(a, b) for a, b in zip(worst, here)]
        return worst[0], worst[1], worst[2]

    def _log_modulus(self, z: Any) -> Any:
        """Bound of |log|z||; the argument is at most π < 4: every box keeps off the negative axis."""
        return max_ball(abs(z.abs_upper().log()), abs(z.abs_lower().log()))

    # -- the two bounds ---------------------------------------------------------------------------

    def upper(self) -> Any:
        """F(ν), tails included."""
        arb, total = self.arb, self.arb(0)
        self.bumps, self.cuts = [], []
        panels = self.panels(FAR_TAIL)
        for panel in panels:
            for _, mass, log_z, errors in self.nodes(panel):
                total -= mass * log_z
                if errors is not None:
                    total += arb(0, float(errors[0].upper()) * 1.01)
        for end, side in ((panels[0][0], -1), (panels[-1][1], 1)):
            total += self._far(end, side)
        return total

    def _far(self, end: float, side: int) -> Any:
        if not math.isinf(self.density.edges[0 if side < 0 else -1]):
            return self.arb(0)
        mass, slope = self._tail(end, side)
        j = int(np.searchsorted(side * self.y if side > 0 else (-self.y)[::-1], side * end, side="right")) - 1
        j = max(j, 0)
        index = j if side > 0 else len(self.y) - 1 - j
        away = abs(self.arb(end) - float(self.y[index]))
        square = 2 * mass / slope**2 + 2 * away * mass / slope + away**2 * mass
        most = square / (2 * self.eps) - self.log_w[index] * mass
        return most / 2 + self.arb(0, float((most / 2).upper()) * 1.01)

    def _tail(self, end: float, side: int) -> tuple[Any, Any]:
        """Upper bound of the mass beyond ``end``, and the rate s of the exponential majorant."""
        assert self.density.logslope is not None
        x = self.arb(end)
        slope = -side * self.density.logslope(x)
        piece = 0 if side < 0 else len(self.density.edges) - 2
        return self.density.value(self.acb(x), piece).real / slope, slope

    def lower(self, slack: float, core_tail: float, taper: bool) -> Any:
        """F over the core less the price of sup c, and the dual's share of the tails."""
        arb, density = self.arb, self.density
        ends = zip(density.source.tail_cut(core_tail), (density.edges[0], density.edges[-1]), (-1, 1))
        self.cuts = [(float(cut), side) for cut, end, side in ends if taper and math.isinf(end)]
        self.choose_bumps(core_tail)
        f, inside, q, x, error = arb(0), arb(0), [], [], arb(0)
        panels = self.panels(core_tail)
        for panel in panels:
            for node, mass, log_z, errors in self.nodes(panel):
                f -= mass * log_z
                inside += mass
                q.append(mass / log_z.exp())
                x.append(node)
                if errors is not None:
                    f += arb(0, float(errors[0].upper()) * 1.01)
                    inside += arb(0, float(errors[2].upper()) * 1.01)
                    error += errors[1]
        log_sup = self._supremum(x, q, error, slack).log()
        outside = 1 - inside
        tails = [end for end in (self.density.edges[0], self.density.edges[-1]) if math.isinf(end)]
        if not tails:
            return f - max_ball(log_sup, arb(0)) * inside
        delta = arb(1) / 2 if taper else arb(SLIVER)
        heights = [
            self.density.value(self.acb(arb(cut)), piece).real
            for cut, piece, end in (
                (panels[0][0], 0, self.density.edges[0]),
                (panels[-1][1], len(self.density.edges) - 2, self.density.edges[-1]),
            )
            if math.isinf(end)
        ]
        top = heights[0] if len(heights) == 1 else max_ball(heights[0], heights[1])
        share = outside * (delta.log() - (2 * arb.pi() * self.eps).log() / 2 - top.log())
        return f - max_ball(log_sup, arb(0)) + share + (arb(0) if taper else (1 - delta).log())

    def _supremum(self, x: list[Any], q: list[Any], error: Any, slack: float) -> Any:
        """Upper bound of c over the continuum, in cells of √ε/2."""
        place = np.array([float(v) for v in x])
        root, total = float(self.root), sum(q, self.arb(0))
        low, high = place[0] - 0.3 * root, place[-1] + 0.3 * root
        for cut, side in self.cuts:
            low, high = (min(low, cut - REACH * root), high) if side < 0 else (low, max(high, cut + REACH * root))
        count = math.ceil((high - low) / (0.5 * root))
        best = self.arb(0)
        for k in range(count):
            centre = low + (k + 0.5) * 0.5 * root
            near = np.flatnonzero(np.abs(place - centre) <= 13 * root)
            a = self._taylor(centre, [x[i] for i in near], [q[i] for i in near])
            self._add_tails(a, centre)
            a[0] += total * self.arb(-72).exp() + error  # nodes beyond 13√ε, for all y in the cell; quadrature
            best = max_ball(best, self._cell(a, 0.25 + 1e-9, float(best.upper()), slack))
        # |a_n| ≤ e^{n/2} n^{−n/2} sup c for all that is left out: a geometric series of ratio < 1/10
        rest = 1.2 * math.exp(TERMS / 2) * TERMS ** (-TERMS / 2) * 0.2501**TERMS
        return best / (1 - self.arb(rest))

    def _taylor(self, centre: float, x: list[Any], q: list[Any]) -> list[Any]:
        out = [self.arb(0)] * TERMS
        for node, mass in zip(x, q):
            g = (node - centre) / self.root
            previous, current = self.arb(0), mass * (-g * g / 2).exp()
            out[0] += current
            for n in range(1, TERMS):
                previous, current = current, (g * current - previous) / n
                out[n] += current
        return out

    def _add_tails(self, a: list[Any], centre: float) -> None:
        """Add Φ(±(y − T)/√ε)/2 to the Taylor coefficients at a centre."""
        arb = self.arb
        for cut, side in self.cuts:
            z = (arb(centre) - cut) / self.root
            a[0] += (1 + (side * z / arb(2).sqrt()).erf()) / 4
            previous, current = arb(0), (-z * z / 2).exp() / (2 * arb.pi()).sqrt()
            for n in range(1, TERMS):
                a[n] += side * current / (2 * n)
                previous, current = current, (-z * current - previous) / n

    def _cell(self, a: list[Any], radius: float, floor: float, slack: float) -> Any:
        """Upper bound of the polynomial on |t| ≤ radius: second order, split while it matters."""
        from flint import arb_poly

        p = arb_poly(a)
        first, second = p.derivative(), p.derivative().derivative()
        top, stack = self.arb(0), [(0.0, radius)]
        while stack:
            t, r = stack.pop()
            box, mid = self.arb(t, r), self.arb(t)
            here, slope, bend = p(mid), first(mid).abs_upper(), second(box).upper()
            value = here.upper() + slope * r + max_ball(bend, self.arb(0)) * self.arb(r) ** 2 / 2
            if bend < 0:
                value = value.min(here.upper() + slope**2 / (2 * -bend))
            seen = float(here.lower())
            if float(value.upper()) <= max(floor, float(top.upper()), seen, 1.0) + slack or r < 1e-6:
                top = max_ball(top, self.arb(value.upper()))
            else:
                stack += [(t - r / 2, r / 2 * (1 + 1e-12)), (t + r / 2, r / 2 * (1 + 1e-12))]
        return top


def max_ball(a: Any, b: Any) -> Any:
    """A ball that holds the larger of two."""
    return a.max(b)
