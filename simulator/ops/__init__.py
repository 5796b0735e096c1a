"""The one operator definition: shapes, work and a numpy reference for every operator.

One operator family a file. Inputs and outputs are positional, in the order of this table; `[x]` is optional.
T tokens, B requests, q new tokens per request, L keys (new ones included), H heads, G KV heads, E experts, k top-k.
Weights are w[n, k] (rows = outputs). ``import simulator.ops.<file>``; ``registry()`` finds every class by name.

| file | class(fields) | inputs -> outputs |
|---|---|---|
| linear | Linear(rate="bf16", out_dtype="bfloat16", quantizes_a="") | x[..,k], w[n,k], [bias[n]] -> [..,n] |
| batched_linear | BatchedLinear(rate, out_dtype) | x[T,H,k], w[H,n,k] -> [T,H,n] |
| grouped_linear | GroupedLinear(rate, out_dtype, quantizes_a, experts, topk, loads=()) | rows[R,k], counts[El], w[El,n,k], [bias[El,n]] -> [R,n] |
| embedding | Embedding(out_dtype) | ids[..], table[V,h] -> [..,h] |
| embedding | VocabParallelEmbedding(group, ranks, out_dtype) collective | ids[..], table[V/ranks,h] -> [..,h] (already summed) |
| norm | RMSNorm(eps, unit_offset=False, out_dtype="") | x[..,d], [w[d]] -> [..,d] |
| norm | LayerNorm(eps, out_dtype="") | x[..,d], w[d], b[d] -> [..,d] |
| norm | AddRMSNorm(eps, unit_offset, out_dtype="") | x[..,d], residual[..,d], w[d] -> normed[..,d], sum[..,d] |
| rope | Rope(dim, theta, interleaved=False, first=True, inverse=False, scaling=RopeScaling()) | x[T,..,d], positions[T] -> x (positions may be [B,q] for x[B,q,..,d]) |
| elementwise | Add(), Mul(), Scale(factor), SigmoidMul(), Cast(out_dtype) | x, [y] -> x-shaped; SigmoidMul: x * sigmoid(gate), gate[..,1] allowed |
| silu_mul | SiluMul(clamp=0.0, alpha=1.0, up_offset=0.0) | x[..,2n] = gate then up -> [..,n] |
| views | Reshape(shape), Split(sizes, axis=-1), Slice(axis, start, length), Transpose(axes), Expand(axis, times) | free; Split has len(sizes) outputs |
| views | Concat(axis=-1) | x.. -> one array (copies, costed) |
| quantize | Quantize(format, scale="fp32") | x -> x with dtype=format (fake quantised) |
| hadamard | Hadamard() | x[..,d] -> x |
| kv_cache | CacheAppend() | past[B,P,..], new[B,q,..] -> cache[B,P+q,..] (past role "cache", stored format = past's) |
| attention | Attention(causal=True, window=0, scale=0.0, rate="bf16", out_dtype) | q[B,q,H,d], k[B,L,G,d], v[B,L,G,dv], [sinks[H]] -> [B,q,H,dv] |
| mla | MlaAbsorbedAttention(value_dim=512, causal=True, scale, rate, out_dtype) | q[B,q,H,576], cache[B,L,576] -> [B,q,H,512] |
| indexer | IndexerScores(scale=0.0, rate="fp8", causal=True) | q[B,q,J,d], keys[B,L,d], w[B,q,J] -> [B,q,L] fp32 |
| top_k | TopK(k, causal=True) | scores[..,L] -> indices[..,k] int32, -1 = missing |
| top_k | ArgMax() | logits[..,V] -> ids[..] int32 |
| sparse_attention | SparseMlaAttention(value_dim=512, scale, rate, out_dtype) | q[B,q,H,576], cache[B,L,576], indices[B,q,k] -> [B,q,H,512] |
| sparse_attention | IndexMaskedAttention(scale, rate, out_dtype) | q[B,q,H,d], k[B,L,G,d], v[B,L,G,dv], indices[B,q,k] -> [B,q,H,dv] (dense work, short prefill) |
| moe_gate | MoeGate(topk, score="sigmoid", n_group=1, topk_group=1, group_top=2, norm_topk=True, scaling=1.0) | logits[T,E], [bias[E]] -> indices[T,k] int32, weights[T,k] fp32 |
| hash_gate | HashGate(topk, score, norm_topk, scaling) | logits[T,E], ids[T], table[V,k] -> indices[T,k], weights[T,k] |
| expert_exchange | ExpertDispatch(group, ranks, experts, topk, mode="low_latency", ranks_per_node=0, n_group=1, topk_group=1, imbalance=1.0, loads=()) | x[T,h], indices[T,k], weights[T,k] -> rows[R,h], counts[El] int32, source[R,3] int32, row_weights[R] |
| expert_exchange | ExpertCombine(same fields) | rows[R,h], source[R,3], row_weights[R], weights[T,k] -> [T,h] |
| collectives | AllReduce(group, ranks) | x -> x |
| collectives | AllGather(group, ranks, axis=-1) | x -> x with axis * ranks |
| collectives | ReduceScatter(group, ranks, axis=0) | x -> x with axis / ranks |
| collectives | AllToAll(group, ranks, split_axis, concat_axis) | x -> split_axis / ranks, concat_axis * ranks |
| collectives | SendRecv(group, ranks, shift=1) | x -> x of rank - shift (ring) |

modes of the expert exchange: low_latency, normal, replicated (tokens are replicated over the group: select local experts,
combine = all-reduce), all_gather (dispatch = all-gather of tokens, combine = reduce-scatter). ranks = 1: local permute only.
"""
