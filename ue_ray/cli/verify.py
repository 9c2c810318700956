"""``ue-ray verify``."""

from __future__ import annotations

from functools import partial
from typing import Any

from ue_ray.cli.command import Command, on_ray
from ue_ray.errors import FaultsFound, with_options
from ue_ray.protection.verify_options import VerifyOptions
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.open_source import glance, open_source
from ue_ray.storage.outputs.output import Output


def run(output: str, input: str | None = None, **options: Any) -> None:
    """Prints each fault as it is found, then the summary. Raises FaultsFound if there are any."""
    with_options(VerifyOptions, {"input": input, **options})
    Output(absolute(output)).manifest()
    if input is not None:
        glance(open_source(input, **options))
    verification = on_ray("verify").verify(output, input, on_fault=partial(print, flush=True), **options)
    if verification.faults:
        raise FaultsFound(verification.summary)
    print(verification, flush=True)


def command() -> Command:
    return Command(
        required={"output": "What protect wrote."},
        sections={"Comparison": VerifyOptions},
        run=run,
        unfinished="the output was not verified",
        example="ue-ray verify --output protected --input mnist5k",
    )
