r"""
Choosing a tensor model with scikit-learn
=========================================

A data frame of measurements, a pipeline, and a search over kernels and ranks by cross-validation.

A functional tensor is a regressor: rows of coordinates :math:`x_1, \dots, x_D` and a value

.. math:: y = \mu + \sum_d g_d(x_d) + \sum_r w_r \prod_d u_{dr}(x_d) + \varepsilon,

so that everything scikit-learn does with regressors is at hand.

It needs scikit-learn and pandas: ``pip install "structkit[sklearn]" pandas``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GridSearchCV, train_test_split

from structkit.plotting import plot_predicted
from structkit.tucker import FunctionalCP

# %%
# The yield of a reaction at 400 settings of temperature, time and concentration, none of them on a grid.

rng = np.random.default_rng(0)
frame = pd.DataFrame(
    {
        "temperature": rng.uniform(20, 90, 400).round(),
        "minutes": rng.uniform(0, 60, 400).round(),
        "concentration": rng.uniform(0.1, 2.0, 400).round(1),
    }
)
rate = 0.1 * np.exp(-np.abs(frame["temperature"] - 55) / 18)
yields = 100 * (1 - np.exp(-rate * frame["minutes"])) * frame["concentration"] / (0.4 + frame["concentration"])
yields += 2.0 * rng.standard_normal(400)
X, X_test, y, y_test = train_test_split(frame, yields, test_size=150, random_state=0)

# %%
# Nine candidates, two folds each. Names of columns are kept, and compared at prediction.

grid = {"kernel": ["discrete", "matern12", "matern52"], "rank": [1, 2, 3]}
search = GridSearchCV(FunctionalCP(2, n_starts=1, tol=1e-2, random_state=0), grid, cv=2).fit(X, y)
model = search.best_estimator_
print(f"best: {search.best_params_}, R2 {search.best_score_:.3f} in cross-validation")
print(f"columns: {', '.join(model.feature_names_in_)}; components that carry weight: {model.rank_}")
trees = HistGradientBoostingRegressor(random_state=0).fit(X, y)
print(f"R2 of the test settings: {model.score(X_test, y_test):.3f}, of boosted trees {trees.score(X_test, y_test):.3f}")

# %%
# That neighbouring settings are alike matters most: a smooth kernel beats levels without order. Rank 3 can do all that
# rank 2 can; from a single start it ends in a poorer optimum, which is what cross-validation is for, or more starts.
# Unlike trees, the model says how sure it is of each prediction, and the right panel counts.

fig, (left, right) = plt.subplots(1, 2, figsize=(8.8, 4.2), layout="constrained")
scores = search.cv_results_["mean_test_score"].reshape(3, 3)
shown = left.imshow(scores, vmin=scores[1:].min() - 0.02, vmax=scores.max(), cmap="cividis", aspect="auto")
for (i, j), score in np.ndenumerate(scores):
    left.text(j, i, f"{score:.3f}", ha="center", va="center", color="w" if score < scores[1:].mean() else "k")
left.set(xticks=range(3), xticklabels=grid["rank"], yticks=range(3), yticklabels=grid["kernel"])
left.set(xlabel="rank", ylabel="kernel", title="R2 in cross-validation")
left.grid(False)
plot_predicted(y_test, *model.predict(X_test, return_std=True, include_noise=True), ax=right)
right.set(xlabel="predicted yield (%)", ylabel="measured yield (%)")
plt.show()

# %%
# What to try next: a kernel per column, ``"kernel": [["matern32", "matern12", "matern52"]]``; `SBL <structkit.sbl.SBL>`
# and `OMP <structkit.sbl.OMP>` in the same search, for linear models with few active columns.
