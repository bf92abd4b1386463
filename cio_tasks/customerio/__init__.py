"""The Customer.io client. It knows no database, retries nothing and puts no payload into a message."""

from cio_tasks.customerio.client import CustomerIO
from cio_tasks.customerio.replies import BatchResult
from cio_tasks.customerio.track import Operation
from cio_tasks.customerio.transport import Reply

__all__ = ["BatchResult", "CustomerIO", "Operation", "Reply"]
