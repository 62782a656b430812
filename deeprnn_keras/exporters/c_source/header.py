"""Text of the header of an exported C file."""

from __future__ import annotations

from deeprnn_keras.exporters.c_source.source import CSource, comment


def header(source: CSource) -> str:
    """Return the text of the .h file."""
    name, upper = source.name, source.name.upper()
    step, run = source.parameters(sequence=False), source.parameters(sequence=True)
    parts = [
        _introduction(source),
        f"#ifndef {upper}_H\n#define {upper}_H\n\n#include <stddef.h>\n#include <stdint.h>\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        _constants(source),
        _state(source),
        f"/* Set the states to those before the first step. */\nvoid {name}_init({name}_state *state);\n",
        f"/* Read one step and write the outputs of it. */\nint {name}_step({name}_state *state, {step});\n",
        "/* Read several steps. The arrays are contiguous, one step after the other; an output of the whole sequence "
        f"is written once. */\nint {name}_run({name}_state *state, size_t steps, {run});\n",
        _sampling(source),
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {upper}_H */\n",
    ]
    return "\n".join(part for part in parts if part)


def _introduction(source: CSource) -> str:
    name, program = source.name, source.program
    return f"""\
/* {comment(program.name)}: a trained recurrent network with {program.num_weights} weights, exported by deeprnn-keras.
 *
 * C99 without dependencies and without allocation of memory. Compile {name}.c with optimization, for example
 * cc -O3 -march=native -c {name}.c; {name}_test.c is a program that checks the result.
 *
 * One {name}_state contains the states and the working memory of one sequence. Several threads may use one each.
 * The functions return {name.upper()}_OK or another of the codes below.
 */
"""


def _constants(source: CSource) -> str:
    upper, widths = source.name.upper(), source.program.widths
    pairs = [("OK", "0"), ("BAD_ID", "(-1)"), ("NOT_FINITE", "(-2)")]
    notes = {"BAD_ID": "  /* an id is out of range; the states are unchanged */", "NOT_FINITE": "  /* of logits */"}
    if not source.size:
        pairs.pop()
    lines = [f"#define {upper}_{key} {value}{notes.get(key, '')}" for key, value in pairs]
    lines.append("")
    for one in source.program.inputs:
        text = "number of ids" if one.ids else "features"
        lines.append(f"#define {upper}_{source.inputs[one.name].upper()}_WIDTH {one.width}  /* input: {text} */")
    for value, parameter in source.outputs.items():
        lines.append(f"#define {upper}_{parameter.upper()}_WIDTH {widths[value]}  /* output: features */")
    if source.size:
        lines.append(f"#define {upper}_SYMBOLS {source.size}")
    return "\n".join([*lines, ""])


def _state(source: CSource) -> str:
    lines = ["typedef struct {"]
    for name, state in source.program.states.items():
        rate = f"[{state.rate}]" if state.rate > 1 else ""
        lines.append(f"  float {source.states[name]}{rate}[{state.width}];  /* {comment(name)} */")
    lines += [f"  int32_t {slot};  /* position of the oldest of {rate} steps */" for rate, slot in source.slots.items()]
    if source.work:
        lines.append("  /* working memory */")
    lines += [f"  float {member}[{width}];" for member, width in source.work.items()]
    if source.size:
        lines += [f"  double sampler_weights[{source.size}];", f"  int32_t sampler_order[{source.size}];"]
    if not source.program.states and not source.work:
        lines.append("  int32_t unused;")
    return "\n".join([*lines, f"}} {source.name}_state;\n"])


def _sampling(source: CSource) -> str:
    if not source.size:
        return ""
    name, upper = source.name, source.name.upper()
    text = f"""\
/* Return the next id, drawn from softmax(logits / temperature), or {upper}_NOT_FINITE.
 *
 * temperature: 0 selects the largest logit.
 * top_k: draw from the k most probable ids; 0 for all.
 * top_p: draw from the smallest set of the most probable ids whose probability reaches it; 1 for all.
 * seed, position: the random number is a function of both; the first generated symbol has the position 0. The text is
 * that of deeprnn_keras.generate with the same seed.
 */
int32_t {name}_sample({name}_state *state, const float *logits, double temperature, int32_t top_k, double top_p,
                      uint64_t seed, uint64_t position);
"""
    if source.vocabulary is None:
        return text
    return f"{text}\n/* Symbols of the ids in UTF-8 */\nextern const char *const {name}_symbols[{upper}_SYMBOLS];\n"
