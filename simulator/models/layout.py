"""How a model is spread over devices: sizes of the parallel groups and the checks that make them consistent.

Ranks of one pipeline stage are numbered (dp, cp, tp) with tp fastest; the same ranks form the expert groups (ep,
moe_tp) with moe_tp fastest. Group sizes obey dp cp tp = ep moe_tp for a model with experts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator.profiles.model import Model


@dataclass(frozen=True, slots=True)
class Layout:
    """Parallel sizes of one replica.

    tp: tensor parallel of attention and dense layers. dp: attention data parallel (each rank owns its requests' KV).
    pp: pipeline stages. cp: prompts cut by tokens. dcp: caches cut by tokens inside a tensor group. ep: expert parallel.
    moe_tp: tensor parallel inside an expert (0 = dp cp tp / ep).
    sequence_parallel: residual stream split over tp by tokens (forced when attention data parallel meets tp > 1 and
    experts).
    redundant_experts: replicas held beside the logical experts.
    """

    tp: int = 1
    dp: int = 1
    pp: int = 1
    cp: int = 1
    dcp: int = 1
    ep: int = 1
    moe_tp: int = 0
    sequence_parallel: bool = False
    redundant_experts: int = 0

    @property
    def ranks_per_stage(self) -> int:
        """Devices of one pipeline stage."""
        return self.dp * self.cp * self.tp

    @property
    def devices(self) -> int:
        """Devices of the replica."""
        return self.ranks_per_stage * self.pp

    def groups(self) -> dict[str, int]:
        """Size of each parallel group."""
        sizes = {"tp": self.tp, "dp": self.dp, "pp": self.pp, "cp": self.cp, "dcp": self.dcp}
        return sizes | {"ep": self.ep, "moe_tp": self.moe_tp or max(self.ranks_per_stage // self.ep, 1)}


def resolve(layout: Layout, model: Model) -> Layout:
    """``layout`` with derived sizes filled in, checked against ``model``.

    ValueError names the sizes that do not fit.
    """
    for name in ("tp", "dp", "pp", "cp", "dcp", "ep"):
        if getattr(layout, name) < 1:
            raise ValueError(f"{model.name}: {name}={getattr(layout, name)} must be at least 1")
    if model.moe is None:
        if layout.ep > 1:
            raise ValueError(f"{model.name}: ep={layout.ep} but the model has no experts; use ep=1")
        layout = replace(layout, moe_tp=1)
    else:
        layout = _resolve_experts(layout, model, model.moe.experts, model.moe.width)
    _check_heads(layout, model)
    _check_context(layout, model)
    if layout.pp > model.num_layers:
        raise ValueError(f"{model.name}: pp={layout.pp} exceeds its {model.num_layers} layers")
    return layout


def _resolve_experts(layout: Layout, model: Model, experts: int, width: int) -> Layout:
    ranks = layout.ranks_per_stage
    if ranks % layout.ep:
        raise ValueError(f"{model.name}: ep={layout.ep} must divide the {ranks} ranks of a stage (dp cp tp)")
    moe_tp = layout.moe_tp or ranks // layout.ep
    if layout.ep * moe_tp != ranks:
        raise ValueError(
            f"{model.name}: ep x moe_tp = {layout.ep} x {moe_tp} must equal dp x cp x tp = "
            f"{layout.dp} x {layout.cp} x {layout.tp}"
        )
    slots = experts + layout.redundant_experts
    if layout.redundant_experts and layout.ep == 1:
        raise ValueError(f"{model.name}: redundant_experts={layout.redundant_experts} need expert parallelism; ep=1")
    if layout.ep > slots:
        raise ValueError(f"{model.name}: ep={layout.ep} exceeds its {slots} expert slots; at most one rank per expert")
    if slots % layout.ep:
        raise ValueError(
            f"{model.name}: ep={layout.ep} must divide the {slots} expert slots ({experts} experts + "
            f"{layout.redundant_experts} redundant); nearest redundant_experts={-experts % layout.ep}"
        )
    if width % moe_tp:
        raise ValueError(f"{model.name}: moe_tp={moe_tp} must divide the expert width {width}")
    scattered = layout.sequence_parallel or (layout.tp > 1 and layout.dp * layout.cp > 1)
    return replace(layout, moe_tp=moe_tp, sequence_parallel=scattered and layout.tp > 1)


def _check_context(layout: Layout, model: Model) -> None:
    """Splits of the context: only attention over a plain cache can be cut by tokens."""
    if layout.cp == layout.dcp == 1:
        return
    plain = {"gqa", "gqa_window", "mla", "none"} | ({"mla_dsa", "mla_dsa_reuse"} if layout.dcp == 1 else set())
    other = sorted({x.mixer for x in model.sequence()} - plain)
    if other:
        sizes = f"cp={layout.cp} dcp={layout.dcp}"
        raise ValueError(f"{model.name}: {sizes} cannot split the context of {', '.join(other)} layers")
    if layout.tp % layout.dcp:
        raise ValueError(f"{model.name}: dcp={layout.dcp} must divide tp={layout.tp}")
    if layout.dcp > 1 and model.gqa is not None and layout.dcp * model.gqa.kv_heads > layout.tp:
        raise ValueError(
            f"{model.name}: dcp={layout.dcp} needs {layout.dcp} ranks on each of its {model.gqa.kv_heads} KV heads; "
            f"tp={layout.tp}"
        )


def _check_heads(layout: Layout, model: Model) -> None:
    tp = layout.tp
    heads = {
        "attention heads": [p.heads for p in (model.gqa, model.mla, model.compressed) if p is not None],
        "linear-attention key heads": [model.delta_net.key_heads] if model.delta_net else [],
        "state-space heads": [model.mamba.heads] if model.mamba else [],
        "output groups": [model.compressed.out_groups] if model.compressed else [],
    }
    for what, counts in heads.items():
        for count in counts:
            if count % tp:
                raise ValueError(f"{model.name}: tp={tp} must divide its {count} {what}")
    if model.gqa is not None and model.gqa.kv_heads % tp and tp % model.gqa.kv_heads:
        raise ValueError(f"{model.name}: tp={tp} and its {model.gqa.kv_heads} KV heads: one must divide the other")
    if model.dense is not None and model.dense.width % tp:
        raise ValueError(f"{model.name}: tp={tp} must divide the feed-forward width {model.dense.width}")
