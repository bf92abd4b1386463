"""All sabotages there are."""

from typing import Final

from tests.sabotage import claiming, delivering, receiving

SABOTAGES: Final = (*claiming.SABOTAGES, *delivering.SABOTAGES, *receiving.SABOTAGES)
