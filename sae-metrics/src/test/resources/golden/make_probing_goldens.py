"""Writes probing.json: what scikit-learn and PyTorch make of small data. Usage: python make_probing_goldens.py"""

import json
import platform
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multiclass import OneVsRestClassifier

rng = np.random.default_rng(3)
torch.set_num_threads(1)


def data(classes, count=50, width=8):
    centres = rng.normal(size=(classes, width))
    labels = rng.integers(0, classes, count)
    x = (centres[labels] + rng.normal(size=(count, width))) * (rng.random((count, width)) < 0.7)
    return x.astype(np.float32), labels


def logistic(classes, cost):
    x, y = data(classes)
    one = LogisticRegression(solver="liblinear", C=cost, tol=1e-10, max_iter=10000)
    fitted = one.fit(x, y) if classes == 2 else OneVsRestClassifier(one).fit(x, y)
    parts = [fitted] if classes == 2 else fitted.estimators_
    weights = [[*p.coef_[0], p.intercept_[0]] for p in parts]
    return {"x": x.tolist(), "y": y.tolist(), "cost": cost, "weights": weights, "predicted": fitted.predict(x).tolist()}


def softmax():
    x, y = data(3, count=42)
    layer = torch.nn.Linear(8, 3).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.from_numpy(rng.normal(scale=0.2, size=tuple(p.shape))))
    rows = lambda: torch.cat([layer.weight, layer.bias[:, None]], 1).flatten().tolist()
    initial = rows()
    adam = torch.optim.Adam(layer.parameters(), lr=1e-3)
    for i in range(0, len(x), 4):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(layer(torch.from_numpy(x[i : i + 4]).double()), torch.from_numpy(y[i : i + 4])).backward()
        adam.step()
    return {"x": x.tolist(), "y": y.tolist(), "initial": initial, "trained": rows()}


def scores():
    cases = []
    for classes, absent in ((2, None), (4, None), (5, 3)):
        label = rng.integers(0, classes, 80)
        answer = np.where(rng.random(80) < 0.6, label, rng.integers(0, classes, 80))
        if absent is not None:  # a class that occurs in neither, and one that is never answered
            label[label == absent] = 0
            answer[(answer == absent) | (answer == 1)] = 0
        cases.append(
            {
                "classes": classes,
                "labels": label.tolist(),
                "answers": answer.tolist(),
                "accuracy": accuracy_score(label, answer),
                "macroF1": f1_score(label, answer, average="macro", zero_division=0),
            }
        )
    return cases


golden = {
    "made by": f"Python {platform.python_version()}, scikit-learn {sklearn.__version__}, PyTorch {torch.__version__}",
    "logistic": [logistic(2, 0.5), logistic(3, 10.0)],
    "softmax": softmax(),
    "scores": scores(),
}
Path(__file__).with_name("probing.json").write_text(json.dumps(golden) + "\n")
