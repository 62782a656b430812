# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Export: one model in C, without TensorFlow, and on a web page
#
# At the end you have a small model that writes English of 1611, in four places: a command-line program in C, two Python
# processes without TensorFlow (ONNX Runtime and LiteRT), and a web page that computes in the browser. For the same seed
# all of them write the same text as `generate` in this package:
#
# ![The web page: a text, shaded by probability, and the probabilities of the next character](10_export.png)
#
# The tutorial takes about two minutes on two CPU cores, most of which are the training. It requires a C compiler and
# the extras `onnx` and `litert` (`pip install 'deeprnn-keras[onnx,litert]'`); the web page requires npm and a browser.
# With `TUTORIAL_SCALE=0.01` it runs in seconds, and its texts are meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial(onnx=["onnx", "onnxruntime"], litert=["ai_edge_litert", "flatbuffers"])

# %%
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

from deeprnn_keras import LanguageModel, Recipe, export, generate, king_james, lower, token_windows
from deeprnn_keras.training import CosineDecay

FULL = SCALE >= 1
UNITS, UPDATES, LENGTH = (128, 1_800, 400) if FULL else (8, 4, 40)
PROMPT, TEMPERATURE, SEED = "In the beginning", 0.6, 7
OUTPUT = Path("export")
OUTPUT.mkdir(exist_ok=True)

# %% [markdown]
# ## Training
#
# The model is a stack of two LSTM layers on the characters of the King James Bible, which is included in the package.

# %%
keras.utils.set_random_seed(0)
corpus = king_james()
split = corpus.split()
symbols = corpus.vocabulary.symbols
model = LanguageModel(corpus.vocabulary, units=UNITS, num_layers=2, embedding=32, name="bible")
recipe = Recipe("adam", 5e-3, CosineDecay(), global_clipnorm=1.0, batch_size=32, bptt=64)
recipe.compile(model, model.loss_function())
windows = token_windows(corpus.encode(split.train), recipe.bptt, recipe.batch_size, seed=0).take(UPDATES)
model.fit(windows, steps_per_epoch=UPDATES, callbacks=recipe.callbacks(), verbose=0, shuffle=False)
bits = model.score(split.validation[0][: 20_000 if FULL else 200]).bits_per_character
print(f"{model.count_params():,} parameters, {bits:.3f} bits per character of held-out text")

# %% [markdown]
# `generate` draws each character with a random number that is a function of the seed and of the position alone. A
# program in another language that computes the same function writes the same text, provided that its logits are the
# same. So that this can be checked, we keep the logits of Keras for each character of the text.

# %%
text = generate(model, PROMPT, LENGTH, temperature=TEMPERATURE, seed=SEED).removeprefix(PROMPT)
print(PROMPT + text)
ids = corpus.vocabulary.encode(PROMPT + text)
keras_logits = np.asarray(model(ids[None, :-1]))[0, len(PROMPT) - 1 :]  # (LENGTH, V)

# %% [markdown]
# ## Export
#
# The suffix selects the format. `export` writes the file from the weights, runs it in the runtime of its format, and
# compares the outputs with those of Keras; if they differ, no file is written. `streaming=True` is for programs that
# read one step at a time: their file returns the states, or keeps them. C files always contain both forms.
#
# The reports show one operator for each LSTM layer: the recurrence is not taken apart into a loop.

# %%
for suffix in (".c", ".onnx", ".tflite"):
    print(export(model, OUTPUT / f"bible{suffix}", streaming=True, overwrite=True), end="\n\n")

# %% [markdown]
# ## C: a program on the command line
#
# `bible.c` depends on nothing but the C standard library's types: no memory is allocated, and the weights are
# constants, so that it runs on a microcontroller, too. Our program reads the prompt, then samples and steps. Like those
# that follow, it prints the text, the microseconds per character to the standard error, and stores the logits.

