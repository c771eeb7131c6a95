"""Speed of one training step, beside the least time its multiplications can take on this processor."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mixviz.models import MixtureModel, build, create, model_class
from mixviz.models.objectives import log_prob_and_kl
from mixviz.training.config import RunConfig
from mixviz.training.device import make_fabric, place

SHAPE = (1, 28, 28)
BATCH = 128
FEW, MANY = 5, 15


def seconds(work: Callable[[], object], times: int = MANY) -> float:
    """Median time of a piece of work, after two to warm up."""
    found = []
    for number in range(times + 2):
        began = time.perf_counter()
        work()
        if number > 1:
            found.append(time.perf_counter() - began)
    return statistics.median(found)


def rates() -> dict[str, float]:
    """Operations a second, in thousand millions, of matrix products and of a convolution."""
    found = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        matrix = torch.randn(2048, 2048).to(dtype)
        found[f"matrix_{name}"] = 2 * 2048**3 / seconds(lambda m=matrix: m @ m) / 1e9
        layer = nn.Conv2d(16, 32, 6).to(dtype).to(memory_format=torch.channels_last)
        x = torch.randn(BATCH, 16, 23, 23).to(dtype).to(memory_format=torch.channels_last)
        with torch.no_grad():
            count = 2 * layer(x).numel() * 16 * 6 * 6
            found[f"convolution_{name}"] = count / seconds(lambda a=layer, b=x: a(b)) / 1e9
    return found


def gmvae(placed: bool = True, **settings: object) -> MixtureModel:
    """GMVAE v2 with the paper's network for MNIST."""
    config = build(model_class("gmvae-v2").Config, {"network": "conv28", **settings})
    model = create("gmvae-v2", config, SHAPE, torch.Generator().manual_seed(0)).train()
    if placed:
        place(model, torch.device("cpu"))
    model.make_optimizers()
    return model


def step(model: MixtureModel, precision: str, times: int = MANY) -> float:
    """Seconds of one step on a batch of 128."""
    noise = torch.Generator().manual_seed(0)
    x = torch.rand((BATCH, *SHAPE), generator=noise)
    fabric = make_fabric(RunConfig(device="cpu", precision=precision))

    def work() -> None:
        with fabric.autocast():
            model.training_step(x, noise)

    return seconds(work, times)


def operations(model: MixtureModel) -> float:
    """Multiplications and additions of one step, in thousand millions."""
    noise = torch.Generator().manual_seed(0)
    with FlopCounterMode(display=False) as counted:
        model.training_step(torch.rand((BATCH, *SHAPE), generator=noise), noise)
    return float(counted.get_total_flops()) / 1e9


def mixture_terms(components: int, size: int) -> float:
    """Seconds of the component terms of one step, forwards and backwards."""
    noise = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=noise).requires_grad_()

    mean, log_variance, z = draw(BATCH, size), draw(BATCH, size), draw(1, BATCH, size)
    means, log_variances = (draw(1, BATCH, components, size) for _ in range(2))

    def work() -> None:
        log_joint, kl = log_prob_and_kl(z, mean, log_variance, means, log_variances)
        (log_joint.log_softmax(-1).exp() * kl).sum().backward()
        for value in (mean, log_variance, z, means, log_variances):
            value.grad = None

    return seconds(work)


def memory(steps: int) -> tuple[float, float]:
    """Memory of this process in GB after a tenth of the steps and after all, with data like MNIST."""
    model = gmvae(network="small")
    noise = torch.Generator().manual_seed(0)
    x = torch.rand((60_000, *SHAPE), generator=noise)
    taken = []
    for number in range(1, steps + 1):
        model.training_step(x[torch.randint(len(x), (BATCH,), generator=noise)], noise)
        if number in (steps // 10, steps):
            taken.append(psutil.Process().memory_info().rss / 1e9)
    return taken[0], taken[1]


def in_a_new_process(expression: str) -> tuple[float, ...]:
    """Return numbers that this module computes where nothing else has taken memory."""
    program = f"import json; from benchmarks import steps; print(json.dumps(steps.{expression}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return tuple(json.loads(done.stdout))


def steps() -> dict[str, float]:
    """Measure GMVAE v2 with the paper's network: what is reached, the floor, and what each change gives."""
    torch.manual_seed(0)
    found = rates()
    work = operations(gmvae())
    plain = step(gmvae(placed=False), "32-true")
    placed = step(gmvae(), "32-true")
    half = step(gmvae(placed=False), "bf16-mixed")
    both = step(gmvae(), "bf16-mixed")
    ten = step(gmvae(samples=10), "bf16-mixed", FEW)
    large = step(gmvae(components=100), "bf16-mixed")
    early, late = in_a_new_process("memory(10_000)")
    return found | {
        "operations_per_step": work,
        "floor_float32_seconds": work / found["matrix_float32"],
        "floor_bfloat16_seconds": work / found["matrix_bfloat16"],
        "step_float32_seconds": plain,
        "step_bfloat16_seconds": both,
        "samples_per_second": BATCH / both,
        "channels_last_float32_ratio": placed / plain,
        "bfloat16_ratio": half / plain,
        "channels_last_bfloat16_ratio": both / half,
        "ten_samples_ratio": ten / both,
        "mixture_share_k100_d200": mixture_terms(100, 200) / large,
        "memory_gb_after_1000_steps": early,
        "memory_gb_after_10000_steps": late,
    }
