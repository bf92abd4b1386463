"""Processes of this machine, for the demo, `dev` and the tests: started, watched, and all ended."""

from cio_tasks.processes.group import ProcessGroup
from cio_tasks.processes.managed import ManagedProcess, ProcessFailed, RestartPolicy
from cio_tasks.processes.ports import free_port
from cio_tasks.processes.record import LeftRunning, ProcessRecord
from cio_tasks.processes.signals import exit_on
from cio_tasks.processes.state_lock import hold
from cio_tasks.processes.supervisor import Supervisor
from cio_tasks.processes.waiting import WaitTimeout, wait_until
from cio_tasks.processes.watch import SourceWatch

__all__ = [
    "LeftRunning",
    "ManagedProcess",
    "ProcessFailed",
    "ProcessGroup",
    "ProcessRecord",
    "RestartPolicy",
    "SourceWatch",
    "Supervisor",
    "WaitTimeout",
    "exit_on",
    "free_port",
    "hold",
    "wait_until",
]
