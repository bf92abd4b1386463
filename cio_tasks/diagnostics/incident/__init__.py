"""An incident: how bad it is, what to look at in which order, and the note and the report that are left of it."""
