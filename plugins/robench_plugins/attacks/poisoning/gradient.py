"""prototype"""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robench.api import IntArray, Interactions, PoisoningAttack, PoisoningConfig, Profiles, Rng
from robench_plugins.attacks.poisoning.surrogate import Surrogate, Vectors

class GradientAttack(PoisoningAttack):
    class Config(PoisoningConfig):
        steps: int = 30
        learning_rate: float = 1.0
        momentum: float = 0.95
        factors: int = 32
        confidence: float = 2.0
        weight_decay: float = 20.0
        rounds: int = 10
        sharpness: float = 0.0
        temperature: float = 1.0
        mask: bool = True
        start: str = "real"
        normalise: bool = True

    def profiles(self, train, *, targets, n_users, profile_size, rng):
        c = self.config
        sur = Surrogate(train, c.factors, c.confidence, c.weight_decay, rng.child("surrogate").numpy())
        gen = rng.child("start").numpy()
        lengths = train.lengths()
        pool = np.flatnonzero((lengths <= profile_size) & (lengths > 0))
        A = np.zeros((n_users, train.n_items))
        counts = train.counts()
        for f in range(n_users):
            if c.start == "real":
                A[f, train.row(gen.choice(pool))] = 1
            elif c.start == "bandwagon":
                A[f, np.argsort(-counts)[:profile_size]] = 0.5
            A[f] += gen.random(train.n_items) * 1e-3
        tt = torch.from_numpy(targets)
        known = torch.zeros(train.n_users, train.n_items, dtype=torch.bool)
        known[train.users(), train.items] = True
        A = project(torch.from_numpy(A).float(), tt, profile_size)
        buf = torch.zeros_like(A)
        best = None; self.trace = []
        for step in range(c.steps):
            loss, g = self.step(sur, A, tt, known)
            self.trace.append(loss)
            if best is None or loss < best[0]:
                best = (loss, A.clone())
            g[:, tt] = 0
            if c.normalise: g = g / g.norm(dim=1, keepdim=True).clamp_min(1e-12)
            buf = c.momentum * buf + g
            A = project(A - c.learning_rate * buf, tt, profile_size)
        rows = [gen.permutation(np.flatnonzero(r)) for r in best[1].numpy()]
        return Profiles.of(rows)

    def outer(self, P, Q, tt, known):
        s = P @ Q.T
        k = known.clone(); k[:, tt] = False
        if self.config.mask:
            s = s.masked_fill(k, float("-inf"))
        lp = (s / self.config.temperature).log_softmax(1)[:, tt]
        elig = ~known[:, tt]
        return -(lp * elig).sum(0).div(elig.sum(0).clamp_min(1)).mean()

    def outer_grads(self, v, tt, known):
        P, Q = v.real.detach().requires_grad_(), v.items.detach().requires_grad_()
        loss = self.outer(P, Q, tt, known)
        gP, gQ = torch.autograd.grad(loss, (P, Q))
        if self.config.sharpness:
            n = (gP.square().sum() + gQ.square().sum()).sqrt()
            r = self.config.sharpness * (P.detach().square().sum() + Q.detach().square().sum()).sqrt() / n
            P2, Q2 = (P + r * gP).detach().requires_grad_(), (Q + r * gQ).detach().requires_grad_()
            gP, gQ = torch.autograd.grad(self.outer(P2, Q2, tt, known), (P2, Q2))
        return loss.item(), gP, gQ

class RevAdv(GradientAttack):
    class Config(GradientAttack.Config):
        unrolled: int = 2
    def step(self, sur, A, tt, known):
        A = A.clone().requires_grad_()
        v = sur.fit(A, self.config.rounds, self.config.unrolled)
        loss, gP, gQ = self.outer_grads(v, tt, known)
        return loss, torch.autograd.grad((v.real, v.items), A, (gP, gQ), allow_unused=True)[0]

class Pga(GradientAttack):
    def step(self, sur, A, tt, known):
        with torch.no_grad():
            v = sur.fit(A, self.config.rounds)
        loss, gP, gQ = self.outer_grads(v, tt, known)
        with torch.no_grad():
            left, _ = sur.item_systems(v.real, v.fake, A)
            z = torch.linalg.solve(left, gQ.unsqueeze(2)).squeeze(2)
            al = self.config.confidence
            g = (v.fake @ z.T) * ((1 + al) - al * (v.fake @ v.items.T))
        return loss, g

def project(A, tt, size):
    A = A.clone(); A[:, tt] = float("inf")
    top = A.topk(size, dim=1).indices
    return torch.zeros_like(A).scatter(1, top, 1.0)
