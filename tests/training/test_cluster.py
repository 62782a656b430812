"""Places of processes from the environment variables of launchers, and their roll call."""

import socket
import threading

import pytest
from refusals import outcome

from deeprnn_keras.training import distribute
from deeprnn_keras.training.cluster import Place, find_launcher, find_place, first_host
from deeprnn_keras.training.roll_call import call_roll

KERAS = {
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1234,10.0.0.2:2345",
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    "KERAS_DISTRIBUTION_PROCESS_ID": "1",
}
SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "77", "SLURM_STEP_NODELIST": "n[09-10,12],x7"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}
PMI = {"PMI_RANK": "0", "PMI_SIZE": "2"}
KUBERNETES = {"JOB_COMPLETION_INDEX": "2"}
ADDRESS = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "trainer-0.trainer:1234"}


@pytest.mark.parametrize(
    ("environment", "options", "expected"),
    [
        (KERAS, {}, Place(1, 2, "10.0.0.1:1234", "Keras")),
        (SLURM, {}, Place(3, 4, "n09:61517", "Slurm")),
        ({**OPEN_MPI, **ADDRESS}, {}, Place(1, 2, "trainer-0.trainer:1234", "Open MPI")),
        ({**SLURM, **OPEN_MPI, **ADDRESS}, {}, Place(1, 2, "trainer-0.trainer:1234", "Open MPI")),
        ({**SLURM, **PMI}, {}, Place(3, 4, "n09:61517", "Slurm")),
        ({**PMI, **ADDRESS}, {"count": 2}, Place(0, 2, "trainer-0.trainer:1234", "PMI")),
        ({**KUBERNETES, **ADDRESS}, {"count": 3}, Place(2, 3, "trainer-0.trainer:1234", "Kubernetes Indexed Job")),
        (
            {**KUBERNETES, **ADDRESS, "KERAS_DISTRIBUTION_NUM_PROCESSES": "3"},
            {},
            Place(2, 3, "trainer-0.trainer:1234", "Kubernetes Indexed Job"),
        ),
        ({**SLURM, **KERAS}, {}, Place(1, 2, "10.0.0.1:1234", "Keras")),  # a process that a task of Slurm has started
        (SLURM, {"index": 0, "count": 3, "address": "[::1]:99"}, Place(0, 3, "[::1]:99", "the arguments")),
    ],
    ids=lambda value: value.launcher if isinstance(value, Place) else "",
)
def test_place_of_a_launcher(environment, options, expected):
    assert find_place(environment, **options) == expected


@pytest.mark.parametrize(("environment", "local"), [(OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE"), (PMI, "MPI_LOCALNRANKS")])
def test_processes_of_mpirun_on_one_machine_need_no_address(environment, local):
    assert find_place({**environment, local: "2"}).address.startswith("127.0.0.1:6")
    with pytest.raises(ValueError, match="KERAS_DISTRIBUTION_JOB_ADDRESSES must be set"):
        find_place({**environment, local: "1"})


def test_script_of_a_batch_job_is_no_process_of_a_step():
    """`sbatch` sets the variables of a task, but not those of a step, for the script, which runs once."""
    assert find_launcher({name: value for name, value in SLURM.items() if "STEP" not in name}) is None
    assert find_launcher({"KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}) is None
    assert find_launcher({**SLURM, "SLURM_NTASKS": "1"}) is None  # an interactive step of one task


def test_first_host():
    lists = {"a": "a", "a,b[1-2]": "a", "n[1,3-5]": "n1", "n[007-100]-x,b": "n007-x", "rack1.gpu[02]": "rack1.gpu02"}
    assert {text: first_host(text) for text in lists} == lists


def test_wrong_variables_and_arguments_are_refused():
    cases = [
        (KERAS | {"KERAS_DISTRIBUTION_PROCESS_ID": "2"}, {}, "process_id must be less than .* 2, got 2"),
        (KERAS | {"KERAS_DISTRIBUTION_PROCESS_ID": "-1"}, {}, "KERAS_DISTRIBUTION_PROCESS_ID must be .*, got '-1'"),
        (KERAS | {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "host"}, {}, "must be host:port .*, got 'host'"),
        (KERAS | {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "host:70000"}, {}, "port in .1, 65535., got 'host:70000'"),
        (KERAS, {"count": 3}, "started, KERAS_DISTRIBUTION_NUM_PROCESSES=2, got 3"),
        (SLURM, {"count": 2}, "started, SLURM_NTASKS=4, got 2"),
        (SLURM | {"SLURM_STEP_NODELIST": ""}, {}, "SLURM_STEP_NODELIST must be a list of hosts, got ''"),
        (SLURM | {"SLURM_NTASKS": "four"}, {}, "SLURM_NTASKS must be a non-negative integer, got 'four'"),
        (KUBERNETES, {}, "Kubernetes Indexed Job: KERAS_DISTRIBUTION_NUM_PROCESSES, .*ADDRESSES must be set"),
        ({}, {"index": 0, "count": 2, "address": 80}, "must be host:port .*, got 80"),
        ({}, {"count": 2, "address": "a:1"}, "from the arguments: KERAS_DISTRIBUTION_PROCESS_ID must be set"),
    ]
    results = [outcome(lambda case=case: find_place(case[0], **case[1]), case[2]) for case in cases]
    assert not any(results), results


def test_other_backends_are_refused():
    with pytest.raises(ValueError, match=r"requires the JAX backend, the current backend is 'tensorflow'.*Mirrored"):
        distribute()


# === Roll call ===


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def roll_calls(places, timeout):
    """Return the message of each process; "" if all have started."""
    messages = {}

    def run(number, place):
        try:
            call_roll(place, timeout)
            messages[number] = ""
        except (TimeoutError, ValueError) as error:
            messages[number] = str(error)

    threads = [threading.Thread(target=run, args=arguments) for arguments in enumerate(places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [messages[number] for number in range(len(places))]


def test_all_processes_start_in_any_order():
    address = free_address()
    assert roll_calls([Place(index, 3, address, "Slurm") for index in (2, 1, 0)], 20.0) == ["", "", ""]


@pytest.mark.parametrize(("present", "names"), [([0, 2], "process 1"), ([0], "processes 1, 2"), ([1], "process 0")])
def test_missing_processes_are_named(present, names):
    address = free_address()
    for message in roll_calls([Place(index, 3, address, "Slurm") for index in present], 0.4):
        assert message.startswith(f"{names} of 3 did not start within 0.4 s (process 0 is at {address}"), message


def test_processes_that_do_not_fit_are_refused():
    address = free_address()
    messages = roll_calls([Place(0, 2, address, "Slurm"), Place(1, 3, address, "Slurm")], 20.0)
    assert all("process 1 expects 3 processes, and process 0 expects 2" in message for message in messages), messages
    address = free_address()
    messages = roll_calls([Place(index, 3, address, "Slurm") for index in (0, 1, 1)], 20.0)
    assert all("two processes have the index 1" in message for message in messages), messages


def test_port_in_use_is_named():
    with socket.create_server(("", 0)) as taken:
        place = Place(0, 2, f"127.0.0.1:{taken.getsockname()[1]}", "Slurm")
        with pytest.raises(ValueError, match=r"could not listen at port .* Address already in use; pass an address"):
            call_roll(place, 1.0)
