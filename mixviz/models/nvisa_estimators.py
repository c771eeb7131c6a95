"""Gradients of a bound through samples that cannot be reparameterised: NVIL and VIMCO.

NVIL: Mnih and Gregor, 2014. VIMCO: Mnih and Rezende, 2016. For samples h_s of q(h|x), with
f_s = log p(x, h_s) - log q(h_s|x), either function returns a value to maximise whose gradient is
an unbiased estimate of the bound's gradient; the value itself says nothing.
"""

import math

import torch
from torch import Tensor


def nvil(f: Tensor, log_q: Tensor, baseline: Tensor) -> Tensor:
    """NVISA, equation 6: the gradient of E_q[f], each sample for itself.

    Parameters
    ----------
    f : (S, B)
    log_q : (S, B), log-probability of what was sampled, differentiable in q
    baseline : (B,), C_psi(x) + b, which learns to predict f by least squares

    Returns
    -------
    Tensor
        (B,), to be maximised in the parameters of p, q and the baseline.
    """
    signal = f.detach() - baseline  # (S, B)
    return (f + signal.detach() * log_q - signal.square()).mean(0)


def vimco(f: Tensor, log_q: Tensor) -> Tensor:
    """NVISA, equation 7: the gradient of E_q[log 1/S sum_s exp f_s], each sample against the others.

    Parameters
    ----------
    f : (S, B) with S of at least 2
    log_q : (S, B), log-probability of what was sampled, differentiable in q

    Returns
    -------
    Tensor
        (B,), to be maximised in the parameters of p and q.
    """
    with torch.no_grad():
        signal = monte_carlo_bound(f) - leave_one_out_bound(f)  # (S, B)
    return monte_carlo_bound(f) + (signal * log_q).sum(0)


def monte_carlo_bound(f: Tensor) -> Tensor:
    """log 1/S sum_s exp f_s, for (S, B): (B,)."""
    return f.logsumexp(0) - math.log(len(f))


def leave_one_out_bound(f: Tensor) -> Tensor:
    """L_{-s}: the bound where f_s is replaced by the mean of the others, for (S, B): (S, B)."""
    samples = len(f)
    others = (f.sum(0) - f) / (samples - 1)  # (S, B)
    own = torch.eye(samples, dtype=torch.bool, device=f.device)[..., None]  # (S, S, 1)
    replaced = torch.where(own, others, f[:, None])  # (S, S, B); column s has f_s replaced
    return replaced.logsumexp(0) - math.log(samples)
