# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # What each level knows
#
# A deep RNN is a stack of levels, and it is often said that low levels follow fast dynamics and high levels slow ones.
# At the end you will have looked into three networks to see whether that is so: a model that writes English of 1611, a
# forecaster of bicycle rentals that is told neither the hour nor the day, and a model of the volatility of two stock
# markets:
#
# ![Three plots: how much of several targets can be read from the input and from each level](12_levels.png)
#
# Each color is one question to all levels of a network. The dashed lines are the same questions to a network of the
# same shape that has not been trained.
#
# The tutorial takes about five minutes on two CPU cores. It requires the extras `forecast`, `probe`, and `market`
# (`pip install 'deeprnn-keras[forecast,probe,market]'`) and, like tutorial 09, a table of the package ISLP
# (`pip install --no-deps ISLP==0.6.0`). With `TUTORIAL_SCALE=0.01` it runs in seconds, and its results are meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial(forecast=["narwhals", "pandas", "scipy"], probe=["sklearn"], market=["arch"])

# %%
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from deeprnn_keras import DeepRNN, Forecaster, Recipe, king_james, probe_levels, zoo
from deeprnn_keras.data import market_series

FULL = SCALE >= 1
rng = np.random.default_rng(0)

# %% [markdown]
# ## The question, precisely
#
# A level $\mathbf{H}^{(l)}_t$ *knows* a target $y_t$ if a linear function of its $h$ numbers predicts it.
# `probe_levels` fits such a readout to each level and to the input $\mathbf{X}_t$ of the stack: ridge regression for
# numbers, logistic regression for classes. It scores them on data on which they were not fitted: $R^2$ for numbers,
# accuracy for classes. So that both fit into one plot, we show the share of what a constant guess does not know: 0 is
# the constant guess, and 1 is everything.
#
# A high number is not yet a discovery. A recurrent network with random weights also keeps a blurred memory of its
# inputs, from which much can be read. Only what a trained network knows *more* has been learned. For this reason each
# question is put to an untrained network of the same shape, too.

# %%
Answers = dict[str, list[list[float]]]  # {question: answers of the trained and of the untrained network}
Data = np.ndarray | pd.DataFrame
Network = Any  # a Keras model, a Forecaster, or an object with the same `model` and `windows`


def known(model: Network, x: Data, target: np.ndarray, **options: Any) -> list[float]:
    """Return the share of a target that X, H^(1), ..., H^(L) know beyond a constant guess."""
    report = probe_levels(model, x, target, batch_size=256, **options)
    return [(row.score - report.baseline) / (1 - report.baseline) for row in report]


def ask(trained: Network, untrained: Network, x: Data, targets: dict[str, np.ndarray], **options: Any) -> Answers:
    """Put questions to two networks, and print the answers."""
    answers = {}
    for name, target in targets.items():
        answers[name] = [known(model, x, target, **options) for model in (trained, untrained)]
        for kind, values in zip(("trained", "untrained"), answers[name], strict=True):
            numbers = "".join(f"{value:7.2f}" for value in values)
            print(f"{name if kind == 'trained' else '':30}{kind:10}{numbers}")
    return answers


def print_header(num_layers: int) -> None:
    """Print the names of the levels above the answers."""
    print(" " * 40 + "".join(f"{name:>7}" for name in ["X", *(f"H^({k})" for k in range(1, num_layers + 1))]))


# %% [markdown]
# ## A model of English
#
# `kjv_lstm_2x256` of the zoo has learned the King James Bible, character by character. It reads 200 pieces of text that
# were held out from its training, half of them from the New Testament, and we ask it at each character:
#
# * does the word end with the next character? To know this is its task;
# * how many letters has the word had so far? Nobody asked it to count;
# * is this from the New Testament? The answer does not change within a piece.

# %%
PIECES, LENGTH = (200, 100) if FULL else (12, 20)
corpus = king_james()
stretches = corpus.split().validation  # ten, of which the last three are from the New Testament
is_letter_symbol = np.char.isalpha(list(corpus.vocabulary.symbols))


