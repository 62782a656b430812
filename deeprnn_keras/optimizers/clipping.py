"""What is known of any Keras optimizer's clipping."""


def innermost(optimizer):
    """The optimizer inside one that scales the loss, else itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def global_clipnorm_of(optimizer):
    """The norm that an optimizer scales all gradients together down to, or None."""
    clip = getattr(innermost(optimizer), "global_clipnorm", None)
    return None if clip is None else float(clip)
