"""The command line: one file per verb. Verb modules import their rooms inside the function, so that help is instant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.cli.calibrate import calibrate
from simulator.cli.check import check
from simulator.cli.compare import compare
from simulator.cli.convert import convert
from simulator.cli.explain import explain
from simulator.cli.list_names import list_names
from simulator.cli.predict import predict
from simulator.cli.run import run
from simulator.cli.schema import schema
from simulator.cli.show import show
from simulator.cli.sweep import sweep
from simulator.cli.validate import validate
from simulator.cli.verify import verify


@dataclass(frozen=True, slots=True)
class Verb:
    """A command: its name, what it does in one line, and the function typer calls."""

    name: str
    help: str
    function: Callable[..., Any]


VERBS: tuple[Verb, ...] = (
    Verb("run", "Latency, energy, cost and memory of a scenario, and where the time goes.", run),
    Verb("compare", "The same work on several devices, ranked, with the reasons.", compare),
    Verb("sweep", "A grid over any parameters; CSV or Parquet and a plot.", sweep),
    Verb("explain", "Time, bytes and joules by operator; which number came from where; what binds.", explain),
    Verb("predict", "Predict every row of a measurement file.", predict),
    Verb("validate", "Error tables and plots against measurements.", validate),
    Verb("calibrate", "Fit the efficiencies of a device from measurements.", calibrate),
    Verb("verify", "Run the same graph in numpy and check that results match.", verify),
    Verb("list", "List devices, systems, models, scenarios, runtimes and prices.", list_names),
    Verb("show", "Show one profile with its figures and their sources.", show),
    Verb("check", "Lint profile and workload files.", check),
    Verb("convert", "A Hugging Face config.json becomes a model YAML.", convert),
    Verb("schema", "JSON Schema of a kind of file, for editors.", schema),
)
