"""The kinds of values that the knobs of a scenario take."""

from typing import Annotated, Literal

from pydantic import Field

Rate = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
HeaderText = Annotated[str, Field(pattern=r"^[ -~]*$")]
ErrorStatus = Annotated[int, Field(ge=400, le=599)]

Outage = Literal["503", "reset", "hang", "refuse"]
"""How everything fails: with a 503, a TCP reset, no answer for long, or a connection closed without one."""
