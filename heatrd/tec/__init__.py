"""The account of terminal-entropy control: energy + terminal entropy, by three routes (DESIGN (3), (4)).

For dX = u dt + √ε dW, X_0 ~ μ, with density path ρ_t, over [0, s]:

    E_s = E∫₀ˢ‖u‖²/2ε dt,    h_s = h(X_s),    E_s + h_s = h(X_0) + E∫₀ˢ‖u − ε∇log ρ‖²/2ε dt  ≥  …,

and at the optimal control E_1 + h_1 = L(ε) + (d/2) log 2πε. The routes:

- ``potentials``: with u = ε∇log φ Itô's formula gives E_s = E log φ_s(X_s) − E log φ_0(X_0), so that the sum is
  −E log φ_0(X_0) − E log φ̂_s(X_s) and the excess E log φ̂_0(X_0) − E log φ̂_s(X_s): three expectations, no time
  integral. Where ν has atoms,
  E_s → ∞ and h_s → −∞ as s → 1, but φ̂_1 = c = 1 on them and the sum tends to the optimum.
- ``quadrature``: E‖u_t‖², E‖u_t − ε∇log ρ_t‖² and −∫ρ_s log ρ_s as integrals over x of the density path and the
  control,
  Gauss–Legendre in time (in log(1 − t) where u blows up). For any other control in one dimension the density path is
  that of the Euler chain, found by
  integrating its Gaussian transition kernels.
- ``paths``: Monte Carlo on exact paths (or on any `Ensemble`), with standard errors; the excess through its Itô form
  E[log φ̂_0(X_0) − log φ̂_s(X_s)], which has the smaller variance.
"""

from heatrd.tec.account import TECAccount
from heatrd.tec.control import tec_account

__all__ = ["TECAccount", "tec_account"]