# %%
(OUTPUT / "main.c").write_text(r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bible.h"

static bible_state state;
static float logits[BIBLE_SYMBOLS];

/* Return the id of the first character of a text and move to the next one; -1 if the model does not know it. */
static int32_t next_id(const char **text) {
  for (int32_t id = 0; id < BIBLE_SYMBOLS; id++) {
    size_t length = strlen(bible_symbols[id]);
    if (strncmp(*text, bible_symbols[id], length) == 0) {
      *text += length;
      return id;
    }
  }
  return -1;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: %s PROMPT LENGTH TEMPERATURE SEED\n", argv[0]);
    return 2;
  }
  const char *prompt = argv[1];
  int length = atoi(argv[2]);
  FILE *file = fopen("logits.f32", "wb");
  if (file == NULL) {
    perror("logits.f32");
    return 1;
  }
  bible_init(&state);
  while (*prompt) {
    int32_t id = next_id(&prompt);
    if (id < 0) {
      fprintf(stderr, "the vocabulary does not contain the first character of '%s'\n", prompt);
      return 1;
    }
    bible_step(&state, id, logits);
  }
  clock_t start = clock();
  for (int t = 0; t < length; t++) {
    fwrite(logits, sizeof logits, 1, file);
    int32_t id = bible_sample(&state, logits, atof(argv[3]), 0, 1.0, strtoull(argv[4], NULL, 10), (uint64_t)t);
    fputs(bible_symbols[id], stdout);
    bible_step(&state, id, logits);
  }
  fprintf(stderr, "%f\n", 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / length);
  return fclose(file) != 0;
}
""")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the output directory and return its output."""
    process = subprocess.run(command, cwd=OUTPUT, capture_output=True, text=True, encoding="utf-8")
    if process.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{process.stderr}")
    return process


def write_with(*command: str) -> tuple[str, float, np.ndarray]:
    """Let a program continue the prompt; return the text, the microseconds per character, and the logits."""
    process = run(*command, PROMPT, str(LENGTH), str(TEMPERATURE), str(SEED))
    logits = np.fromfile(OUTPUT / "logits.f32", "float32").reshape(LENGTH, len(symbols))
    return process.stdout, float(process.stderr.split()[-1]), logits


results = {}
COMPILE = [*shlex.split(os.environ.get("CC", "cc")), "-O3", "-march=native"]
run(*COMPILE, "bible.c", "bible_test.c", "-o", "check")
print(run("./check").stdout)  # `export` has written this program, too: it compares outputs with those of the model
run(*COMPILE, "bible.c", "main.c", "-o", "bible")
results["C"] = write_with("./bible")
print(f"./bible '{PROMPT}' {LENGTH} {TEMPERATURE} {SEED}")
print(PROMPT + results["C"][0])

# %% [markdown]
# ## Two processes without TensorFlow
#
# ONNX Runtime and LiteRT are small packages that run on servers, telephones, and boards. Both programs share the loop
# and the random numbers, which are those of NumPy's generator `Philox`. Its counter is one ahead of the position.

