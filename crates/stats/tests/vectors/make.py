#!/usr/bin/env python3
"""Writes vectors.json: what scipy, scikit-learn, river and numpy say of the same numbers.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install scipy scikit-learn river
    /tmp/v/bin/python make.py

The file is checked in; tests/vectors.rs compares this crate with it, each kind to a stated tolerance.
"""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import river
import scipy
import sklearn
from river import metrics as rm
from river import stats as rs
from scipy import special, stats
from scipy.spatial.distance import jensenshannon
from sklearn import calibration, metrics

rng = np.random.default_rng(20260302)


def histograms():
    """Counts over the same bins, edges between them; the outer bins are open."""
    pairs = [
        ("alike", rng.multinomial(5000, [0.1] * 10), rng.multinomial(900, [0.1] * 10)),
        ("moved", rng.multinomial(5000, [0.1] * 10), rng.multinomial(900, np.linspace(1, 19, 10) / 100)),
        ("empty bins", np.array([0, 3, 90, 0, 7]), np.array([5, 0, 60, 35, 0])),
        ("two bins", np.array([1, 99]), np.array([50, 50])),
        ("large", rng.multinomial(10**9, [0.2] * 5), rng.multinomial(10**8, [0.1, 0.2, 0.4, 0.2, 0.1])),
    ]
    out = []
    for name, a, b in pairs:
        edges = np.cumsum(rng.uniform(0.2, 3.0, len(a) - 1)).round(3)
        raised = [(c + 0.5) / (c + 0.5).sum() for c in (a.astype(float), b.astype(float))]
        # The distance of the cumulative shares, by scipy on one value a bin (weights where there are too many to repeat).
        if a.sum() < 10**6:
            ks = stats.ks_2samp(np.repeat(range(len(a)), a), np.repeat(range(len(b)), b)).statistic
        else:
            ks = np.abs(np.cumsum(a / a.sum()) - np.cumsum(b / b.sum())).max()
        out.append({
            "name": name, "reference": a.tolist(), "current": b.tolist(), "edges": edges.tolist(),
            "psi": stats.entropy(*raised) + stats.entropy(*raised[::-1]),
            "ks": float(ks),
            "jensen_shannon": float(jensenshannon(a / a.sum(), b / b.sum()) ** 2),
            "wasserstein": binned_wasserstein(edges, a, b),
        })
    return out


def binned_wasserstein(edges, a, b, points=4000):
    """Each inner bin's mass spread evenly over so many points, the outer bins' at the outer edges."""
    if len(edges) < 2:
        return 0.0
    where, wa, wb = [edges[0], edges[-1]], [a[0], a[-1]], [b[0], b[-1]]
    for i in range(1, len(a) - 1):
        step = (edges[i] - edges[i - 1]) / points
        where.extend(edges[i - 1] + step * (np.arange(points) + 0.5))
        wa.extend([a[i] / points] * points)
        wb.extend([b[i] / points] * points)
    return float(stats.wasserstein_distance(where, where, wa, wb))


def raw_distances():
    """Distances of raw samples, which fine bins come near to."""
    a, b = rng.normal(0, 1, 4000).round(4), rng.normal(0.3, 1.2, 2500).round(4)
    return {
        "reference": a.tolist(), "current": b.tolist(), "edges": np.linspace(-4, 4, 401).round(4).tolist(),
        "ks": float(stats.ks_2samp(a, b).statistic),
        "wasserstein": float(stats.wasserstein_distance(np.clip(a, -4, 4), np.clip(b, -4, 4))),
    }


def levels():
    out = []
    for bins, n, m, alpha in [(10, 500, 500, 0.05), (5, 5000, 200, 0.01), (2, 100, 100, 0.001), (30, 10**6, 10**4, 1e-6)]:
        chi, per = stats.chi2.ppf(1 - alpha, bins - 1), 1 / n + 1 / m
        out.append({"bins": bins, "n": n, "m": m, "alpha": alpha, "psi": per * chi, "jensen_shannon": per * chi / 8,
                    "ks": float(special.kolmogi(alpha)) * per**0.5})
    return out


def intervals():
    out = []
    for k, n, alpha in [(0, 10, 0.05), (10, 10, 0.05), (1, 100, 0.05), (37, 150, 0.01), (3, 10**6, 0.05),
                        (500_000, 10**6, 0.001), (12, 13, 0.1)]:
        ci = stats.binomtest(k, n).proportion_ci(1 - alpha, "exact")
        lower = 0.0 if k == 0 else stats.beta.ppf(alpha / 2, k, n - k + 1)
        assert abs(lower - ci.low) < 1e-9
        out.append({"k": k, "n": n, "alpha": alpha, "lower": float(ci.low), "upper": float(ci.high)})
    return out


def ratios():
    """Log likelihood ratios of a binomial count, and its deviance."""
    out = []
    for k, n, m0, delta in [(3, 10, 0.1, 0.6), (0, 50, 0.2, 1.2), (50, 50, 0.2, 2.4), (2, 9, 0.5, -0.8),
                            (130, 1000, 0.1, 0.3), (9, 10_000, 0.0005, 1.4)]:
        odds = m0 / (1 - m0) * np.exp(delta)
        p1 = odds / (1 + odds)
        deviance = stats.power_divergence([k, n - k], [n * m0, n * (1 - m0)], lambda_="log-likelihood").statistic
        out.append({"k": k, "n": n, "m0": m0, "delta": delta, "deviance": float(deviance),
                    "log_ratio": float(stats.binom.logpmf(k, n, p1) - stats.binom.logpmf(k, n, m0))})
    return out


