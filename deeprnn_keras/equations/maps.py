"""Affine maps by name: what a step may do with weights, and the only thing."""

from dataclasses import dataclass

from deeprnn_keras import checks


@dataclass(frozen=True)
class AffineMap:
    """a (n, inputs) -> a W + b (n, G width), G blocks side by side, each with a name: a gate, a stage.

    Attributes:
        name: of W (inputs, G width), such as "kernel".
        inputs: width of a.
        width: of each block.
        blocks: their names, in the order in which they stand in W.
        bias: the name of b (G width,), or None for none.
        role: "kernel": reads x; "recurrent": reads a state, or what a later stage makes of one; "hidden": stands
            between two non-linearities. Initializers and recurrent dropout go by it.

    >>> from deeprnn_keras import AffineMap
    >>> AffineMap("kernel", inputs=3, width=4, blocks=("update", "candidate"), bias="bias").count_params()
    32
    """

    name: str
    inputs: int
    width: int
    blocks: tuple[str, ...]
    bias: str | None = None
    role: str = "kernel"

    def count_params(self):
        """(inputs + 1) G width, or inputs G width without a bias."""
        return (self.inputs + (self.bias is not None)) * self.width * len(self.blocks)

    def columns(self, block):
        """Where a block stands among the columns of W, as a slice."""
        start = self.blocks.index(checks.one_of(f"block of {self.name}", block, self.blocks)) * self.width
        return slice(start, start + self.width)


class Blocks:
    """What a map gives: a tensor whose features are blocks, each found by its name.

    Attributes:
        tensor: all blocks joined.
        names: of the blocks, in order.
        axis: of the features, -1 or -2.
    """

    def __init__(self, tensor, names, axis=-1):
        self.tensor, self.names, self.axis = tensor, tuple(names), axis

    def __getitem__(self, name):
        checks.one_of("block", name, self.names)
        if len(self.names) == 1:
            return self.tensor
        width = self.tensor.shape[self.axis] // len(self.names)
        start = self.names.index(name) * width
        part = slice(start, start + width)
        return self.tensor[..., part] if self.axis == -1 else self.tensor[..., part, :]


class Linear:
    """`linear(name, a, *blocks)` is the map `name` of a, as `Blocks`: all of its blocks, or those that are named.

    Args:
        maps: the `AffineMap`s there are.
        product: (map, blocks, a) -> the tensor; how it is computed, and in which layout, is the caller's.
        axis: of the features.
    """

    def __init__(self, maps, product, axis=-1):
        self._maps = {known.name: known for known in maps}
        self._product, self._axis = product, axis

    def __call__(self, name, a, *blocks):
        known = self._maps[checks.one_of("map", name, self._maps)]
        for block in blocks:
            known.columns(block)
        blocks = blocks or known.blocks
        return Blocks(self._product(known, blocks, a), blocks, self._axis)
