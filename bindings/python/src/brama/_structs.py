"""The structs of the C ABI: functions that make them, fill them in, and read them."""

from __future__ import annotations

from ctypes import byref
from itertools import starmap
from typing import Any, Dict, Optional

from ._abi import (
    Config,
    EventCountWords,
    Fields,
    Filter,
    Options,
    Pair,
    Pairs,
    Report,
    StateCountWords,
    StatusWords,
    maker,
)

make_options = maker(Options, "brama_options_init")
make_config = maker(Config, "brama_config_init")
make_report = maker(Report, "brama_report_init")
make_status = maker(StatusWords, "brama_status_init")
make_state_counts = maker(StateCountWords, "brama_state_counts_init")
make_filter = maker(Filter, "brama_filter_init")
make_event_counts = maker(EventCountWords, "brama_event_counts_init")


def put_metadata(struct: Any, metadata: Pairs) -> None:
    if metadata is not None:
        # An array of at least one: NULL would mean "not given" instead of "no pairs".
        struct.metadata = (Pair * max(1, len(metadata)))(*starmap(Pair, metadata.items()))
        struct.metadata_count = len(metadata)


def options_of(fields: Fields, metadata: Pairs) -> Any:
    options = make_options()
    for name, value in fields.items():
        setattr(options, name, value)
    put_metadata(options, metadata)
    return byref(options)


def config_of(fields: Fields) -> Any:
    config = make_config()
    for name, value in fields.items():
        setattr(config, name, value)
    return byref(config)


def report_of(reason: Optional[bytes], metadata: Pairs) -> Any:
    if reason is None and not metadata:
        return None
    report = make_report()
    report.reason = reason
    put_metadata(report, metadata)
    return byref(report)


def metadata_of(struct: Any) -> Dict[str, str]:
    pairs = struct.metadata
    return {pairs[n].key.decode(): pairs[n].value.decode() for n in range(struct.metadata_count)}


def text(value: Optional[bytes]) -> Optional[str]:
    return None if value is None else value.decode()
