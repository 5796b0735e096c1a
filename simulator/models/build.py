"""Model and step -> Graph: describes every distinct layer body once, then applies the passes."""

from __future__ import annotations

from simulator.models import head, hyper, mtp
from simulator.models.builder import Builder, Context
from simulator.models.formats import Formats, native
from simulator.models.graph import Body, Graph
from simulator.models.layer import Stream, layer
from simulator.models.layout import Layout, resolve
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.profiles.model import Layer, Model

_Key = tuple[Layer, bool, bool]


def build(
    model: Model,
    step: StepShape,
    layout: Layout | None = None,
    formats: Formats | None = None,
    options: Options | None = None,
) -> Graph:
    """The graph one rank executes in ``step``: described, then formats, shard, fuse, unroll, overlap (see
    simulator.passes).

    Without a layout the model is on one device; without formats it runs as released. ValueError names what does not
    fit.
    """
    return finish(fold(model, step, layout, formats, options), model, step, layout, options)


def fold(
    model: Model,
    step: StepShape,
    layout: Layout | None = None,
    formats: Formats | None = None,
    options: Options | None = None,
) -> Graph:
    """The graph of ``build`` before its layers are unrolled. Arguments and errors as there."""
    from simulator.passes import FOLDED, Plan, apply
    from simulator.passes.overlap import half

    options = options or Options()
    if options.overlap not in ("none", "two_batch"):
        raise ValueError(f"overlap={options.overlap!r}; known: none, two_batch")
    plan = Plan(model, resolve(layout or Layout(), model), formats or native(model), options, step.phase)
    shape = step.share(plan.layout.cp)
    shape = half(shape) if options.overlap == "two_batch" else shape
    return apply(describe(model, shape, options), plan, FOLDED)


def finish(
    folded: Graph, model: Model, step: StepShape, layout: Layout | None = None, options: Options | None = None
) -> Graph:
    """A folded graph with its layers unrolled, dealt to pipeline stages and overlapped."""
    from simulator.passes import UNROLLED, Plan, apply

    plan = Plan(model, resolve(layout or Layout(), model), native(model), options or Options(), step.phase)
    return apply(folded, plan, UNROLLED)


def describe(model: Model, step: StepShape, options: Options | None = None) -> Graph:
    """The unsharded 16-bit graph with every distinct layer body once (``bodies`` tells which layers use it)."""
    options = options or Options()
    b = Builder()
    ids = b.input("ids", step.tokens)
    positions = b.input("positions", step.batch, step.q_len)
    c = Context(model, step, options, positions, ids)
    b.scope.kind = "embed"
    x, table = head.embed(b, c, ids)
    stream = _layers(b, c, Stream(hyper.spread(b, c, x) if model.hyper else x))
    b.scope.layer, b.scope.kind = -1, "head"
    hidden = head.finish(b, c, stream.delta, stream.residual)
    if not options.sample:
        return b.graph((hidden,))
    weight = head.head_weight(b, c, table)
    outputs = [head.logits(b, c, hidden, weight)]
    if options.mtp_passes:
        outputs += mtp.passes(b, c, stream.delta if model.hyper else hidden, table, weight, options.mtp_passes)
    return b.graph(tuple(outputs))


def keys(model: Model) -> list[_Key]:
    """What makes two layers share a body: mixer and feed-forward, first layer or not, hash-routed or not."""
    hashed = model.moe.hash_layers if model.moe else 0
    return [(spec, i == 0, i < hashed and spec.ffn == "moe") for i, spec in enumerate(model.sequence())]


def _layers(b: Builder, c: Context, stream: Stream) -> Stream:
    found: dict[_Key, list[int]] = {}
    for i, key in enumerate(keys(c.model)):
        found.setdefault(key, []).append(i)
    for (spec, _first, hashed), members in found.items():
        b.scope.layer, b.scope.kind = members[0], spec.ffn
        after = layer(b, c, spec, stream, hashed=hashed)
        b.bodies.append(Body(members[0], tuple(members), stream.carried(), after.carried()))
        stream = after
    return stream
