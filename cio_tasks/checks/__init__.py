"""What `doctor` asks: each part is looked at by itself, in a bounded time, and nothing is written.

| module | what is in it |
|---|---|
| `report` | the words: a check, how it went, and the report that holds them all |
| `running` | `run_checks`, which asks everything side by side |
| `readings` | one reading in a thread of its own, and the trouble that takes its place when there is none |
| `configuration` | the settings by themselves, and the webhook's secret |
| `database`, `broker` | the two stores |
| `workers`, `ping` | who lives by the heartbeats, and who answers through the broker |
| `work` | the queue of due jobs, and the gate |
| `account` | Customer.io: the credentials, the App API's key, the status page, our own rate limit |
| `clock` | this host's clock, the database's and Customer.io's |

Only the words are imported here, so that naming a group loads nothing else.
"""

from cio_tasks.checks.report import Check, Group, Report, Status

__all__ = ["Check", "Group", "Report", "Status"]
