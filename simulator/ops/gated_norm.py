"""GatedRMSNorm: RMSNorm of a mixer's output, gated by a second projection."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.ops.elementwise import sigmoid
from simulator.ops.norm import rms_normalize
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, same, same_shape, vector_pass
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


@dataclass(frozen=True)
class GatedRMSNorm(Op):
    """x[.., d], gate[.., d], w[d] -> norm(x) w silu(gate), or norm(x silu(gate)) w when gate_first (Mamba-2).

    w[n, d] gives each of n groups its own weight.
    """

    eps: float = 1e-6
    gate_first: bool = False
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as x."""
        x, gate, w = inputs
        fits = same_shape(x, gate)
        fits = fits and all(same(m, n) for m, n in zip(reversed(w.shape), reversed(x.shape), strict=False))
        require(self, fits, "x, gate and w[d] or w[n, d] must match", *inputs)
        return (x,)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass over both."""
        return vector_pass("gated_rmsnorm", inputs, outputs, ops=7.0, exps=1.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Norm and gate."""
        x, gate, w = arrays
        silu = gate * sigmoid(gate)
        if self.gate_first:
            return (rms_normalize(x * silu, self.eps, w),)
        return (rms_normalize(x, self.eps, w) * silu,)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Both orders."""
        g = rng(50)
        x, gate, w = g.normal(size=(3, 2, 8)), g.normal(size=(3, 2, 8)), g.normal(size=8)
        return tuple(Example(cls(gate_first=f), (x, gate, w), ("bfloat16",) * 3) for f in (False, True))
