"""What is asked of arguments that name somebody or something."""

import click


def filled(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """Return a text that says something, for the callback of an argument.

    Raises:
        BadParameter: when it is empty, or no text that can be sent.
    """
    if text is None:
        return None
    if not text.strip():
        raise click.BadParameter("must not be empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("is not text in UTF-8") from None
    return text
