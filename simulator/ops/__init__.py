"""The one operator definition: shapes, work and a numpy reference for every operator.

One operator family a file; ``registry()`` (op.py) finds every class. Inputs and outputs are positional, in the order
given here; ``[x]`` is optional. T tokens, B requests, q new tokens per request, L keys (new ones included), H heads,
G KV heads, E experts, El experts held by a rank, k top-k, R rows routed to a rank. Weights are w[n, k], rows = outputs.

Linear algebra
    linear             Linear: x[.., k], w[n, k], [bias[n]] -> [.., n]
    batched_linear     BatchedLinear: x[.., H, k], w[H, n, k] -> [.., H, n]
    grouped_linear     GroupedLinear: rows[R, k], counts[El], w[El, n, k], [bias[El, n]] -> [R, n]
    embedding          Embedding: ids[..], table[V, h] -> [.., h]
                       VocabParallelEmbedding (collective): ids[..], table[V / ranks, h] -> [.., h], summed over ranks
Vector operators
    norm               RMSNorm: x[.., d], [w[d]] -> x; LayerNorm: x, w, b -> x
                       AddRMSNorm: x[.., d], residual[.., d], w[d] -> normed, sum
    rope               Rope: x[T, .., d], positions[T] -> x (positions[B, q] go with x[B, q, .., d])
    elementwise        Add, Mul: x, y -> x; Scale, Cast: x -> x; SigmoidMul: x, gate -> x sigmoid(gate)
    silu_mul           SiluMul: x[.., 2n] = gate then up -> [.., n]
    activation         Activation: x -> gelu or squared ReLU
    gated_norm         GatedRMSNorm: x[.., d], gate[.., d], w[d] -> norm(x) w silu(gate)
    quantize           Quantize: x -> x in another format (fake quantised)
    hadamard           Hadamard: x[.., d] -> rotated x
    fused              Fused: several vector operators in one kernel
    views              Reshape, Split, Slice, Transpose, Expand: free; Concat: copies
    kv_cache           CacheAppend: past[B, P, ..], new[B, q, ..] -> [B, P + q, ..] in the format of past
Attention
    attention          Attention: q[B, q, H, d], k[B, L, G, d], v[B, L, G, dv], [sinks[H]] -> [B, q, H, dv]
    mla                MlaAbsorbedAttention: q[B, q, H, w], cache[B, L, w] -> [B, q, H, value_dim]
    indexer            IndexerScores: q[B, q, J, d], keys[B, L, d], w[B, q, J] -> scores[B, q, L]
    top_k              TopK: scores[.., L] -> indices[.., k], -1 = missing; ArgMax: logits[.., V] -> ids[..]
    sparse_attention   SparseMlaAttention: q[B, q, H, w], cache[B, L, w], indices[B, q, k] -> [B, q, H, value_dim]
                       IndexMaskedAttention: q, k, v as Attention, indices[B, q, k] -> [B, q, H, dv]
    compress           CompressPool: kv[B, S, w], gate[B, S, w], bias[ratio, w] -> entries[B, N, d] (DeepSeek-V4)
    rolling_state      RollingState: state[B, W, d], new[B, q, d] -> joined[B, W + q, d], kept[B, keep, d]
    entry_positions    EntryPositions: positions[B, q] -> positions of new entries [B, N]; free
    shared_kv_attention SharedKvAttention: q[B, q, H, d], kv[B, W, d], sinks[H], [entries, [indices]] -> [B, q, H, d]
Linear attention
    short_conv         ShortConv: x[B, q, C], w[C, K], state[B, K - 1, C] -> silu(conv), new state
    gated_delta        GatedDeltaRule: q, k, v, a, b, A_log, dt_bias, state[B, H, dk, dv] -> o[B, q, H, dv], new state
    state_space        StateSpaceScan: x, dt, b, c, A_log, D, dt_bias, state[B, H, P, N] -> y[B, q, H, P], new state
Residual streams
    hyper_connections  HyperPre: x[T, n, h], w, scale[3], base -> y[T, h], post[T, n], comb[T, n, n]
                       HyperPost: y[T, h], x[T, n, h], post, comb -> [T, n, h]
                       HyperHead: x[T, n, h], w[n, n h], scale[1], base[n] -> [T, h]
Experts
    moe_gate           MoeGate: logits[T, E], [bias[E]] -> indices[T, k], weights[T, k]
    hash_gate          HashGate: logits[T, E], ids[T], table[V, k] -> indices[T, k], weights[T, k]
    expert_exchange    ExpertDispatch: x[T, h], indices, weights -> rows[R, h], counts[El], source[R, 3], row_weights[R]
                       ExpertCombine: rows[R, h], source, row_weights, weights[T, k] -> [T, h]
Communication
    collectives        AllReduce, AllGather, ReduceScatter, AllToAll, SendRecv: x -> x
    parallel_norm      ParallelRMSNorm: x[.., d / ranks], w[d / ranks] -> x normalised over all ranks' parts
    local_share        LocalShare: x, the same on all ranks -> block r on rank r; free

An exchange or collective counts bytes in its ``dtype``, which must be the format of its input.
"""