def quantiles():
    out = []
    for name, values in [
        ("lognormal", rng.lognormal(3, 1, 2000)), ("heavy", rng.pareto(1.1, 1500) + 1e-3),
        ("both signs and zeros", np.concatenate([rng.normal(0, 50, 1200), np.zeros(300)])),
        ("ties", rng.integers(1, 6, 800).astype(float)),
    ]:
        values = np.array([float(f"{v:.6g}") for v in values])
        qs = [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0]
        # `lower` reads the value at rank floor(q (n - 1)), as the sketch says it does.
        want = [float(np.quantile(values, q, method="lower")) for q in qs]
        out.append({"name": name, "values": values.tolist(), "q": qs, "want": want})
    return out


def classification():
    truth = rng.choice(4, 600, p=[0.5, 0.3, 0.15, 0.05])
    predicted = np.where(rng.random(600) < 0.7, truth, rng.choice(4, 600))
    each = {"labels": list(range(4)), "zero_division": 0}
    macro = rm.MacroF1()
    for t, p in zip(truth, predicted):
        macro.update(int(t), int(p))
    sk = metrics.f1_score(truth, predicted, average="macro")
    assert abs(macro.get() - sk) < 1e-12, "river and scikit-learn agree"
    return {
        "truth": truth.tolist(), "predicted": predicted.tolist(),
        "accuracy": metrics.accuracy_score(truth, predicted),
        "precision": metrics.precision_score(truth, predicted, average=None, **each).tolist(),
        "recall": metrics.recall_score(truth, predicted, average=None, **each).tolist(),
        "f1": metrics.f1_score(truth, predicted, average=None, **each).tolist(),
        "macro_f1": sk,
    }


def scores():
    out = []
    for name, score in [("free", rng.beta(2, 3, 800).round(6)),
                        # In the middle of bins of 0.01, where the area has no error of bins.
                        ("in the middle of bins", (rng.integers(0, 100, 800) + 0.5) / 100)]:
        came = (rng.random(800) < score**1.3).astype(int)
        fraction, mean = calibration.calibration_curve(came, score, n_bins=20, strategy="uniform")
        filled = np.histogram(score, bins=np.linspace(0, 1, 21))[0]
        filled = filled[filled > 0]
        loss = rm.LogLoss()
        for y, p in zip(came, score):
            loss.update(bool(y), float(p))
        sk = metrics.log_loss(came, score)
        assert abs(loss.get() - sk) < 1e-9, "river and scikit-learn agree"
        out.append({
            "name": name, "score": score.tolist(), "came": came.tolist(),
            "brier": float(metrics.brier_score_loss(came, score)), "log_loss": float(sk),
            "auc": float(metrics.roc_auc_score(came, score)),
            "calibration_error": float(np.sum(np.abs(fraction - mean) * filled) / filled.sum()),
        })
    return out


def regression():
    truth = rng.normal(1000, 40, 500).round(4)
    predicted = (truth + rng.standard_t(3, 500) * 5 + 0.7).round(4)
    mae, rmse = rm.MAE(), rm.RMSE()
    for t, p in zip(truth, predicted):
        mae.update(float(t), float(p))
        rmse.update(float(t), float(p))
    want = [metrics.mean_absolute_error(truth, predicted), metrics.root_mean_squared_error(truth, predicted)]
    assert abs(mae.get() - want[0]) < 1e-9 and abs(rmse.get() - want[1]) < 1e-9, "river and scikit-learn agree"
    return {"truth": truth.tolist(), "predicted": predicted.tolist(), "mean_absolute": float(want[0]),
            "root_mean_square": float(want[1]), "bias": float(np.mean(predicted - truth))}


def moments():
    out = []
    for name, values in [("plain", rng.normal(3, 2, 500)), ("far from zero", rng.normal(1e9, 1, 500)),
                         ("of all sizes", 10.0 ** rng.uniform(-12, 12, 300)), ("tiny", rng.normal(0, 1e-150, 100))]:
        values = values.tolist()
        exact = [Fraction(v) for v in values]
        mean = sum(exact) / len(exact)
        variance = sum((v - mean) ** 2 for v in exact) / (len(exact) - 1)
        running = rs.Var()
        for v in values:
            running.update(v)
        assert np.isclose(running.get(), float(variance), rtol=1e-5), "river agrees, as far as floats do"
        out.append({"name": name, "values": values, "mean": float(mean), "variance": float(variance),
                    "sum": float(sum(exact))})
    return out


made = {
    "by": {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__,
           "river": river.__version__},
    "histograms": histograms(), "raw_distances": raw_distances(), "levels": levels(), "intervals": intervals(),
    "ratios": ratios(), "quantiles": quantiles(), "classification": classification(), "scores": scores(),
    "regression": regression(), "moments": moments(),
}
Path(__file__).with_name("vectors.json").write_text(json.dumps(made, separators=(",", ":")) + "\n")
