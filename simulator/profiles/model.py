"""A language model as data: orthogonal parts (mixers, feed-forward, norms, rope) and the order layers use them in.

A new family is a new combination of parts in YAML. Counts are bare integers; a file states its source once.
Mixer names: ``gqa``, ``gqa_window``, ``mla``, ``mla_dsa``, ``mla_dsa_reuse`` (shares the selection of the last
``mla_dsa`` layer), ``delta_net``, ``mamba``, ``csa``, ``hca``, ``swa`` (DeepSeek-V4 layers), ``none``. Feed-forward
names: ``dense``, ``moe``, ``none``. Either may be ``user:<name>``, a layer body the file describes under ``blocks``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from simulator.profiles.blocks import PREFIX, Blocks, FrozenMap, Sizes

MIXERS = (
    "gqa",
    "gqa_window",
    "mla",
    "mla_dsa",
    "mla_dsa_reuse",
    "delta_net",
    "mamba",
    "csa",
    "hca",
    "swa",
    "none",
)
FEED_FORWARDS = ("dense", "moe", "none")


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary embedding. kind: default, yarn, llama3 or none. share: rotated share of a GQA head.

    beta_fast, beta_slow: YaRN ramp in rotations; truncate: its ends are rounded to whole dimensions. softmax_scaling: YaRN
    also scales the attention logits (DeepSeek).
    """

    theta: float = 10000.0
    kind: str = "default"
    factor: float = 1.0
    original_context: int = 0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    softmax_scaling: bool = False
    interleaved: bool = False
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Gqa:
    """Grouped-query attention (heads == kv_heads: multi-head). window: keys a ``gqa_window`` layer sees.

    qk_norm: none, head (one weight of head_dim) or layer (one weight over all heads). sinks: learned logit per head.
    qkv_bias, out_bias: linear biases. output_gate: a gate of the query's width multiplies the output.
    """

    heads: int
    kv_heads: int
    head_dim: int
    window: int = 0
    sinks: bool = False
    qk_norm: str = "none"
    qkv_bias: bool = False
    out_bias: bool = False
    output_gate: bool = False


@dataclass(frozen=True, slots=True)
class Mla:
    """Multi-head latent attention: low-rank queries, one cached latent plus one rope key per token.

    q_rank 0: full-rank query.
    """

    heads: int
    q_rank: int
    kv_rank: int
    nope_dim: int
    rope_dim: int
    v_dim: int


@dataclass(frozen=True, slots=True)
class Indexer:
    """Lightning indexer of sparse attention: ``topk`` keys per query chosen from scores of ``heads`` small heads.

    rope_dim of the dim are rotated; rope_interleaved: pair layout; hadamard: rotates q and k before 8-bit storage.
    """

    heads: int
    dim: int
    topk: int
    rope_dim: int = 64
    rope_interleaved: bool = False
    hadamard: bool = True


@dataclass(frozen=True, slots=True)
class DeltaNet:
    """Gated delta-rule linear attention with a short causal convolution and a recurrent state per value head."""

    key_heads: int
    key_dim: int
    value_heads: int
    value_dim: int
    conv_kernel: int = 4
    split_gate: bool = False


@dataclass(frozen=True, slots=True)
class Mamba:
    """Mamba-2 state-space mixer: heads x head_dim inner width, ``groups`` shared B and C of ``state`` each."""

    heads: int
    head_dim: int
    groups: int
    state: int
    conv_kernel: int = 4


@dataclass(frozen=True, slots=True)
class CompressedAttention:
    """DeepSeek-V4 attention: one shared key-value vector per token, a sliding window, and pooled older tokens.

    csa_ratio: tokens per entry of a ``csa`` layer (selected by the indexer); hca_ratio: of an ``hca`` layer (all
    attended). Output: ``out_groups`` groups of heads, each projected to ``out_rank``, then to the hidden size.
    """

    heads: int
    head_dim: int
    rope_dim: int
    q_rank: int
    out_groups: int
    out_rank: int
    window: int
    csa_ratio: int = 4
    hca_ratio: int = 128


@dataclass(frozen=True, slots=True)
class Dense:
    """Feed-forward of one width.

    gated: SwiGLU (three matrices), else two matrices with ``activation`` (gelu, relu2).
    """

    width: int
    gated: bool = True
    bias: bool = False
    activation: str = "gelu"


@dataclass(frozen=True, slots=True)
class Moe:
    """Mixture of experts. shared_width: total width of the shared expert (0 = none).

    groups / topk_groups: node-limited routing (1 / 1 = free). routing_bias: a bias steers selection, not weights.
    shared_gate: a sigmoid gate scales the shared expert. expert_bias: experts carry biases. hash_layers: first layers
    whose experts come from a token-id table.
    """

    experts: int
    topk: int
    width: int
    shared_width: int = 0
    groups: int = 1
    topk_groups: int = 1
    scoring: str = "softmax"
    routing_bias: bool = False
    normalise: bool = True
    scale: float = 1.0
    gated: bool = True
    shared_gate: bool = False
    expert_bias: bool = False
    router_bias: bool = False
    hash_layers: int = 0
    activation: str = "gelu"
    clamp: float = 0.0
    alpha: float = 1.0
    up_offset: float = 0.0


