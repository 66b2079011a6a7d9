"""Factors of evidence on the ratio of two shares of bad events, from the counts of one interval.

Null: p_c <= rho * p_b (or >=), for the share p_c of bad events of the new version and p_b of stable. Against the alternative
p_c = r * p_b the factor of an interval with n requests and e bad ones in each version is

    M(r) = (r / rho)^e_c * ((rho n_c + n_b) / (r n_c + n_b))^(e_c + e_b).

With a = (r / rho) b and b = (rho n_c + n_b) / (r n_c + n_b), its expectation is (1 + p_c (a - 1))^n_c (1 + p_b (b -
1))^n_b, at most exp(n_c p_c (a - 1) + n_b p_b (b - 1)), which is 1 where p_c = rho p_b, and less on the null's side of it,
since a - 1 has the sign of r - rho. So it holds for Bernoulli events of any share, for n that change from interval to
interval, and for probabilities that change over time. Given e_c + e_b it is the likelihood ratio of a binomial law, as in
Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022 (arXiv 2011.03567). It loses power
where bad events are frequent; see `difference`.
"""

from __future__ import annotations

import math

FARTHER = (1.4, 2.1, 4.5, 14.0)
"""Alternatives beyond a limit, as multiples of it,"""
SHARES = (0.05, 0.42, 0.34, 0.19)
"""and the share of the weight that each has: most of it where a fault is bad enough to matter and not so bad that all find it."""
SLIGHT = (1.12, 1.35, 1.8, 3.0, 9.0)
"""Alternatives within a limit, as divisors of it: whoever allows 20% more wants no increase at all to be enough for a proof."""


class RatioFactors:
    """The factors of evidence for several alternatives to one ratio.

    Args:
        rho: the ratio at the limit, above 0.
        multiples: the alternatives, as multiples of rho; all above 1, or all below 1.
    """

    def __init__(self, rho: float, multiples: tuple[float, ...]) -> None:
        self.rho = rho
        self.alternatives = [(rho * multiple, math.log(multiple)) for multiple in multiples]

    def of(self, canary_total: float, canary_bad: float, stable_total: float, stable_bad: float) -> list[float]:
        """Return the logarithm of the factor for each alternative; both totals must be above 0."""
        bad = canary_bad + stable_bad
        base, log = self.rho * canary_total + stable_total, math.log
        return [canary_bad * log_r + bad * log(base / (r * canary_total + stable_total)) for r, log_r in self.alternatives]
