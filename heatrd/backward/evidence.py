"""Which certificate proves a heat path's reconstruction: by the entropy of the source, or by sup c (DESIGN (2))."""

from __future__ import annotations

from heatrd.backward.lattice import has_heavy_tails
from heatrd.certificate.base import Certificate
from heatrd.certificate.shannon import certify_by_entropy
from heatrd.errors import TooLarge
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction.dispatch import certify_law
from heatrd.sources.base import Source

__all__ = ["best_certificate"]

TIGHT = {1: 1e-9, 2: 1e-9, 3: 1e-7}  # gaps that need no second opinion, nats
MOST_ATOMS = {1: 1_000_000, 2: 5_000, 3: 2_000}  # laws whose sup c is bounded in reasonable time


def best_certificate(source: Source, law: DiscreteLaw, epsilon: float) -> Certificate:
    """Bounds on L(ε) from ``law``.

    The entropy of the source serves where that bound is tight. Elsewhere (ε > ε_c, tables, regularised answers) sup c
    is bounded too, unless the law has too many atoms for that, and the smaller gap is returned. Heavy tails on the line
    are the matter of `certify_law`, which knows the entropy too.
    """
    if has_heavy_tails(source):
        return certify_law(source, law, epsilon)
    try:
        found = certify_by_entropy(source, law, epsilon)
    except TooLarge:
        return certify_law(source, law, epsilon)
    if found.gap <= TIGHT[source.dim] or law.size > MOST_ATOMS[source.dim]:
        return found
    other = certify_law(source, law, epsilon)
    return other if other.gap < found.gap else found
