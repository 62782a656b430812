"""Place of this process in a run of several processes, read from the environment variables of launchers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deeprnn_keras import checks

ADDRESS = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
COUNT = "KERAS_DISTRIBUTION_NUM_PROCESSES"
INDEX = "KERAS_DISTRIBUTION_PROCESS_ID"
FIRST_PORT, NUM_PORTS = 61440, 4096  # a job's number selects one of these ports, so that jobs on a machine differ


@dataclass(frozen=True)
class Launcher:
    """Environment variables by which a launcher tells a process its place.

    Attributes:
        name: Name of the launcher.
        index: Variable with the index of the process.
        count: Variable with the number of processes; None if the launcher sets none.
        required: Variable that is set in processes of the launcher only; others look like a process but are alone.
        address: Function from the environment to the address of process 0, or None if it is unknown.
    """

    name: str
    index: str
    count: str | None
    required: str
    address: Callable[[Mapping[str, str]], str | None]


@dataclass(frozen=True)
class Place:
    """Place of a process among those of a run.

    Attributes:
        index: Index of the process.
        count: Number of processes.
        address: Host and port at which process 0 waits for the others.
        launcher: Name of the launcher, for messages.
    """

    index: int
    count: int
    address: str
    launcher: str


def _first_slurm_host(environment: Mapping[str, str]) -> str | None:
    port = FIRST_PORT + _integer(environment, "SLURM_JOB_ID") % NUM_PORTS
    return f"{first_host(environment['SLURM_STEP_NODELIST'])}:{port}"


def _loopback(local_count: str, count: str) -> Callable[[Mapping[str, str]], str | None]:
    """Return the function to an address on this machine, if the launcher has started all processes here."""

    def address(environment: Mapping[str, str]) -> str | None:
        if local_count not in environment or environment[local_count] != environment[count]:
            return None
        return f"127.0.0.1:{FIRST_PORT + os.getppid() % NUM_PORTS}"

    return address


LAUNCHERS = (
    Launcher("Keras", INDEX, COUNT, INDEX, lambda environment: None),
    Launcher(
        "Open MPI",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_RANK",
        _loopback("OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_SIZE"),
    ),
    Launcher("Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_NODELIST", _first_slurm_host),
    Launcher("PMI", "PMI_RANK", "PMI_SIZE", "PMI_RANK", _loopback("MPI_LOCALNRANKS", "PMI_SIZE")),
    Launcher(
        "Kubernetes Indexed Job",
        "JOB_COMPLETION_INDEX",
        None,
        "JOB_COMPLETION_INDEX",
        lambda environment: None,
    ),
)
"""In this order: the variables of the first launcher found count. `mpirun` may pass on those of Slurm, and `srun` sets
those of PMI."""


def find_launcher(environment: Mapping[str, str]) -> Launcher | None:
    """Return the launcher that has started a process with this environment, together with others, or None.

    >>> from deeprnn_keras.training.cluster import find_launcher
    >>> find_launcher({"PMI_RANK": "0", "PMI_SIZE": "2"}).name
    'PMI'
    """
    found = (one for one in LAUNCHERS if one.required in environment)
    return next((one for one in found if one.count is None or environment.get(one.count) != "1"), None)


def find_place(
    environment: Mapping[str, str],
    *,
    index: int | None = None,
    count: int | None = None,
    address: str | None = None,
) -> Place:
    """Return the place of this process.

    Args:
        environment: Environment variables.
        index: Index of the process; None to read it from the environment.
        count: Number of processes; None to read it from the environment.
        address: Host and port of process 0; None to read it from the environment.

    Raises:
        ValueError: If a value is missing or invalid, or if `count` differs from the number that the launcher states.

    >>> from deeprnn_keras.training.cluster import find_place
    >>> variables = {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_STEP_NODELIST": "gpu[07-14]"}
    >>> find_place({**variables, "SLURM_JOB_ID": "5000"})
    Place(index=3, count=8, address='gpu07:62344', launcher='Slurm')
    """
    launcher = find_launcher(environment) if index is None else None
    source = "the arguments" if launcher is None else launcher.name
    if index is None and launcher is not None:
        index = _integer(environment, launcher.index)
    count = _count(environment, launcher, count)
    address = address or environment.get(ADDRESS) or (launcher.address(environment) if launcher else None)
    variables = [name for name, value in ((INDEX, index), (COUNT, count), (ADDRESS, address)) if value is None]
    if index is None or count is None or address is None:
        raise ValueError(
            f"the place of this process is not known from {source}: {', '.join(variables)} must be set (index of the "
            "process, number of processes, and host:port of process 0); or start the processes with deeprnn train "
            "--processes, srun, or mpirun"
        )
    return Place(_checked_index(index, count), count, checked_address(address), source)


def _count(environment: Mapping[str, str], launcher: Launcher | None, count: int | None) -> int | None:
    """Return the number of processes: that of the launcher, the argument, or that of Keras' variable."""
    variable = COUNT if launcher is None or launcher.count is None else launcher.count
    stated = _integer(environment, variable) if variable in environment else None
    if count is None:
        return stated
    count = checks.positive_int("num_processes", count)
    if stated is not None and count != stated:
        raise ValueError(
            f"num_processes must be the number of processes that were started, {variable}={stated}, got {count}"
        )
    return count


def _integer(environment: Mapping[str, str], variable: str) -> int:
    text = environment.get(variable, "")
    if not text.isdecimal():
        raise ValueError(f"the environment variable {variable} must be a non-negative integer, got {text!r}")
    return int(text)


def _checked_index(index: int, count: int) -> int:
    index = checks.non_negative_int("process_id", index)
    if index >= count:
        raise ValueError(f"process_id must be less than the number of processes, {count}, got {index}")
    return index


def checked_address(address: str) -> str:
    """Return the address of process 0, the first of a list separated by commas.

    Raises:
        ValueError: If it is not a host and a port.
    """
    first = str(address).split(",")[0].strip()
    host, _, port = first.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(
            f"the address of process 0 ({ADDRESS} or address) must be host:port with a port in [1, 65535], "
            f"got {address!r}"
        )
    return first


def first_host(node_list: str) -> str:
    """Return the first host of a list of Slurm.

    >>> from deeprnn_keras.training.cluster import first_host
    >>> [first_host(text) for text in ("a1,b2", "node[03-05,9],x", "rack1-gpu[2]")]
    ['a1', 'node03', 'rack1-gpu2']
    """
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\])?([^,\[]*)", node_list)
    if match is None:
        raise ValueError(f"the environment variable SLURM_STEP_NODELIST must be a list of hosts, got {node_list!r}")
    return "".join(part or "" for part in match.groups())
