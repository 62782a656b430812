"""What every configuration of the zoo can do."""

from dataclasses import fields, replace

from deeprnn_keras import Recipe, Registry

FIXED = ("name", "task", "recipe", "weights", "params")


class Configuration:
    """A frozen dataclass with a `recipe`: it can be changed, and built."""

    def build(self):
        """The compiled model; its attribute `configuration` is this."""
        model = self.made()
        model.configuration = self
        return model

    def diagram(self):
        """The stack as a picture in text, with shapes and weights."""
        from deeprnn_keras.zoo.diagram import diagram

        return diagram(self)

    def changed(self, **overrides):
        """This configuration with other values for its fields, or for those of its recipe.

        `forget_bias` is a field of the initialization.

        Raises:
            ValueError: for an unknown field; it suggests the nearest.
        """
        homes = Registry("override", {field.name: "recipe" for field in fields(Recipe)})
        for field in fields(self):
            if field.name not in FIXED:
                homes.add(field.name, "config")
        if hasattr(self, "initialization"):
            homes.add("forget_bias", "initialization")
        changed = {"recipe": {}, "config": {}, "initialization": {}}
        for key, value in overrides.items():
            changed[homes[key]][key] = value
        if changed["initialization"]:
            start = changed["config"].get("initialization", self.initialization)
            changed["config"]["initialization"] = replace(start, **changed["initialization"])
        return replace(self, recipe=self.recipe.changed(**changed["recipe"]), **changed["config"])