@dataclass(frozen=True, slots=True)
class HyperConnections:
    """Manifold-constrained hyper-connections: ``streams`` residual streams mixed before and after each sub-layer."""

    streams: int
    iterations: int = 20


@dataclass(frozen=True, slots=True)
class Norm:
    """Norm of the residual stream. kind: rms or layer (weight and bias). per_layer: 2, or 4 with post-norms."""

    kind: str = "rms"
    eps: float = 1e-6
    per_layer: int = 2


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: a sequence mixer and a feed-forward, by name."""

    mixer: str
    ffn: str


@dataclass(frozen=True, slots=True)
class LayerRun:
    """``pattern`` of layers repeated ``repeat`` times."""

    repeat: int
    pattern: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Mtp:
    """Multi-token-prediction modules: ``layers`` modules of one layer each.

    split_projection: two h x h instead of one 2h x h.
    """

    layers: int
    mixer: str
    ffn: str
    split_projection: bool = False


@dataclass(frozen=True, slots=True)
class NativeFormats:
    """Number formats of the released checkpoint, by part (names of profiles.dtypes)."""

    attention: str = "bfloat16"
    dense: str = "bfloat16"
    experts: str = "bfloat16"
    shared: str = "bfloat16"
    head: str = "bfloat16"
    kv_cache: str = "bfloat16"
    index_cache: str = "fp8_block"


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """How dense the text is in tokens: tokens_per_character of English text, and where the figure comes from."""

    tokens_per_character: float
    source: str


@dataclass(frozen=True, slots=True)
class Published:
    """Counts stated by the maker, in units of 1e9 parameters."""

    total_params_b: float
    active_params_b: float


@dataclass(frozen=True, slots=True)
class Model:
    """A decoder-only language model: sizes, parts, and the order of layers.

    blocks: layer bodies of the user's own. sizes: names for their expressions; verify_sizes: small values of them.
    """

    name: str
    family: str
    source: str
    hidden_size: int
    vocab_size: int
    max_context: int
    layers: tuple[LayerRun, ...]
    rope: Rope = Rope()
    norm: Norm = Norm()
    tie_embeddings: bool = False
    embedding_norm: bool = False
    learned_positions: int = 0
    gqa: Gqa | None = None
    mla: Mla | None = None
    indexer: Indexer | None = None
    delta_net: DeltaNet | None = None
    mamba: Mamba | None = None
    compressed: CompressedAttention | None = None
    dense: Dense | None = None
    moe: Moe | None = None
    hyper: HyperConnections | None = None
    mtp: Mtp | None = None
    formats: NativeFormats = NativeFormats()
    tokenizer: Tokenizer | None = None
    published: Published | None = None
    aliases: tuple[str, ...] = ()
    note: str = ""
    unsourced: tuple[str, ...] = field(default=())
    blocks: Blocks = field(default_factory=FrozenMap)
    sizes: Sizes = field(default_factory=FrozenMap)
    verify_sizes: Sizes = field(default_factory=FrozenMap)

    def __post_init__(self) -> None:
        known = {"gqa": "gqa", "gqa_window": "gqa", "mla": "mla", "mla_dsa": "mla", "mla_dsa_reuse": "mla"}
        known |= {"delta_net": "delta_net", "mamba": "mamba"} | dict.fromkeys(("csa", "hca", "swa"), "compressed")
        known |= {"dense": "dense", "moe": "moe"}
        own = tuple(f"{PREFIX}{name}" for name in self.blocks)
        for layer in set(self.sequence()):
            if layer.mixer not in (*MIXERS, *own) or layer.ffn not in (*FEED_FORWARDS, *own):
                raise ValueError(
                    f"{self.name}: layer {layer.mixer}/{layer.ffn}; mixers: {', '.join((*MIXERS, *own))}; "
                    f"feed-forwards: {', '.join((*FEED_FORWARDS, *own))}"
                )
            for part in (known.get(layer.mixer), known.get(layer.ffn)):
                if part is not None and getattr(self, part) is None:
                    raise ValueError(f"{self.name}: a layer uses {part!r} but the file has no section of that name")
            if layer.mixer in ("mla_dsa", "csa") and self.indexer is None:
                raise ValueError(f"{self.name}: a {layer.mixer} layer needs an 'indexer' section")

    def sequence(self) -> Iterator[Layer]:
        """Layers in order, runs unrolled (multi-token-prediction modules not included)."""
        for run in self.layers:
            for _ in range(run.repeat):
                yield from run.pattern

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return sum(run.repeat * len(run.pattern) for run in self.layers)