def pieces(texts: tuple[str, ...], count: int) -> list[np.ndarray]:
    """Return the ids of pieces of texts, with one character more than the model reads."""
    found = []
    for number in range(count):
        text = texts[number % len(texts)]
        start = rng.integers(len(text) - LENGTH - 1)
        found.append(corpus.vocabulary.encode(text[start : start + LENGTH + 1]))
    return found


ids = np.stack([*pieces(stretches[:7], PIECES // 2), *pieces(stretches[7:], PIECES // 2)])
is_letter = is_letter_symbol[ids]
letters = np.zeros(ids.shape)
for t in range(1, LENGTH + 1):
    letters[:, t] = np.where(is_letter[:, t], letters[:, t - 1] + 1, 0)
is_new = np.arange(PIECES) >= PIECES // 2
text_targets = {
    "the word ends": ~is_letter[:, 1:],
    "letters of the word so far": letters[:, :-1],
    "New Testament": np.repeat(is_new[:, None], LENGTH, axis=1),
}

english = zoo.create_model("kjv_lstm_2x256", pretrained=True)
untrained_english = zoo.create_model("kjv_lstm_2x256")
warmed_up = np.broadcast_to(np.arange(LENGTH) >= LENGTH // 2, (PIECES, LENGTH))  # the first characters tell little
print_header(2)
text_answers = ask(english, untrained_english, ids[:, :-1], text_targets, mask=warmed_up)

# %% [markdown]
# ## A forecaster
#
# The table has the bicycles that were rented in each hour of 2011 in Washington, D.C. (Fanaee-T and Gama 2013). A
# `Forecaster` learns to predict the next day. With `calendar=False` it reads nothing but the last week of rentals: if
# it knows the hour of the day, it has found it out.
#
# With a forecaster, `probe_levels` reads the frame, and the target is a column: one value per row. A window of a week
# ends at each row. Windows of neighboring hours are almost equal, so that a random half of them would give the other
# half away. The readouts are therefore scored on the last fifth of the year; `split="last"` is the default for
# forecasters. We leave out four of five rows, which saves time.


# %%
def read_rentals() -> pd.DataFrame:
    """Return the rentals of each hour of 2011 as a frame with the columns ds, y, and workingday."""
    spec = find_spec("ISLP")
    if spec is None or spec.origin is None:
        raise ImportError("the rentals are a table of the package ISLP: pip install --no-deps ISLP==0.6.0")
    table = pd.read_csv(Path(spec.origin).parent / "data" / "Bikeshare.csv")
    hours = 24 * (table["day"] - 1) + table["hr"].astype(int)  # since the year began
    table["ds"] = pd.Timestamp("2011-01-01") + pd.to_timedelta(hours, unit="h")
    return table.rename(columns={"bikers": "y"})[["ds", "y", "workingday"]]


rentals = read_rentals() if FULL else read_rentals().head(24 * 40)
forecaster = Forecaster(
    horizon=24,
    units=32 if FULL else 4,
    num_layers=3,
    strategy="direct",
    likelihood="quantiles",
    context=168 if FULL else 24,
    calendar=False,
    dropout=0.1,
    recipe=Recipe("adam", 3e-3, global_clipnorm=1.0, batch_size=32, epochs=12 if FULL else 1),
    updates_per_epoch=60 if FULL else 2,
)
series = rentals[["ds", "y"]]
forecaster.fit(series, verbose=False)
windows = forecaster.windows(series)
print(windows)

# %%
hourly = rentals.set_index("ds")["y"].asfreq("h").fillna(0)
last_day, next_day = hourly.rolling(24).sum(), hourly.rolling(24).sum().shift(-24)
changes = np.log((next_day + 1) / (last_day + 1)).reindex(rentals["ds"]).to_numpy()
rental_targets = {
    "hour of the day": rentals["ds"].dt.hour.to_numpy(),
    "working day": rentals["workingday"].to_numpy() == 1,
    "change from today to tomorrow": changes,
}


class Untrained:
    """Forecaster with random weights, for `probe_levels`."""

    def __init__(self, trained: Forecaster) -> None:
        self.windows = trained.windows
        self.model = keras.models.clone_model(trained.model)


some_rows = np.arange(len(rentals)) % 5 == 0
print_header(3)
rental_answers = ask(forecaster, Untrained(forecaster), series, rental_targets, mask=some_rows)

# %% [markdown]
# ## Two markets
#
# Nobody can tell whether a stock index rises tomorrow. But *how much* it moves is no mystery: large moves follow large
# moves. The last network reads the daily returns of the S&P 500 and of the NASDAQ and predicts the variance $h_t$ of
# tomorrow's return $r_t$. Its loss, $\log h_t + r_t^2 / h_t$, is smallest if $h_t$ is that variance. It is trained on
# the years before 2009 and asked about the years after.

# %%
STEPS, UNITS, UPDATES = (250, 16, 100) if FULL else (30, 3, 2)
indices = [market_series(name) for name in ("sp500", "nasdaq")]
returns = [index.returns for index in indices]
years = indices[0].dates[1:].astype("datetime64[Y]").astype(int) + 1970
first = int(np.searchsorted(years, 2009))  # the first day that is not in training
if not FULL:
    years, returns = years[: first + 80], [one[: first + 80] for one in returns]
scales = [one[:first].std() for one in returns]
inputs = [np.stack([one / scale, np.abs(one / scale)], 1) for one, scale in zip(returns, scales, strict=True)]


def until(values: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return the values of the STEPS days up to and including each of some days."""
    return values[days[:, None] + np.arange(1 - STEPS, 1)].astype("float32")


def loss(squares: keras.KerasTensor, log_variance: keras.KerasTensor) -> keras.KerasTensor:
    """Return log h + r² / h."""
    return keras.ops.squeeze(log_variance + squares * keras.ops.exp(-log_variance), -1)


keras.utils.set_random_seed(0)
volatility = keras.Sequential(
    [
        keras.Input((STEPS, 2)),
        DeepRNN(UNITS, num_layers=3, return_sequences=True, dropout=0.2),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(1, kernel_initializer="zeros"),
    ]
)
untrained_volatility = keras.models.clone_model(volatility)
volatility.compile(keras.optimizers.Adam(5e-3, global_clipnorm=1.0), loss)
days = np.arange(STEPS - 1, first - 1, 10)
x = np.concatenate([until(one, days) for one in inputs])
squares = np.concatenate([until(one[:, :1] ** 2, days + 1) for one in inputs])
for _ in range(UPDATES):
    rows = rng.choice(len(x), 32, replace=False)
    volatility.train_on_batch(x[rows], squares[rows])

# %% [markdown]
# We ask how much the index moved today, how much it moves tomorrow, how volatile the last month (21 trading days) was,
# and whether that was above the median of the calendar year, its *regime*. The target of a readout may look ahead, as
# the median of the year does; the inputs of the network must not. The readouts are fitted on 2009 to 2015 and scored
# on 2016 to 2018.

# %%
asked = np.arange(first, len(years) - 1)
market_x = np.concatenate([until(one, asked) for one in inputs])
parts: dict[str, list[np.ndarray]] = {name: [] for name in ("today's move", "tomorrow's move", "last month", "regime")}
for one in returns:
    month = pd.Series(np.log(pd.Series(one**2).rolling(21).mean()) / 2)
    above = month > month.groupby(years).transform("median")
    values = (np.abs(one[asked]), np.abs(one[asked + 1]), month[asked].to_numpy(), above[asked].to_numpy())
    for name, value in zip(parts, values, strict=True):
        parts[name].append(value)
market_targets = {name: np.concatenate(values) for name, values in parts.items()}
late = np.tile(years[asked] >= 2016 if FULL else asked > first + 40, 2)
print_header(3)
market_answers = ask(volatility, untrained_volatility, market_x, market_targets, held_out=late)

# %% [markdown]
# ## The picture

# %%
COLORS = ("#2b6ca3", "#c2410c", "#4d7c4d", "#8a5a9e")


def draw(axes: plt.Axes, title: str, answers: Answers) -> None:
    """Plot the answers of the levels of one network."""
    for color, (name, (trained, untrained)) in zip(COLORS, answers.items(), strict=False):
        levels = range(len(trained))
        axes.plot(levels, np.maximum(untrained, -0.05), "--", color=color, linewidth=1.2, alpha=0.6)
        axes.plot(levels, np.maximum(trained, -0.05), "o-", color=color, linewidth=2, markersize=5, label=name)
    axes.set(title=title, ylim=(-0.08, 1.03), xlim=(-0.3, len(trained) - 0.7))
    axes.set_xticks(levels, ["input", *(f"level {k}" for k in levels[1:])])
    axes.axhline(0, color="0.75", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), frameon=False, fontsize=9)


figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 4.6), dpi=100, sharey=True, layout="constrained")
draw(left, "English of 1611", text_answers)
draw(middle, "bicycle rentals", rental_answers)
draw(right, "stock markets", market_answers)
left.set_ylabel("share known (dashed: untrained)")
figure.savefig("levels.png")

# %% [markdown]
# * **English.** The end of the word is what training adds: 0.85 in place of 0.32. The number of letters so far is read
#   from the first level of an untrained network as well; the trained network keeps it up to the second level, where the
#   untrained one loses some of it. Of the testament, both know little, and the untrained network more: with the next
#   character as its only task, the trained network has no use for it.
# * **Rentals.** The first level knows the hour, with or without training. The trained network still knows it in its
#   third level, and only from the second level on does it know whether the day is a working day: slow knowledge sits
#   higher here. The change from today to tomorrow hardly follows from the past at all.
# * **Markets.** The levels forget today's move and keep the month. The first level knows most of it already, and the
#   untrained network knows as much: this memory is a gift of the architecture. Training adds a little on tomorrow's
#   move, 0.19 in place of 0.15.
#
# "Low levels are fast, high levels are slow" holds for the working day and for forgetting today's move. It is no law:
# the month is known in the first level, and most slow knowledge has not been learned.
#
# ## Exercises
#
# 1. How long does each level of the English model remember a character? Ask whether the character k steps ago was a
#    vowel.
# 2. Does the order of the days matter to the market model, or only how large the moves were? Shuffle all days of each
#    window but the last, and ask again.
# 3. What would have happened with `split="random"`, on windows that overlap?
#
# ## Solutions
#
# ### 1. Memory

# %%
is_vowel = np.isin(list(corpus.vocabulary.symbols), list("aeiouAEIOU"))[ids]
print_header(2)
for k in (1, 2, 4, 8):
    vowel = np.zeros((PIECES, LENGTH), bool)
    vowel[:, k:] = is_vowel[:, : LENGTH - k]
    ask(english, untrained_english, ids[:, :-1], {f"vowel {k} steps ago": vowel}, mask=warmed_up)

# %% [markdown]
# The character before is known almost perfectly, the one before that to two thirds, and the fourth hardly at all. A
# linear readout does not find more; what a word or a sentence is about is not stored letter by letter. The untrained
# network forgets sooner, and its second level knows almost nothing.
#
# ### 2. Shuffled days

# %%
order = rng.permuted(np.tile(np.arange(STEPS - 1), (len(market_x), 1)), axis=1)
shuffled = np.concatenate([np.take_along_axis(market_x[:, :-1], order[:, :, None], axis=1), market_x[:, -1:]], axis=1)
print_header(3)
ask(volatility, untrained_volatility, shuffled, market_targets, held_out=late)

# %% [markdown]
# Yes: of tomorrow's move, 0.19 becomes 0.02, although the same moves have been read. The network weighs recent days
# more, and after shuffling they are random days of the year. For the same reason the last month is no longer known.
#
# ### 3. A random split

# %%
month = market_targets["last month"]
for name, options in (("2016 to 2018", {"held_out": late}), ("random", {"split": "random"})):
    values = "".join(f"{value:7.2f}" for value in known(volatility, market_x, month, **options))
    print(f"last month, scored on {name:18}{values}")

# %% [markdown]
# 0.15 in place of -0.11 for the input and 0.75 in place of 0.65 for the second level. Windows that end on neighboring
# days share 249 of 250 days, so that the readout has almost seen the windows that it is scored on. The score of later
# years is the honest one.
