"""What a protection is asked to do, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.protection.class_map import ClassMap, read_class_map
from ue_ray.protection.options import ProtectOptions, protect_options
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.open_source import glance, keep_apart, open_source
from ue_ray.storage.inputs.selection import ClassChoice
from ue_ray.storage.outputs.output import Output


@dataclass(frozen=True)
class Job:
    """What is asked for, checked as far as it can be without listing the input.

    ``given``: the options as they were given; ``artifact``: the noise to apply, None where one is to be crafted;
    ``only``: the classes to protect, None for all.
    """

    input: str
    source: Source
    output: Output
    options: ProtectOptions
    given: Mapping[str, Any]
    artifact: NoiseArtifact | None
    class_map: ClassMap
    only: ClassChoice | None


def resolve(input: str, output: str, given: Mapping[str, Any]) -> Job:
    """Reads the options and opens both ends. Raises UserError for a mistake."""
    options = protect_options(given)
    origin = options.source
    keep_apart(output, {"input": input, "artifact": origin.artifact, "class_map": origin.class_map})
    only = None if options.input.only is None else ClassChoice.of("--only", options.input.only)
    source = open_source(input, **options.input.source)
    keep_apart(output, {"input": source.uri})  # of what is known by name, the folder
    glance(source, only)
    place = Output(absolute(output))
    place.check(options.output.mode)
    artifact = NoiseArtifact.load(absolute(origin.artifact)) if origin.artifact else None
    class_map = read_class_map(origin.class_map) if origin.class_map else {}
    return Job(input, source, place, options, given, artifact, class_map, only)
