"""Run the XLA implementation as a plain graph: same arithmetic and gradients, no compilation."""

import pytest

from deeprnn_keras.kernels.xla import plan, stack


def uncompiled(xla_plan):
    """Return a plan without XLA, as for an export, but with the same pieces."""
    return xla_plan._replace(compiled=False, padded=False)


@pytest.fixture(autouse=True)
def plain_graphs(request, monkeypatch):
    """Compile nothing, except in tests marked `compiled`: a compilation takes a second."""
    if not request.node.get_closest_marker("compiled"):
        monkeypatch.setattr(stack, "make_plan", lambda *arguments: uncompiled(plan.make_plan(*arguments)))