# %%
vocabulary = {"vocabulary": list(symbols)}
(OUTPUT / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
(OUTPUT / "writing.py").write_text('''
"""Write a text symbol by symbol: NumPy and a function that executes one step."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def draw(logits, temperature, seed, position):
    """Return the next id, with the random numbers of deeprnn_keras.generate."""
    u = np.random.Generator(np.random.Philox(key=seed, counter=(position - 1) % 2**256)).random()
    reached = np.cumsum(np.exp((logits.astype("float64") - logits.max()) / temperature))
    return int(np.argmax(reached > u * reached[-1]))


def write(step):
    """Continue the prompt of the command line; `step` reads an id and returns the logits of the next one."""
    prompt, length, temperature, seed = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    symbols = json.loads(Path("vocabulary.json").read_text(encoding="utf-8"))["vocabulary"]
    text, all_logits = "", []
    for symbol in prompt:
        logits = step(symbols.index(symbol))
    start = time.process_time()
    for t in range(length):
        all_logits.append(logits)
        id = draw(logits, temperature, seed, t)
        text += symbols[id]
        logits = step(id)
    print(1e6 * (time.process_time() - start) / length, file=sys.stderr)
    sys.stdout.buffer.write(text.encode())
    np.array(all_logits, "float32").tofile("logits.f32")
    assert not {"tensorflow", "keras", "deeprnn_keras"} & set(sys.modules)
''')
(OUTPUT / "with_onnx.py").write_text('''
"""Write with bible.onnx, whose states are inputs and outputs."""

import numpy as np
import onnxruntime
from writing import write

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("bible.onnx", options, providers=["CPUExecutionProvider"])
x, *states = session.get_inputs()
values = [np.zeros((1, one.shape[1]), "float32") for one in states]


def step(id):
    """Read an id and return the logits of the next one."""
    global values
    arrays = [np.array([[id]], "int32"), *values]
    logits, *values = session.run(None, {one.name: array for one, array in zip([x, *states], arrays)})
    return logits[0, 0]


write(step)
''')
(OUTPUT / "with_litert.py").write_text('''
"""Write with bible.tflite, whose LSTM operators keep their states between calls."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from writing import write

interpreter = Interpreter("bible.tflite", num_threads=1)
run = interpreter.get_signature_runner()
(name,) = run.get_input_details()


def step(id):
    """Read an id and return the logits of the next one."""
    (logits,) = run(**{name: np.array([[id]], "int32")}).values()
    return logits[0, 0]


write(step)
''')
results["ONNX Runtime"] = write_with(sys.executable, "with_onnx.py")
results["LiteRT"] = write_with(sys.executable, "with_litert.py")

# %% [markdown]
# ## Are they the same?
#
# The logits differ by rounding errors, since each runtime adds the products in its own order. The texts are equal.

# %%
print(f"{'':14}{'same text':>10}{'largest difference':>20}{'microseconds per character':>28}")
for name, (written, microseconds, logits) in results.items():
    difference = float(np.abs(logits - keras_logits).max())
    print(f"{name:14}{'yes' if written == text else 'no':>10}{difference:>20.1e}{microseconds:>28.0f}")

# %% [markdown]
# One run, seed 0:
#
# | | same text | largest difference of logits | microseconds per character |
# |---|---|---|---|
# | C | yes | 5.2e-06 | 23 |
# | ONNX Runtime | yes | 5.7e-06 | 154 |
# | LiteRT | yes | 5.7e-06 | 110 |
#
# The times are those of one processor core. In C, that is the whole program; for the other two, it includes the loop in
# Python and NumPy's random numbers.

# %%
shown = np.argsort(-keras_logits[0])[:10]


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return exp(x) / sum(exp(x))."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), dpi=110, layout="constrained", width_ratios=(2, 1))
first_logits = {"Keras": keras_logits[0], **{name: logits[0] for name, (_, _, logits) in results.items()}}
colors = dict(zip(first_logits, ("0.75", "#c2410c", "#2b6ca3", "#4d7c4d"), strict=True))
for number, (name, logits) in enumerate(first_logits.items()):
    positions = np.arange(len(shown)) + 0.2 * (number - 1.5)
    left.bar(positions, 100 * probabilities(logits)[shown], 0.2, label=name, color=colors[name])
names = {" ": "space", "\n": "line"}
left.set_xticks(range(len(shown)), [names.get(symbols[one], symbols[one]) for one in shown])
left.set(xlabel=f"character after '{PROMPT}'", ylabel="probability in %")
left.legend(frameon=False)
right.barh(list(results), [one[1] for one in results.values()], color=[colors[name] for name in results])
right.invert_yaxis()
right.set(xlabel="microseconds per character")
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig("runtimes.png")

# %% [markdown]
# ## A web page
#
# onnxruntime-web executes the same file, `bible.onnx`, in the browser: nothing is sent to a server. The page lets you
# change the beginning, the temperature, and the seed, shades each character by its probability, and compares itself
# with Keras when it is loaded. For that it reads what the next cell stores: names, vocabulary, text, and logits.

# %%
program = lower(model)
facts = {
    "input": program.inputs[0].name,
    "output": program.outputs[0],
    "states": [{"name": name, "width": state.width} for name, state in program.states.items()],
    "parameters": model.count_params(),
    "check": {"prompt": PROMPT, "text": text, "temperature": TEMPERATURE, "seed": SEED},
    **vocabulary,
}
(OUTPUT / "page.json").write_text(json.dumps(facts), encoding="utf-8")
keras_logits.astype("<f4").tofile(OUTPUT / "keras.f32")

# %%
(OUTPUT / "index.html").write_text(
    r"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>English of 1611</title>
<link rel="icon" href="data:,">
<style>
:root { --ink: #26303a; --soft: #6d7780; --line: #e4ddcf; --paper: #fbf8f1; --accent: 194 65 12; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2rem 1.5rem; }
h1 { margin: 0; font: 600 2rem/1.2 Georgia, "Liberation Serif", serif; }
h2 { margin: 0 0 .6rem; font-size: .95rem; font-weight: 600; }
.columns { display: grid; grid-template-columns: minmax(0, 1fr) 17rem; gap: 2.5rem; margin-top: 1.5rem; }
@media (max-width: 46rem) { .columns { grid-template-columns: minmax(0, 1fr); } }
.soft, label { color: var(--soft); font-size: .9rem; }
input, button { font: inherit; color: var(--ink); }
#prompt { width: 100%; padding: .5rem .7rem; border: 1px solid var(--line); border-radius: .4rem; background: #fff; }
.controls { display: flex; flex-wrap: wrap; align-items: center; gap: 1.5rem; margin: .8rem 0 1.2rem; }
.controls label { display: flex; align-items: center; gap: .5rem; }
.controls output { width: 1.8rem; color: var(--ink); }
#seed { width: 5rem; padding: .2rem .4rem; border: 1px solid var(--line); border-radius: .4rem; background: #fff; }
#temperature { accent-color: rgb(var(--accent)); }
button { padding: .4rem 1.4rem; border: 0; border-radius: .4rem; background: rgb(var(--accent)); color: #fff; }
button:disabled { opacity: .4; }
#text { min-height: 14rem; margin: 0; padding: 1rem 1.2rem; border: 1px solid var(--line); border-radius: .4rem;
  background: #fff; font: 1.1rem/1.7 Georgia, "Liberation Serif", serif; white-space: pre-wrap; }
#text b { font-weight: 600; }
.scale { display: inline-block; width: 5rem; height: .7rem; margin: 0 .4rem; border: 1px solid var(--line);
  background: linear-gradient(to right, #fff, rgb(var(--accent) / .6)); }
ol { margin: 0; padding: 0; list-style: none; }
li { display: grid; grid-template-columns: 3rem 1fr 4.2rem; align-items: center; gap: .5rem; height: 1.65rem; }
li span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
li i { height: .8rem; border-radius: .2rem; background: rgb(var(--accent) / .7); }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
td { padding: .2rem 0; border-top: 1px solid var(--line); }
td + td { text-align: right; font-variant-numeric: tabular-nums; }
aside section + section { margin-top: 2rem; }
</style>
</head>
<body>
<main>
  <h1>English of 1611</h1>
  <p class="soft" id="status" role="status">Loading the model ...</p>
  <div class="columns">
    <section>
      <label for="prompt">Beginning</label>
      <input id="prompt" autocomplete="off" spellcheck="false">
      <div class="controls">
        <button id="write" disabled>Write</button>
        <label>Temperature <input id="temperature" type="range" min="0.2" max="1.4" step="0.1"><output></output></label>
        <label>Seed <input id="seed" type="number" min="0" step="1"></label>
      </div>
      <p id="text"></p>
      <p class="soft">probable <span class="scale"></span> improbable</p>
    </section>
    <aside>
      <section>
        <h2>Next character</h2>
        <ol id="next"></ol>
      </section>
      <section>
        <h2>Compared with Keras</h2>
        <table>
          <tr><td>characters</td><td id="characters"></td></tr>
          <tr><td>same text</td><td id="same"></td></tr>
          <tr><td>largest difference of logits</td><td id="difference"></td></tr>
          <tr><td>milliseconds per character</td><td id="speed"></td></tr>
        </table>
      </section>
    </aside>
  </div>
</main>
<script type="module" src="page.js"></script>
</body>
</html>
""",
    encoding="utf-8",
)

# %% [markdown]
# The script has three parts: the model, one step per character; the random numbers, which are those of C and NumPy in
# eight lines; and what is shown.

# %%
(OUTPUT / "page.js").write_text(
    r"""// A language model in the browser: bible.onnx, executed by onnxruntime-web.

const RUNTIME = new URL("node_modules/onnxruntime-web/dist/", import.meta.url);
const LENGTH = 400;
const SHOWN = 10;  // characters in the list of the next one
const INTERVAL = 30;  // milliseconds between two frames
const NAMES = {" ": "space", "\n": "line"};

const element = (id) => document.getElementById(id);
let ort, facts, session;

// === Model ===

class Reader {
  constructor() {
    this.logits = new Float32Array(facts.vocabulary.length);
    const zeros = ({name, width}) => [name, new ort.Tensor("float32", new Float32Array(width), [1, width])];
    this.states = Object.fromEntries(facts.states.map(zeros));
  }

  async read(symbol) {
    const id = new ort.Tensor("int32", Int32Array.of(facts.vocabulary.indexOf(symbol)), [1, 1]);
    const outputs = await session.run({[facts.input]: id, ...this.states});
    this.states = Object.fromEntries(facts.states.map(({name}) => [name, outputs[`${name}/next`]]));
    this.logits = outputs[facts.output].data;
  }
}

// Return numbers proportional to the probabilities.
function exponentials(logits, temperature) {
  const largest = Math.max(...logits);
  return Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
}

function probabilities(logits) {
  const weights = exponentials(logits, 1);
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

// === Random numbers: Philox4x64-10 with the counter (position, 0, 0, 0) and the key (seed, 0) ===

const WORD = (1n << 64n) - 1n;

function uniform(seed, position) {
  let [a, b, c, d, k, l] = [BigInt(position), 0n, 0n, 0n, BigInt(seed) & WORD, 0n];
  for (let round = 0; round < 10; round++) {
    const [x, y] = [0xD2E7470EE14C6C93n * a, 0xCA5A826395121157n * c];
    [a, b, c, d] = [(y >> 64n) ^ b ^ k, y & WORD, (x >> 64n) ^ d ^ l, x & WORD];
    [k, l] = [(k + 0x9E3779B97F4A7C15n) & WORD, (l + 0xBB67AE8584CAA73Bn) & WORD];
  }
  return Number(a >> 11n) / 2 ** 53;
}

function draw(logits, temperature, seed, position) {
  let sum = 0;
  const reached = exponentials(logits, temperature).map((weight) => sum += weight);
  const limit = uniform(seed, position) * sum;
  return facts.vocabulary[reached.findIndex((one) => one > limit)];
}

// === Writing ===

// Read a prompt, then yield each new symbol with its probability and the reader before it.
async function* written(prompt, length, temperature, seed) {
  const reader = new Reader();
  for (const symbol of prompt) await reader.read(symbol);
  yield {reader};
  for (let position = 0; position < length; position++) {
    const logits = reader.logits;
    const symbol = draw(logits, temperature, seed, position);
    await reader.read(symbol);
    yield {reader, logits, symbol, probability: probabilities(logits)[facts.vocabulary.indexOf(symbol)]};
  }
}

// Show a text while it is written, until `isCurrent` returns false; return the text and the logits.
async function show(prompt, length, temperature, seed, isCurrent) {
  const result = {text: "", logits: []};
  const begin = document.createElement("b");
  begin.textContent = prompt;
  element("text").replaceChildren(begin);
  let shown = performance.now();
  for await (const {reader, logits, symbol, probability} of written(prompt, length, temperature, seed)) {
    if (symbol !== undefined) {
      result.text += symbol;
      result.logits.push(logits);
      element("text").append(shaded(symbol, probability));
    }
    result.reader = reader;
    if (performance.now() - shown > INTERVAL) {
      showNext(reader.logits);
      await new Promise((resolve) => setTimeout(resolve));
      if (!isCurrent()) return result;
      shown = performance.now();
    }
  }
  showNext(result.reader.logits);
  return result;
}

function shaded(symbol, probability) {
  const span = document.createElement("span");
  span.textContent = symbol;
  span.title = `${(100 * probability).toFixed(1)}%`;
  span.style.background = `rgb(var(--accent) / ${Math.min(-Math.log2(probability) / 8, 1) * 0.6})`;
  return span;
}

function showNext(logits) {
  const sorted = probabilities(logits).map((p, id) => [p, facts.vocabulary[id]]).sort((a, b) => b[0] - a[0]);
  const largest = sorted[0][0];
  element("next").replaceChildren(...sorted.slice(0, SHOWN).map(([p, symbol]) => {
    const item = document.createElement("li");
    const parts = ["span", "div", "span"].map((tag) => item.appendChild(document.createElement(tag)));
    parts[0].textContent = NAMES[symbol] ?? symbol;
    parts[1].append(document.createElement("i"));
    parts[1].firstChild.style.cssText = `display: block; width: ${100 * p / largest}%`;
    parts[2].textContent = `${(100 * p).toFixed(2)}%`;
    return item;
  }));
}

// === Page: one task at a time; a new one ends the task before it ===

let newest = 0, last = Promise.resolve();

function start(task) {
  const number = ++newest;
  last = last.then(() => number === newest ? task(() => number === newest) : undefined).catch(report);
}

function report(error) {
  document.body.dataset.state = "failed";
  element("status").textContent = `Error: ${error.message}`;
  throw error;
}

function write(length) {
  const known = (symbol) => facts.vocabulary.includes(symbol);
  const symbols = [...element("prompt").value];
  const unknown = [...new Set(symbols.filter((symbol) => !known(symbol)))];
  const prompt = symbols.filter(known).join("");
  const temperature = Number(element("temperature").value), seed = Math.max(0, Math.trunc(element("seed").value));
  element("temperature").nextElementSibling.textContent = temperature.toFixed(1);
  const omitted = `Not in the vocabulary, omitted: ${unknown.join(" ")}`;
  element("status").textContent = unknown.length ? omitted : description();
  document.body.dataset.state = "writing";
  start(async (isCurrent) => {
    await show(prompt, length, temperature, seed, isCurrent);
    if (isCurrent()) document.body.dataset.state = "ready";
  });
}

function description() {
  return `A deep LSTM with ${facts.parameters.toLocaleString("en")} parameters, computed in this browser.`;
}

// Write the text of Keras and compare.
async function check() {
  const {prompt, text, temperature, seed} = facts.check;
  const expected = new Float32Array(await (await fetch("keras.f32")).arrayBuffer());
  const begin = performance.now();
  const result = await show(prompt, [...text].length, temperature, seed, () => true);
  const milliseconds = performance.now() - begin;
  const actual = result.logits.flatMap((logits) => [...logits]);
  const difference = actual.reduce((largest, logit, i) => Math.max(largest, Math.abs(logit - expected[i])), 0);
  element("characters").textContent = result.logits.length;
  element("same").textContent = result.text === text ? "yes" : "no";
  element("difference").textContent = difference.toExponential(1);
  element("speed").textContent = (milliseconds / result.logits.length).toFixed(2);
}

async function main() {
  ort = await import(new URL("ort.wasm.min.mjs", RUNTIME)).catch(() => {
    throw new Error("onnxruntime-web is missing; install it with npm in the directory of this page");
  });
  ort.env.wasm.wasmPaths = RUNTIME.href;
  ort.env.wasm.numThreads = 1;  // several threads require other headers of the server
  facts = await (await fetch("page.json")).json();
  session = await ort.InferenceSession.create("bible.onnx");
  element("prompt").value = facts.check.prompt;
  element("temperature").value = facts.check.temperature;
  element("temperature").nextElementSibling.textContent = facts.check.temperature.toFixed(1);
  element("seed").value = facts.check.seed;
  await check();
  element("write").addEventListener("click", () => write(LENGTH));
  element("prompt").addEventListener("input", () => write(0));
  element("temperature").addEventListener("input", () => write(0));
  element("write").disabled = false;
  element("status").textContent = description();
  document.body.dataset.state = "ready";
}

main().catch(report);
""",
    encoding="utf-8",
)
print(*sorted(path.name for path in OUTPUT.iterdir()), sep="\n")

# %% [markdown]
# Fetch onnxruntime-web, serve the directory, and open http://localhost:8000 in a browser:
#
# ```bash
# cd export
# npm install onnxruntime-web@1.30.0
# python -m http.server
# ```
#
# To publish the page, copy `index.html`, `page.js`, `page.json`, `bible.onnx`, `keras.f32`, and
# `node_modules/onnxruntime-web/dist/ort*.wasm*` to any web server.
#
# ## Exercises
#
# 1. What do weights of 8 bits cost? Export with `quantize="int8"` and `evaluate=(x, y)`, and compare sizes and bits per
#    character.
# 2. ONNX has operators for LSTM, GRU, and simple RNN only. Replace the cell by `"mlp_gate_lstm"`, whose gates have a
#    hidden layer. Which operator does the file have instead, and does it still agree with Keras?
# 3. Without `streaming=True`, an ONNX file reads whole sequences. Use it to find out which of two verses surprises the
#    model more.
#
# ## Solutions
#
# ### 1. Weights of 8 bits

# %%
held_out = corpus.vocabulary.encode(split.validation[1][: 32 * 101]).reshape(32, 101)
for suffix in (".onnx", ".tflite"):
    whole = export(model, OUTPUT / f"whole{suffix}", overwrite=True)
    options = {"quantize": "int8", "evaluate": (held_out[:, :-1], held_out[:, 1:]), "overwrite": True}
    small = export(model, OUTPUT / f"small{suffix}", **options)
    ratio, loss = small.size / whole.size, small.loss
    assert loss is not None
    print(f"{suffix:8} {ratio:.2f} of the size, {loss.model:.4f} -> {loss.file:.4f} bits per character")

# %% [markdown]
# ### 2. A cell that ONNX does not know

# %%
other = LanguageModel(corpus.vocabulary, units=UNITS, num_layers=2, cell="mlp_gate_lstm", embedding=32, name="other")
print(export(other, OUTPUT / "other.onnx", overwrite=True))

# %% [markdown]
# The recurrence is a `Scan`, the loop of ONNX, whose body is one step of the equations. It is exact, too, but slower
# than an operator.
#
# ### 3. Two verses

# %%
import onnxruntime

session = onnxruntime.InferenceSession(OUTPUT / "whole.onnx")


def bits_per_character(verse: str) -> float:
    """Return the mean of -log2 p(character | characters before it)."""
    ids = corpus.vocabulary.encode(verse).astype("int32")
    (logits,) = session.run(None, {session.get_inputs()[0].name: ids[None, :-1]})
    return float(np.mean([-np.log2(probabilities(one)[id]) for one, id in zip(logits[0], ids[1:], strict=True)]))


for verse in ("And it came to pass in those days, that", "And then this happened around that time:"):
    print(f"{bits_per_character(verse):.2f} bits per character: {verse}")
