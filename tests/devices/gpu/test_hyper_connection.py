"""Projection of hyper-connection streams on their mixing weights."""

from dataclasses import replace

import numpy as np
import pytest

from simulator.devices.gpu.hyper_connection import projection_cost
from simulator.ops.work import Matmul
from simulator.profiles import list_names, load_device, load_kernels
from simulator.profiles.gpu import Gpu

GPUS = [n for n in list_names("device") if isinstance(load_device(n), Gpu)]


def kernel(gpu, runtime="vllm", name=""):
    return load_kernels(runtime, "elementwise", "nvidia").select(gpu.architecture, name="mhc_project", kernel=name)


def product(tokens, width=28672):
    return Matmul(tokens, 24, width, "bfloat16", "fp32", "fp32", "tf32")


@pytest.mark.parametrize("name", GPUS)
def test_grows_with_tokens_and_stays_above_the_memory_bound(name):
    gpu = load_device(name)
    tokens = np.array([0.0, 1.0, 64.0, 4096.0, 1e6])
    seconds = projection_cost(product(tokens), gpu, kernel(gpu)).seconds
    assert np.all(np.isfinite(seconds))
    assert np.all(np.diff(seconds) >= 0)
    assert seconds[-1] >= 1e6 * 28672 * 2 / gpu.memory.bandwidth


def test_a_split_inner_dimension_spreads_few_tokens_over_the_sms():
    gpu = load_device("h100-sxm")
    whole = replace(kernel(gpu), traits={**kernel(gpu).traits, "splits": False})
    split, alone = (float(projection_cost(product(64), gpu, k).seconds) for k in (kernel(gpu), whole))
    assert alone > 5 * split


def test_fma_form_reads_the_weights_again_for_more_tokens():
    gpu = load_device("h100-sxm")
    fma = kernel(gpu, "trtllm", "trtllm_mhc_pre_fma")
    few, many = (float(projection_cost(product(n), gpu, fma).bytes["l2"]) for n in (1, 32))
    assert many > 5 * few
