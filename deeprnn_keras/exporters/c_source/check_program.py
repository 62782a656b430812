"""Text of NAME_test.c, a program that checks an exported C file with outputs of the reference interpreter."""

from __future__ import annotations

import numpy as np

from deeprnn_keras.exporters.c_source.source import CSource
from deeprnn_keras.exporters.c_source.weights import NUMBERS_PER_LINE, float_literal
from deeprnn_keras.exporters.verification import random_inputs
from deeprnn_keras.program.interpreter import Interpreter
from deeprnn_keras.program.program import Program

STEPS = 12
TOLERANCE = 1e-4
"""Allowed error relative to the largest output; a C compiler may reorder sums."""


def check_program(source: CSource, reference: Program) -> str:
    """Return the text of the program.

    Args:
        source: The exported file.
        reference: Program with the weights of the file.
    """
    name, upper = source.name, source.name.upper()
    inputs = random_inputs(reference, np.random.default_rng(0), 1, STEPS)
    outputs = Interpreter(reference, np.float64).run(inputs)[0]
    expected = dict(zip(reference.outputs, outputs, strict=True))
    arrays, allocations, checks, parameters, step_parameters = [], [], [], [], []
    for one, array in zip(reference.inputs, inputs, strict=True):
        parameter = source.inputs[one.name]
        arrays.append(_array("int32_t" if one.ids else "float", f"input_{parameter}", array))
        parameters.append(f"input_{parameter}")
        step_parameters.append(
            f"input_{parameter}[t]" if one.ids else f"input_{parameter} + {upper}_{parameter.upper()}_WIDTH * t"
        )
    for value, parameter in source.outputs.items():
        final = value in reference.final
        width = f"{upper}_{parameter.upper()}_WIDTH"
        arrays.append(_array("float", f"expected_{parameter}", expected[value]))
        allocations.append(f"static float output_{parameter}[{width}{'' if final else ' * STEPS'}];")
        parameters.append(f"output_{parameter}")
        step_parameters.append(f"output_{parameter}{'' if final else f' + {width} * t'}")
        scale = float_literal(max(1.0, float(np.abs(expected[value]).max())) * TOLERANCE)
        size = f"(int)(sizeof expected_{parameter} / sizeof *expected_{parameter})"
        checks.append(f"  errors += differ(output_{parameter}, expected_{parameter}, {size}, {scale});")
    return _TEMPLATE.format(
        name=name,
        upper=upper,
        steps=STEPS,
        arrays="\n".join(arrays),
        allocations="\n".join(allocations),
        checks="\n".join(checks),
        parameters=", ".join(parameters),
        step_parameters=", ".join(step_parameters),
    )


def _array(kind: str, name: str, array: np.ndarray) -> str:
    values = array.ravel().tolist()
    numbers = [float_literal(float(np.float32(one))) if kind == "float" else str(one) for one in values]
    lines = [
        "  " + ", ".join(numbers[start : start + NUMBERS_PER_LINE]) + ","
        for start in range(0, len(numbers), NUMBERS_PER_LINE)
    ]
    return "\n".join([f"static const {kind} {name}[{len(numbers)}] = {{", *lines, "};"])


_TEMPLATE = """\
/* Check of {name}.c: exit code 0 if its outputs are those of the trained model. Build and run it with
 *
 *   cc -O3 {name}.c {name}_test.c -o {name}_test && ./{name}_test
 */
#include "{name}.h"
#include <stdio.h>

#define STEPS {steps}

{arrays}

{allocations}
static {name}_state state;

static int differ(const float *output, const float *expected, int size, float tolerance) {{
  float largest = 0.0f;
  int i, errors = 0;
  for (i = 0; i < size; i++) {{
    float error = output[i] > expected[i] ? output[i] - expected[i] : expected[i] - output[i];
    if (!(error <= tolerance)) errors++;
    if (error > largest) largest = error;
  }}
  printf("largest error %g, tolerance %g: %s\\n", (double)largest, (double)tolerance, errors ? "FAILED" : "passed");
  return errors;
}}

static int check(void) {{
  int errors = 0;
{checks}
  return errors;
}}

int main(void) {{
  int t, errors;
  {name}_init(&state);
  if ({name}_run(&state, STEPS, {parameters}) != {upper}_OK) return 1;
  errors = check();
  {name}_init(&state);
  for (t = 0; t < STEPS; t++)
    if ({name}_step(&state, {step_parameters}) != {upper}_OK) return 1;
  return errors + check() ? 1 : 0;
}}
"""
