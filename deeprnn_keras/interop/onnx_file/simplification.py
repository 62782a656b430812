"""Simplification of a plan: pairs of directions, stacks, and final states as arguments of `DeepRNN`."""

from __future__ import annotations

from dataclasses import replace

from deeprnn_keras.interop.onnx_file.plan import LAST, RECURRENT, Plan, Step

PER_LAYER = ("activation", "recurrent_activation")
SAME_IN_STACK = ("cell", "use_bias", "bidirectional", "reset_after")
SAME_IN_PAIR = ("cell", "use_bias", "units", "reset_after", *PER_LAYER)


def simplify(plan: Plan) -> None:
    """Replace recurrent steps by fewer equal ones, and remove steps that do not contribute to the outputs."""
    _remove_unused(plan)
    for step in list(plan.steps.values()):
        if step.kind == "concatenate" and step.name in plan.steps:
            _merge_directions(plan, step)
    for step in list(plan.steps.values()):
        if step.kind == RECURRENT:
            _absorb_final_states(plan, step)
    for step in list(plan.steps.values()):
        if step.kind == RECURRENT:
            _merge_with_layer_below(plan, step)


def _remove_unused(plan: Plan) -> None:
    needed = {step for _, step, _ in plan.outputs}
    for step in reversed(list(plan.steps.values())):
        if step.name in needed or step.kind == "input":
            needed.update(step.inputs)
        else:
            del plan.steps[step.name]


def _read_once(plan: Plan, name: str) -> bool:
    return len(plan.readers(name)) == 1 and not plan.is_output(name)


def _merge_directions(plan: Plan, joint: Step) -> None:
    """Merge a forward and a reverse recurrence whose values are read by a concatenation alone."""
    parts = [plan.steps[name] for name in joint.inputs]
    final = [part.kind for part in parts] == [LAST] * 2
    recurrences = [plan.steps[part.inputs[0]] for part in parts] if final else parts
    read_once = all(_read_once(plan, one.name) for one in {id(one): one for one in (*parts, *recurrences)}.values())
    if not read_once or not _is_pair(recurrences):
        return
    forward, backward = recurrences
    merged = _bidirectional(forward, backward)
    if final:
        last = Step(joint.name, LAST, [forward.name], merged.width, observed=joint.observed)
        plan.steps = {
            name: {forward.name: merged, joint.name: last}.get(name, step)
            for name, step in plan.steps.items()
            if name not in (backward.name, *joint.inputs)
        }
        return
    merged.observed = joint.observed
    plan.steps[forward.name] = merged
    plan.replace(joint.name, forward.name)
    del plan.steps[backward.name]


def _is_pair(steps: list[Step]) -> bool:
    if len(steps) != 2 or any(step.kind != RECURRENT or step.config["bidirectional"] for step in steps):
        return False
    if [step.config["go_backwards"] for step in steps] != [False, True] or steps[0].inputs != steps[1].inputs:
        return False
    return _same(steps[0], steps[1], SAME_IN_PAIR)


def _same(a: Step, b: Step, keys: tuple[str, ...]) -> bool:
    return all(a.config.get(key) == b.config.get(key) for key in keys)


def _bidirectional(forward: Step, backward: Step) -> Step:
    weights = [replace(one, path=one.path.replace("forward", "backward")) for one in backward.weights]
    config = {**forward.config, "bidirectional": True}
    width = 2 * (forward.width or 0)
    return Step(forward.name, RECURRENT, forward.inputs, width, config, [*forward.weights, *weights])


def _absorb_final_states(plan: Plan, step: Step) -> None:
    """Let a recurrence return its last step if nothing reads the others."""
    readers = plan.readers(step.name)
    final = bool(readers) and all(one.kind == LAST for one in readers) and not plan.is_output(step.name)
    step.config["return_sequences"] = not final
    if final:
        step.observed = readers[0].observed
        for one in readers:
            plan.replace(one.name, step.name)


def _merge_with_layer_below(plan: Plan, step: Step) -> None:
    """Merge a recurrence with the one below it into a stack, in the place and with the name of the lower one."""
    below = plan.steps[step.inputs[0]]
    if below.kind != RECURRENT or not _read_once(plan, below.name) or not _same(below, step, SAME_IN_STACK):
        return
    if below.config["go_backwards"] or step.config["go_backwards"] or not below.config["return_sequences"]:
        return
    level = len(below.config["units"]) + 1
    below.config["units"] = below.config["units"] + step.config["units"]
    for key in PER_LAYER:
        if key in step.config:
            lower = below.config[key]
            below.config[key] = [*(lower if isinstance(lower, list) else [lower]), step.config[key]]
    below.config["return_sequences"] = step.config["return_sequences"]
    below.weights += [replace(one, path=one.path.replace("_1/", f"_{level}/")) for one in step.weights]
    below.width, below.observed = step.width, step.observed
    plan.replace(step.name, below.name)
